package pkgcache

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxURL bounds the length of an object's address; the longest in Debian is
// below 300 bytes.
const maxURL = 4096

// target is the object that a request asks for.
type target struct {
	url *url.URL // sent upstream, escaped as the client wrote it
	// name is the address in one canonical spelling, so that g++ and g%2b%2b
	// are the same object.
	name string
	key  string // hash of name, safe as a file name
}

// refusal is an answer to a request that is not served.
type refusal struct {
	status int
	text   string
}

func refuse(status int, format string, args ...any) *refusal {
	return &refusal{status, fmt.Sprintf(format, args...)}
}

// parseTarget finds out what is asked for. It accepts only addresses that mean
// the same to everybody who reads them.
func parseTarget(u *url.URL) (target, *refusal) {
	if len(u.Path)+len(u.RawPath)+len(u.RawQuery) > maxURL {
		return target{}, refuse(http.StatusRequestURITooLong, "the address is longer than %d bytes", maxURL)
	}
	if u.Opaque != "" || u.User != nil || u.Host == "" {
		return target{}, refuse(http.StatusBadRequest,
			"the address must read http://host/path, without user or password")
	}
	out, r := remap(u)
	if r != nil {
		return target{}, r
	}
	if out.Host, r = canonicalHost(out); r != nil {
		return target{}, r
	}
	if r := checkPath(out.Path); r != nil {
		return target{}, r
	}
	if strings.ContainsFunc(out.RawQuery, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '#' }) {
		return target{}, refuse(http.StatusBadRequest, "the query holds a character that must be escaped")
	}
	return newTarget(out), nil
}

// remap copies the parts of u that are used, turning http://HTTPS///host/path
// into https://host/path.
func remap(u *url.URL) (*url.URL, *refusal) {
	scheme := strings.ToLower(u.Scheme)
	if scheme != "http" && scheme != "https" {
		return nil, refuse(http.StatusBadRequest, "scheme %q is not served, only http", u.Scheme)
	}
	out := &url.URL{Scheme: scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
	if scheme != "http" || !strings.EqualFold(u.Host, "HTTPS") {
		return out, nil
	}
	host, path, _ := strings.Cut(strings.TrimLeft(u.EscapedPath(), "/"), "/")
	mapped, err := url.Parse("https://" + host + "/" + path)
	if err != nil || host == "" || mapped.User != nil || mapped.Fragment != "" || mapped.RawQuery != "" {
		return nil, refuse(http.StatusBadRequest, "an https repository is written http://HTTPS///host/path")
	}
	mapped.RawQuery = u.RawQuery
	return mapped, nil
}

// canonicalHost returns host[:port] in lower case, without the scheme's own port.
func canonicalHost(u *url.URL) (string, *refusal) {
	bad := refuse(http.StatusBadRequest, "%q is not a host name", u.Host)
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789.-_:") != "" {
		return "", bad
	}
	if strings.Contains(host, ":") && net.ParseIP(host) == nil {
		return "", bad
	}
	if port == "" || port == schemePort(u.Scheme) {
		return bracket(host), nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || port[0] == '0' {
		return "", bad
	}
	return net.JoinHostPort(host, port), nil
}

func bracket(host string) string {
	if strings.Contains(host, ":") {
		return "[" + host + "]"
	}
	return host
}

func schemePort(scheme string) string {
	if scheme == "https" {
		return "443"
	}
	return "80"
}

// checkPath refuses decoded paths that some servers would take for another
// path. A single dot is let through: apt asks for it in flat repositories.
func checkPath(path string) *refusal {
	if slices.Contains(strings.Split(path, "/"), "..") {
		return refuse(http.StatusBadRequest, "the path goes up by ..")
	}
	for _, c := range path {
		if c < ' ' || c == 0x7f || c == '\\' {
			return refuse(http.StatusBadRequest, "the path holds the character %q", c)
		}
	}
	return nil
}

func newTarget(u *url.URL) target {
	if u.Path == "" {
		u.Path = "/"
	}
	path := (&url.URL{Path: u.Path}).EscapedPath()
	if asSent := u.EscapedPath(); strings.Contains(strings.ToLower(asSent), "%2f") {
		path = asSent // decoding would lose which slash was a separator
	}
	name := u.Scheme + "://" + u.Host + path
	if u.RawQuery != "" {
		name += "?" + u.RawQuery
	}
	sum := sha256.Sum256([]byte(name))
	return target{url: u, name: name, key: hex.EncodeToString(sum[:])}
}

// allows reports whether a host of [Options.Hosts] covers u.
func allows(hosts []string, u *url.URL) bool {
	host, port := strings.ToLower(u.Hostname()), u.Port()
	return slices.ContainsFunc(hosts, func(h string) bool {
		h = strings.ToLower(h)
		if name, p, err := net.SplitHostPort(h); err == nil {
			return matchHost(name, host) && (p == port || port == "" && p == schemePort(u.Scheme))
		}
		return matchHost(strings.Trim(h, "[]"), host) && (port == "" || port == "80" || port == "443")
	})
}

func matchHost(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok && strings.HasPrefix(suffix, ".") {
		return strings.HasSuffix(host, suffix) && host != suffix
	}
	return pattern == host
}

// HostsOf returns the hosts of mirror addresses, in the form of
// [Options.Hosts], sorted and without repeats. Addresses that are not http or
// https are left out.
func HostsOf(mirrors ...string) []string {
	var hosts []string
	for _, m := range mirrors {
		u, err := url.Parse(m)
		if err != nil || u.Host == "" {
			continue
		}
		if t, r := parseTarget(&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}); r == nil {
			hosts = append(hosts, t.url.Host)
		}
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}
