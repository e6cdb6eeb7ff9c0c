package spec

import (
	"net/netip"
	"net/url"
	"regexp"

	"github.com/updraft-cloud/updraft/internal/addr"
)

// A TextFormat is a rule for text, named by the tag format.
type TextFormat struct {
	Pattern string // RE2 and ECMA 262, for the schema
	What    string // completes "… is not": "a name: lower-case letters, …"
	re      *regexp.Regexp
	check   func(string) bool
}

// ok reports whether the text follows the rule.
func (t *TextFormat) ok(s string) bool {
	return len(s) <= 4096 && t.re.MatchString(s) && (t.check == nil || t.check(s))
}

func textFormat(what, pattern string, check func(string) bool) *TextFormat {
	return &TextFormat{Pattern: pattern, What: what, re: regexp.MustCompile(pattern), check: check}
}

// Formats are the text formats by name.
var Formats = map[string]*TextFormat{
	"cloud": textFormat("a name: a lower-case letter, then up to 30 lower-case letters, digits and -",
		`^[a-z][a-z0-9-]{0,30}$`, nil),
	"label": textFormat("a name: up to 63 lower-case letters, digits and -, with a letter first and no - last (RFC 1123)",
		`^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$`, nil),
	"domain": textFormat("a DNS domain such as web.internal",
		`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`, func(s string) bool { return len(s) <= 190 }),
	"user": textFormat("a user name",
		`^[a-z_][a-z0-9_-]{0,31}$`, nil),
	"host": textFormat("a host name or address",
		`^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9:])?$|^::[0-9a-fA-F:.]*$`, nil),
	"jump": textFormat("a jump host: [user@]host[:port]",
		`^([a-z_][a-z0-9_-]{0,31}@)?([A-Za-z0-9][A-Za-z0-9.-]{0,252}|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?$`, nil),
	"path": textFormat("a path: without control characters",
		`^[^\x00-\x1f\x7f]+$`, nil),
	"line": textFormat("a single line of text",
		`^[^\x00-\x1f\x7f]+$`, nil),
	"nic": textFormat("an interface name: up to 15 letters, digits, . _ and -",
		`^[A-Za-z][A-Za-z0-9._-]{0,14}$`, func(s string) bool { return s != "lo" }),
	"mac": textFormat("a MAC such as 02:00:5e:00:53:01, of one station",
		`^[0-9a-fA-F][02468aceACE](:[0-9a-fA-F]{2}){5}$`, nil),
	"url": textFormat("a URL such as http://192.0.2.1:3128",
		`^https?://[^\s/]+(/\S*)?$`, isURL),
	"listen": textFormat("an address and port such as 10.88.0.1:3142",
		`^([0-9.]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}$`, isListen),
	"noproxy": textFormat("a host, domain (.internal), address or network",
		`^[A-Za-z0-9.*:/_-]+$`, nil),
	"cidr": textFormat("an IPv4 network such as 10.88.0.0/24",
		`^[0-9]{1,3}(\.[0-9]{1,3}){3}/[0-9]{1,2}$`, isPrefix),
	"cidr6": textFormat("an IPv6 network such as fd00:88::/64",
		`^[0-9a-fA-F:]+/[0-9]{1,3}$`, isPrefix),
	"address": textFormat("an IP address such as 10.88.0.1",
		`^[0-9a-fA-F.:]+$`, isAddress),
	"range": textFormat("an address or range such as 10.88.1.21-10.88.1.23",
		`^[0-9a-fA-F.:]+( ?- ?[0-9a-fA-F.:]+)?$`, isRange),
	"ref": textFormat("a reference such as package:nginx or web1/file:/etc/motd",
		`^([a-z][a-z0-9-]*/)?[a-z][a-z0-9_-]*:[^\x00-\x1f\x7f]+$`, nil),
}

func isPrefix(s string) bool {
	p, err := netip.ParsePrefix(s)
	return err == nil && !p.Addr().Is4In6()
}

func isAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == "" && !a.Is4In6()
}

func isRange(s string) bool {
	_, err := addr.ParseRange(s)
	return err == nil
}

func isListen(s string) bool {
	ap, err := netip.ParseAddrPort(s)
	return err == nil && ap.Port() > 0
}

func isURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Hostname() != ""
}
