package localweb

import (
	"bytes"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
)

// maxPage bounds what is held of a page to look for links in it; Horizon's largest
// have some hundred kilobytes. What is longer passes as it is.
const maxPage = 8 << 20

// visit is one request and its answer.
type visit struct {
	site *Site
	host string // what the browser calls this computer, with the port
}

func (v visit) local() string  { return "http://" + v.host }
func (v visit) remote() string { return origin(v.site.Remote) }

// origin is a URL's origin as browsers write it: without the port that its scheme
// means.
func origin(u *url.URL) string {
	host := u.Host
	if u.Scheme == "https" && u.Port() == "443" || u.Scheme == "http" && u.Port() == "80" {
		host = strings.TrimSuffix(host, ":"+u.Port())
	}
	return u.Scheme + "://" + host
}

// ask makes a request to the real site of one to this computer.
func (v visit) ask(r *httputil.ProxyRequest) {
	remote := v.site.Remote
	r.Out.URL.Scheme, r.Out.URL.Host = remote.Scheme, remote.Host
	_, r.Out.Host, _ = strings.Cut(v.remote(), "://")
	if r.In.Header.Get("Origin") == v.local() {
		r.Out.Header.Set("Origin", v.remote())
	}
	if rest, ok := strings.CutPrefix(r.In.Header.Get("Referer"), v.local()+"/"); ok {
		r.Out.Header.Set("Referer", v.remote()+"/"+rest)
	}
	if len(v.site.Links) > 0 {
		r.Out.Header.Del("Accept-Encoding") // pages are looked into
	}
}

// answer makes an answer of this computer of one of the real site.
func (v visit) answer(r *http.Response) error {
	r.Header.Del("Strict-Transport-Security") // there is no TLS here
	if to := r.Header.Get("Location"); to != "" {
		r.Header.Set("Location", v.redirect(to))
	}
	cookies := r.Cookies()
	r.Header.Del("Set-Cookie")
	for _, c := range cookies {
		r.Header.Add("Set-Cookie", here(c).String())
	}
	return v.page(r)
}

// redirect keeps redirects to the real site at this computer.
func (v visit) redirect(to string) string {
	u, err := url.Parse(to)
	if err != nil || origin(u) != v.remote() {
		return to
	}
	u.Scheme, u.Host = "http", v.host
	return u.String()
}

// here makes a cookie one of this computer, and one that browsers keep that do not
// take loopback addresses for secure.
func here(c *http.Cookie) *http.Cookie {
	c.Domain, c.Secure, c.Partitioned = "", false, false
	if c.SameSite == http.SameSiteNoneMode { // that is for secure cookies only
		c.SameSite = http.SameSiteLaxMode
	}
	return c
}

// page makes links of a page lead to where other sites are shown.
func (v visit) page(r *http.Response) error {
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	page := kind == "text/html" || kind == "application/json"
	if !page || len(v.site.Links) == 0 || r.Body == http.NoBody || r.Header.Get("Content-Encoding") != "" {
		return nil
	}
	text, err := io.ReadAll(io.LimitReader(r.Body, maxPage+1))
	if err != nil {
		return err
	}
	if len(text) > maxPage {
		r.Body = struct {
			io.Reader
			io.Closer
		}{io.MultiReader(bytes.NewReader(text), r.Body), r.Body}
		return nil
	}
	_ = r.Body.Close() // it has been read
	for _, l := range v.site.Links {
		to := "http://" + net.JoinHostPort(hostname(v.host), strconv.Itoa(int(l.Port)))
		text = bytes.ReplaceAll(text, []byte(l.Origin+"/"), []byte(to+"/"))
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	r.Header.Set("Content-Length", strconv.Itoa(len(text)))
	return nil
}

// failed tells the browser and updraft that the site does not answer.
func (v visit) failed(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() == nil {
		v.site.Failed(err)
	}
	http.Error(w, "updraft: "+v.site.Remote.Host+" does not answer: "+err.Error(), http.StatusBadGateway)
}
