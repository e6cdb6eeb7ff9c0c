package api

import (
	"encoding/json"
	"net/url"
	"regexp"
	"strings"
)

// Enumerations of the API (octavia_lib/common/constants.py), in the order in
// which faults list them.
var (
	listenerProtocols = []string{"TCP", "HTTP", "HTTPS", "TERMINATED_HTTPS", "UDP", "SCTP", "PROMETHEUS"}
	poolProtocols     = []string{"TCP", "HTTP", "HTTPS", "PROXY", "PROXYV2", "UDP", "SCTP"}
	monitorTypes      = []string{"HTTP", "HTTPS", "PING", "TCP", "TLS-HELLO", "UDP-CONNECT", "SCTP"}
	alpnProtocols     = []string{"h2", "http/1.1", "http/1.0"}
	// tlsVersions stand from the oldest to the newest.
	tlsVersions = []string{"SSLv3", "TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}
)

// DefaultCiphers are the ciphers of new TLS listeners and pools: OWASP's suite B.
const DefaultCiphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:" +
	"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:" +
	"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305:" +
	"DHE-RSA-AES128-GCM-SHA256:DHE-RSA-AES256-GCM-SHA384:DHE-RSA-CHACHA20-POLY1305"

// Headers that a listener may add (octavia_lib SUPPORTED_HTTP_HEADERS and
// SUPPORTED_SSL_HEADERS); those about the client's certificate exist only where
// TLS ends.
var (
	plainHeaders = []string{"X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Forwarded-IP", "X-Client-IP", "X-Real-IP"}
	tlsHeaders   = []string{"X-SSL-Client-Verify", "X-SSL-Client-Has-Cert", "X-SSL-Client-DN", "X-SSL-Client-CN", "X-SSL-Issuer",
		"X-SSL-Client-SHA1", "X-SSL-Client-Not-Before", "X-SSL-Client-Not-After"}
)

// RFC 3986: the characters of a path, with "%" only before two hexadecimal digits.
var pathChars = regexp.MustCompile(`^(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*$`)

// asPath takes a path, with a query perhaps, and no host.
func asPath(value any) (string, string) {
	const reason = "Value must be a valid URL Path string"
	s, ok := value.(string)
	if !ok || !strings.HasPrefix(s, "/") || strings.HasPrefix(s, "//") || len(s) > nameLimit || hasSpaces(s) {
		return "", reason
	}
	path, _, _ := strings.Cut(s, "?")
	path, _, _ = strings.Cut(path, "#")
	if !pathChars.MatchString(path) {
		return "", reason
	}
	return s, ""
}

// hasSpaces reports whether there is white space, or what cannot be printed.
func hasSpaces(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f && r <= 0xa0 })
}

// asURL takes an absolute URL of http or https.
func asURL(value any) (string, string) {
	s, ok := value.(string)
	if ok && !hasSpaces(s) && len(s) <= nameLimit {
		u, err := url.Parse(s)
		if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && pathChars.MatchString(u.EscapedPath()) {
			return s, ""
		}
	}
	return "", "Value must be a valid URL string"
}

// asHTTPVersion takes 1.0 and 1.1, as numbers or texts.
func asHTTPVersion(value any) (string, string) {
	var s string
	switch v := value.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	}
	switch s {
	case "1", "1.0":
		return "1.0", ""
	case "1.1":
		return "1.1", ""
	}
	return "", "Value should be one of: 1.0, 1.1"
}

var domainLabel = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9-]{0,62}$`)

// asDomain takes the name of a host: labels that neither begin nor end with "-",
// an underscore only in front.
func asDomain(value any) (string, string) {
	s, reason := asText(value, nameLimit)
	if reason != "" {
		return "", reason
	}
	name := strings.TrimSuffix(s, ".")
	ok := len(name) > 0 && len(name) <= 253
	for label := range strings.SplitSeq(name, ".") {
		ok = ok && domainLabel.MatchString(label) && !strings.HasSuffix(label, "-")
	}
	if !ok {
		return "", "Value should match the pattern of a host name"
	}
	return s, ""
}
