// Package web is the configset of a web server that says who it is: nginx with
// one page. Its identity, in the page and in a header, is what load balancing is
// tested by.
//
// It guarantees that nginx runs with a configuration that nginx itself has
// accepted as a whole: the file is standalone, the package's own default site is
// not in it, and it is checked before it replaces a working one.
package web

import (
	"mime"
	"net/netip"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
)

// Params are the parameters.
type Params struct {
	Port        int    `json:"port" default:"80" min:"1" max:"65535" doc:"The port that nginx listens on, on all addresses."`
	Page        string `json:"page" default:"{{host}}\n" doc:"The page. {{host}}, {{group}}, {{cloud}}, {{domain}} and {{address}} are replaced by the host's own."`
	ContentType string `json:"content_type" default:"text/plain" format:"line" doc:"What the page is, such as text/html."`
	Header      string `json:"header" default:"X-Served-By" format:"line" doc:"The header field that carries the host's name in each answer."`
	AccessLog   bool   `json:"access_log" default:"true" doc:"Write /var/log/nginx/access.log."`
}

// Set returns the configset.
func Set() configset.Set {
	return configset.Set{
		Name: "web",
		Doc: "A web server (nginx) with a page that says which host it is. " +
			"Each answer carries the host's name in the header X-Served-By, by which spread checks tell hosts apart; " +
			"/healthz answers ok.",
		Params: func() any { return configset.Defaults(&Params{}) },
		Build:  build,
	}
}

// site is what the parameters come to on one host.
type site struct {
	Params
	host string
	page string
	ipv6 bool
}

// build is the configset's Build.
func build(in *configset.Input) []configset.Item {
	s := resolve(in)
	if s == nil {
		return nil
	}
	return s.items(in)
}

// resolve checks the parameters and fills in the page. It returns nil if there
// was a fault.
func resolve(in *configset.Input) *site {
	p := *in.Params.(*Params)
	before := len(*in.Diags)
	if media, _, err := mime.ParseMediaType(p.ContentType); err != nil || media != p.ContentType || !strings.Contains(media, "/") {
		in.Fault("content_type", "write one such as text/html", "content_type: %q is not a media type", p.ContentType)
	}
	if p.Header == "" || strings.Trim(p.Header, tokenChars) != "" {
		in.Fault("header", "write one such as X-Served-By", "header: %q is not the name of a header field", p.Header)
	}
	page, unknown := expand(p.Page, values(in))
	if unknown != "" {
		in.Fault("page", "known are {{host}}, {{group}}, {{cloud}}, {{domain}} and {{address}}", "page: {{%s}} stands for nothing", unknown)
	}
	if len(*in.Diags) > before {
		return nil
	}
	return &site{Params: p, host: in.Host.Name, page: page, ipv6: hasIPv6(in)}
}

// tokenChars are those of header names that nginx takes without quotes.
const tokenChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

func values(in *configset.Input) map[string]string {
	v := map[string]string{
		"host": in.Host.Name, "group": in.Host.Group, "cloud": in.Cloud.Name, "domain": in.Cloud.Domain, "address": in.Host.Address,
	}
	if len(in.Host.NICs) > 0 {
		if a := in.Host.NICs[0].Address.Addr(); a != (netip.Addr{}) {
			v["address"] = a.String()
		}
	}
	return v
}

// expand replaces each {{name}}. It returns the first name without a value.
func expand(text string, values map[string]string) (out, unknown string) {
	var b strings.Builder
	for {
		before, rest, open := strings.Cut(text, "{{")
		name, after, closed := strings.Cut(rest, "}}")
		b.WriteString(before)
		if !open || !closed {
			b.WriteString(text[len(before):])
			return b.String(), ""
		}
		value, ok := values[strings.TrimSpace(name)]
		if !ok {
			return "", strings.TrimSpace(name)
		}
		b.WriteString(value)
		text = after
	}
}

func hasIPv6(in *configset.Input) bool {
	for _, n := range in.Host.NICs {
		if n.Address6.IsValid() {
			return true
		}
	}
	return false
}
