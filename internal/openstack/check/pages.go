package check

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// maxPage is how much of a page is looked at, in bytes. Horizon's login page has
// ten thousand.
const maxPage = 1 << 20

// pages asks for what people see, without a token.
type pages struct{ client http.Client }

func newPages(a api.Access, v verify.Vantage) (*pages, error) {
	a.Dial = v.Dial
	t, err := a.Transport()
	if err != nil {
		return nil, err
	}
	return &pages{http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

func (p *pages) close() { p.client.CloseIdleConnections() }

// ask returns what is at a URL, which must be there.
func (p *pages) ask(ctx context.Context, method, at string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, at, nil)
	if err != nil {
		return "", err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxPage))
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot read %s: %w", at, err)
	case resp.StatusCode != http.StatusOK:
		return "", failf("%s answers %s", at, resp.Status)
	case resp.ContentLength == 0:
		return "", failf("%s is empty", at)
	}
	return string(body), nil
}

// assetRE finds the style sheets, scripts and icons of a page.
var assetRE = regexp.MustCompile(`<(?:link|script)\b[^>]*\b(?:href|src)="([^"]+)"`)

// dashboard asks for Horizon's login page and, without their contents, for the
// files that it needs. It returns how many there are.
func (p *pages) dashboard(at string) func(context.Context, *api.Client) (int, error) {
	return func(ctx context.Context, _ *api.Client) (int, error) {
		page, err := url.Parse(at + "auth/login/")
		if err != nil {
			return 0, err
		}
		text, err := p.ask(ctx, http.MethodGet, page.String())
		if err != nil {
			return 0, err
		}
		for _, field := range []string{"csrfmiddlewaretoken", "username", "password"} {
			if !strings.Contains(text, `name="`+field+`"`) {
				return 0, failf("the login page %s has no field %s", page, field)
			}
		}
		files, err := assets(page, text)
		if err != nil {
			return 0, err
		}
		var g errgroup.Group
		for _, file := range files {
			g.Go(func() error { _, err := p.ask(ctx, http.MethodHead, file); return err })
		}
		return len(files), g.Wait()
	}
}

// assets are the files of the page's own site that it needs: one style sheet and
// one script at least.
func assets(page *url.URL, text string) ([]string, error) {
	var files, kinds []string
	for _, m := range assetRE.FindAllStringSubmatch(text, -1) {
		at, err := page.Parse(m[1])
		if err != nil {
			return nil, failf("the login page %s wants %q", page, m[1])
		}
		if at.Host == page.Host {
			files = append(files, at.String())
			kinds = append(kinds, at.Path[strings.LastIndex(at.Path, ".")+1:])
		}
	}
	if all := strings.Join(kinds, " "); !strings.Contains(all, "css") || !strings.Contains(all, "js") {
		return nil, failf("the login page %s has no styles or no scripts: [%s]", page, all)
	}
	return files, nil
}

// console asks for the page that shows a server's screen, and the script behind it.
func (p *pages) console(at string) func(context.Context, *api.Client) (int, error) {
	return func(ctx context.Context, _ *api.Client) (int, error) {
		text, err := p.ask(ctx, http.MethodGet, at+"vnc_lite.html")
		if err != nil {
			return 0, err
		}
		const script = "core/rfb.js"
		if !strings.Contains(text, script) {
			return 0, failf("the page of consoles, %svnc_lite.html, does not use %s", at, script)
		}
		_, err = p.ask(ctx, http.MethodHead, at+script)
		return 1, err
	}
}
