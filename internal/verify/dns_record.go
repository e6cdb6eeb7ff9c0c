package verify

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// records renders the answers of the given type as in a zone file, names in
// lower case and without the last dot, sorted.
func records(m *dnsmessage.Message, want dnsmessage.Type) []string {
	var out []string
	for _, r := range m.Answers {
		if r.Header.Type == want {
			out = append(out, record(r.Body))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func record(body dnsmessage.ResourceBody) string {
	switch b := body.(type) {
	case *dnsmessage.AResource:
		return netip.AddrFrom4(b.A).String()
	case *dnsmessage.AAAAResource:
		return netip.AddrFrom16(b.AAAA).String()
	case *dnsmessage.CNAMEResource:
		return canonicalRecord(b.CNAME.String())
	case *dnsmessage.NSResource:
		return canonicalRecord(b.NS.String())
	case *dnsmessage.PTRResource:
		return canonicalRecord(b.PTR.String())
	case *dnsmessage.MXResource:
		return canonicalRecord(fmt.Sprintf("%d %s", b.Pref, b.MX))
	case *dnsmessage.SRVResource:
		return canonicalRecord(fmt.Sprintf("%d %d %d %s", b.Priority, b.Weight, b.Port, b.Target))
	case *dnsmessage.SOAResource:
		return canonicalRecord(fmt.Sprintf("%s %s %d", b.NS, b.MBox, b.Serial))
	case *dnsmessage.TXTResource:
		return strings.Join(b.TXT, "")
	default:
		return body.GoString()
	}
}

// canonicalRecord brings what a person wrote into the form of [records]:
// addresses in their shortest form, names in lower case without the last dot.
func canonicalRecord(s string) string {
	if ip, err := netip.ParseAddr(s); err == nil {
		return ip.String()
	}
	fields := strings.Fields(strings.ToLower(s))
	for i, f := range fields {
		fields[i] = strings.TrimSuffix(f, ".")
	}
	return strings.Join(fields, " ")
}
