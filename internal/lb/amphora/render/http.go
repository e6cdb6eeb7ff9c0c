package render

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// insertable are the headers that a listener can insert, with the format of
// their value; the forwarded-for header is an option of HAProxy's.
var insertable = []struct {
	name, format string
	tls          bool
}{
	{"X-Forwarded-Port", "%[dst_port]", false},
	{"X-Forwarded-IP", "%[src]", false},
	{"X-Client-IP", "%[src]", false},
	{"X-Real-IP", "%[src]", false},
	{"X-SSL-Client-Verify", "%[ssl_c_verify]", true},
	{"X-SSL-Client-Has-Cert", "%[ssl_c_used]", true},
	{"X-SSL-Client-DN", "%{+Q}[ssl_c_s_dn]", true},
	{"X-SSL-Client-CN", "%{+Q}[ssl_c_s_dn(cn)]", true},
	{"X-SSL-Issuer", "%{+Q}[ssl_c_i_dn]", true},
	{"X-SSL-Client-SHA1", "%{+Q}[ssl_c_sha1,hex]", true},
	{"X-SSL-Client-Not-Before", "%{+Q}[ssl_c_notbefore]", true},
	{"X-SSL-Client-Not-After", "%{+Q}[ssl_c_notafter]", true},
}

// http writes what a frontend does with requests.
func (w *work) http(o *writer, h *amphora.HAProxy, l *model.Listener) error {
	if err := w.policy(o, h, l, false); err != nil {
		return err
	}
	if on(l, "X-Forwarded-For") {
		o.line("option", "forwardfor")
	}
	tls := l.Protocol == model.ProtocolTerminatedHTTPS
	if on(l, "X-Forwarded-Proto") {
		proto := map[bool]string{true: "https", false: "http"}[tls]
		o.line("http-request", "set-header", "X-Forwarded-Proto", proto)
	}
	for _, i := range insertable {
		if on(l, i.name) && (tls || !i.tls) {
			o.line("http-request", "set-header", i.name, i.format)
		}
	}
	if tls && l.HSTSMaxAge != nil {
		o.line("http-response", "set-header", "Strict-Transport-Security", hsts(l))
	}
	return w.policy(o, h, l, true)
}

// on compares names as HTTP does.
func on(l *model.Listener, header string) bool {
	for name, value := range l.InsertHeaders {
		if strings.EqualFold(name, header) {
			return strings.EqualFold(value, "true")
		}
	}
	return false
}

func hsts(l *model.Listener) string {
	v := "max-age=" + strconv.Itoa(max(*l.HSTSMaxAge, 0)) + ";"
	if l.HSTSIncludeSubdomains {
		v += " includeSubDomains;"
	}
	if l.HSTSPreload {
		v += " preload;"
	}
	return v
}

// policy writes the L7 policies of a listener that choose a pool, or the others:
// HAProxy chooses a pool after everything else, wherever the line stands. One
// without rules matches nothing.
func (w *work) policy(o *writer, h *amphora.HAProxy, l *model.Listener, pools bool) error {
	for _, p := range w.policies[l.ID] {
		if len(w.rules[p.ID]) == 0 || pools != (p.Action == model.ActionRedirectToPool) {
			continue
		}
		conditions := []string{"if"}
		for _, r := range w.rules[p.ID] {
			fetch, err := rule(r)
			if err != nil {
				return named("L7 rule", r.ID, err)
			}
			o.line(append([]string{"acl", r.ID}, fetch...)...)
			conditions = append(conditions, map[bool]string{true: "!"}[r.Invert]+r.ID)
		}
		if err := w.action(o, h, l, p, conditions); err != nil {
			return named("L7 policy", p.ID, err)
		}
	}
	return nil
}

func (w *work) action(o *writer, h *amphora.HAProxy, l *model.Listener, p *model.L7Policy, conditions []string) error {
	code := p.RedirectHTTPCode
	if code == 0 {
		code = model.RedirectCodeLegacy
	}
	redirect := []string{"http-request", "redirect", "code", strconv.Itoa(code)}
	switch p.Action {
	case model.ActionReject:
		o.line(append([]string{"http-request", "deny"}, conditions...)...)
	case model.ActionRedirectToURL:
		o.line(append(append(redirect, "location", amphora.LogFormat(p.RedirectURL)), conditions...)...)
	case model.ActionRedirectPrefix:
		o.line(append(append(redirect, "prefix", amphora.LogFormat(p.RedirectPrefix)), conditions...)...)
	case model.ActionRedirectToPool:
		if w.pools[p.RedirectPoolID] == nil {
			return nil // disabled: as if there were no policy
		}
		name, err := w.backend(h, l, p.RedirectPoolID)
		if err != nil {
			return err
		}
		o.line(append([]string{"use_backend", name}, conditions...)...)
	default:
		return fmt.Errorf("there is no action %q", p.Action)
	}
	return nil
}

var compares = map[string]string{
	model.CompareRegex: "reg", model.CompareStartsWith: "beg", model.CompareEndsWith: "end",
	model.CompareContains: "sub", model.CompareEqualTo: "str",
}

// rule returns the fetch method and the pattern of a rule (configuration manual,
// "ACL basics").
func rule(r *model.L7Rule) ([]string, error) {
	match, ok := compares[r.CompareType]
	if !ok {
		return nil, fmt.Errorf("there is no comparison %q", r.CompareType)
	}
	pattern := func(fetch string, flags ...string) ([]string, error) {
		return append(append([]string{fetch}, flags...), "-m", match, "--", r.Value), nil
	}
	key := amphora.QuoteArg(r.Key)
	switch r.Type {
	case model.RuleHostName:
		return pattern(host(r.Value), "-i")
	case model.RulePath:
		return pattern("path")
	case model.RuleFileType:
		return fileType(r)
	case model.RuleHeader:
		return pattern("req.hdr(" + key + ")")
	case model.RuleCookie:
		return pattern("req.cook(" + key + ")")
	case model.RuleSSLHasCert:
		return []string{"ssl_c_used"}, nil
	case model.RuleSSLVerify:
		n, err := strconv.ParseUint(r.Value, 10, 31)
		return []string{"ssl_c_verify", strconv.FormatUint(n, 10)}, err
	case model.RuleSSLDNField:
		return pattern("ssl_c_s_dn(" + key + ")")
	}
	return nil, fmt.Errorf("there is no type %q", r.Type)
}

// host leaves out the port that a client names, unless the rule has one.
func host(value string) string {
	if strings.Contains(value, ":") {
		return "req.hdr(host)"
	}
	return "req.hdr(host),host_only"
}

func fileType(r *model.L7Rule) ([]string, error) {
	switch r.CompareType {
	case model.CompareEqualTo:
		return []string{"path", "-m", "end", "--", "." + r.Value}, nil
	case model.CompareRegex:
		return []string{"path", "-m", "reg", "--", `\.(?:` + r.Value + `)$`}, nil
	}
	return nil, fmt.Errorf("a file type cannot be compared by %s", r.CompareType)
}
