package pki

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
)

// dnsName is a host name of RFC 1123 or a wildcard of RFC 6125 whose first
// label is a star. Upper case is refused: verifiers differ in how they compare.
var dnsName = regexp.MustCompile(`^(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$`)

// maxDNSName is the length of a name in its textual form (RFC 1035, 3.1).
const maxDNSName = 253

// names are subject alternative names in canonical order.
type names struct {
	dns []string
	ips []net.IP
}

// parseSANs sorts names into addresses and DNS names. At least one is needed:
// verifiers look at nothing else (RFC 9525).
func parseSANs(sans []string) (names, error) {
	var out names
	var addrs []netip.Addr
	var errs []error
	for _, s := range sans {
		if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
			addrs = append(addrs, a.Unmap())
			continue
		}
		if len(s) > maxDNSName || !dnsName.MatchString(s) {
			errs = append(errs, fmt.Errorf("%q is neither an IP address nor a DNS name in lower case", s))
			continue
		}
		out.dns = append(out.dns, s)
	}
	if len(sans) == 0 {
		errs = append(errs, errors.New("it has no name and no address"))
	}
	slices.Sort(out.dns)
	out.dns = slices.Compact(out.dns)
	slices.SortFunc(addrs, netip.Addr.Compare)
	for _, a := range slices.Compact(addrs) {
		out.ips = append(out.ips, a.AsSlice())
	}
	return out, errors.Join(errs...)
}

// equal reports whether a certificate made by Issue has just these names.
func (n names) equal(c *x509.Certificate) bool {
	return slices.Equal(n.dns, c.DNSNames) && slices.EqualFunc(n.ips, c.IPAddresses, net.IP.Equal)
}
