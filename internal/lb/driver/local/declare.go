package local

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/link"
)

// declaration is the file. Example:
//
//	networks:
//	- name: front
//	  bridge: lb-front      # made when it is not there
//	  namespace: lab        # of ip-netns(8); left out: the service's own
//	  subnets:
//	  - name: front4
//	    cidr: 10.20.0.0/24
//	    host: 10.20.0.1     # an address for this computer
//	    gateway: 10.20.0.1
//	    pool: 10.20.0.10-10.20.0.200
type declaration struct {
	Networks []network `yaml:"networks"`
}

type network struct {
	ID        string   `yaml:"id"`
	Name      string   `yaml:"name"`
	Bridge    string   `yaml:"bridge"`
	Namespace string   `yaml:"namespace"`
	MTU       int      `yaml:"mtu"`
	Subnets   []subnet `yaml:"subnets"`
}

type subnet struct {
	ID      string       `yaml:"id"`
	Name    string       `yaml:"name"`
	CIDR    netip.Prefix `yaml:"cidr"`
	Gateway netip.Addr   `yaml:"gateway"`
	Host    netip.Addr   `yaml:"host"`
	Pool    string       `yaml:"pool"`
	Routes  []route      `yaml:"routes"`

	First, Last netip.Addr `yaml:"-"` // of the pool
}

type route struct {
	To  netip.Prefix `yaml:"to"`
	Via netip.Addr   `yaml:"via"`
}

var (
	validID   = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	validLink = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// parse reads the file strictly, and says all faults of meaning at once.
func parse(data []byte) ([]network, error) {
	var d declaration
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&d); err != nil {
		return nil, err
	}
	var faults []error
	seen := map[string]bool{}
	once := func(kind, what string) {
		if seen[kind+what] {
			faults = append(faults, fmt.Errorf("the %s %q is there twice", kind, what))
		}
		seen[kind+what] = true
	}
	for i := range d.Networks {
		n := &d.Networks[i]
		faults = append(faults, n.complete())
		once("network", n.Name)
		once("id", n.ID)
		once("bridge", n.Namespace+"/"+n.Bridge)
		for j := range n.Subnets {
			faults = append(faults, n.Subnets[j].complete(n.Name))
			once("subnet", n.Subnets[j].Name)
			once("id", n.Subnets[j].ID)
		}
	}
	if len(d.Networks) == 0 {
		faults = append(faults, errors.New("there is no network in it"))
	}
	return d.Networks, errors.Join(faults...)
}

func (n *network) complete() error {
	if n.Name == "" || len(n.Subnets) == 0 {
		return errors.New("a network needs a name and at least one subnet")
	}
	if n.ID == "" {
		n.ID = driver.DerivedID("network", n.Name)
	}
	if n.Bridge == "" {
		n.Bridge = "lb-" + n.Name
	}
	if n.MTU == 0 {
		n.MTU = 1500
	}
	if !validID.MatchString(n.ID) {
		return fmt.Errorf("network %s: the id is not a UUID in lower case", n.Name)
	}
	if !validLink.MatchString(n.Bridge) || len(n.Bridge) > link.MaxName {
		return fmt.Errorf("network %s: %q cannot be the name of a bridge; use at most %d of letters, digits, dot and dash", n.Name, n.Bridge, link.MaxName)
	}
	return nil
}

func (s *subnet) complete(network string) error {
	if !s.CIDR.IsValid() || s.CIDR.Bits() == 0 {
		return fmt.Errorf("network %s: a subnet needs a cidr, such as 10.20.0.0/24", network)
	}
	s.CIDR = s.CIDR.Masked()
	if s.Name == "" {
		s.Name = s.CIDR.String()
	}
	if s.ID == "" {
		s.ID = driver.DerivedID("subnet", network, s.Name)
	}
	if !validID.MatchString(s.ID) {
		return fmt.Errorf("subnet %s: the id is not a UUID in lower case", s.Name)
	}
	for _, a := range []netip.Addr{s.Gateway, s.Host} {
		if a.IsValid() && !s.CIDR.Contains(a) {
			return fmt.Errorf("subnet %s: %s is not in %s", s.Name, a, s.CIDR)
		}
	}
	return s.bounds()
}

// bounds reads the pool; without one it is the whole subnet.
func (s *subnet) bounds() error {
	s.First, s.Last = s.CIDR.Addr().Next(), last(s.CIDR)
	if s.CIDR.Addr().Is4() && s.CIDR.Bits() < 31 {
		s.Last = s.Last.Prev() // the broadcast address
	}
	if s.Pool == "" {
		return nil
	}
	from, to, ok := strings.Cut(s.Pool, "-")
	first, err1 := netip.ParseAddr(strings.TrimSpace(from))
	end, err2 := netip.ParseAddr(strings.TrimSpace(to))
	if !ok || err1 != nil || err2 != nil || !s.CIDR.Contains(first) || !s.CIDR.Contains(end) || end.Less(first) {
		return fmt.Errorf("subnet %s: the pool %q is not FIRST-LAST within %s", s.Name, s.Pool, s.CIDR)
	}
	s.First, s.Last = first, end
	return nil
}

func last(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b) // its length is right
	return a
}

func (s *subnet) reserved(a netip.Addr) bool { return a == s.Gateway || a == s.Host }

func (s *subnet) holds(a netip.Addr) bool {
	return a.Compare(s.First) >= 0 && a.Compare(s.Last) <= 0
}

// free counts what is left, up to a number that is plenty.
func (s *subnet) free(ports []driver.Port) int {
	const plenty = 1 << 16
	used, n := taken(ports), 0
	for a := s.First; a.IsValid() && a.Compare(s.Last) <= 0 && n < plenty; a = a.Next() {
		if used[a] == "" && !s.reserved(a) {
			n++
		}
	}
	return n
}

func (n *network) hostAddresses() []netip.Prefix {
	var out []netip.Prefix
	for _, s := range n.Subnets {
		if s.Host.IsValid() {
			out = append(out, netip.PrefixFrom(s.Host, s.CIDR.Bits()))
		}
	}
	return out
}

func (n *network) view() driver.Net {
	v := driver.Net{ID: n.ID, Name: n.Name, MTU: n.MTU, Shared: true}
	for _, s := range n.Subnets {
		v.Subnets = append(v.Subnets, s.ID)
	}
	return v
}

func (s *subnet) view(networkID string) driver.Subnet {
	v := driver.Subnet{ID: s.ID, Name: s.Name, NetworkID: networkID, Prefix: s.CIDR, Gateway: s.Gateway, Free: -1}
	for _, r := range s.Routes {
		v.Routes = append(v.Routes, driver.Route{To: r.To, Via: r.Via})
	}
	return v
}
