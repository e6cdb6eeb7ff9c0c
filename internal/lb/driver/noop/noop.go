// Package noop has drivers that accept everything and do nothing: for trying the
// API, for tests of clients, and for measuring what the service itself costs.
//
// They keep no state: what they answer is derived from what they are asked, so
// that any number of processes answers alike, and after a restart as before.
package noop

import (
	"context"
	"crypto/sha1"
	"encoding/binary"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

var (
	_ driver.Network = Network{}
	_ driver.Compute = Compute{}
	_ driver.Light   = Compute{}
	_ driver.Secrets = (*Secrets)(nil)
)

// v6 marks the ids of subnets of IPv6 that Network names itself.
const v6 = "00000006-"

// Network has every network, subnet, port and policy that it is asked for. A
// network has two subnets, one of each family, that hold all addresses.
type Network struct{}

// Network returns a network with the id.
func (Network) Network(_ context.Context, id string) (*driver.Net, error) {
	return &driver.Net{ID: id, Name: "noop", Subnets: []string{driver.DerivedID("subnet", id), v6 + driver.DerivedID("subnet6", id)[9:]}, MTU: 1500}, nil
}

// Subnet returns a subnet with the id.
func (Network) Subnet(_ context.Context, id string) (*driver.Subnet, error) {
	s := &driver.Subnet{ID: id, Name: "noop", NetworkID: driver.DerivedID("network", id), Free: 1 << 16,
		Prefix: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Gateway: netip.AddrFrom4([4]byte{198, 18, 0, 1})}
	if strings.HasPrefix(id, v6) {
		s.Prefix, s.Gateway = netip.PrefixFrom(netip.IPv6Unspecified(), 0), netip.MustParseAddr("2001:2::1")
	}
	return s, nil
}

// Port returns a free port with the id.
func (Network) Port(_ context.Context, id string) (*driver.Port, error) {
	subnet := driver.DerivedID("subnet", id)
	return &driver.Port{ID: id, Name: "noop", NetworkID: driver.DerivedID("network", subnet),
		FixedIPs: []driver.FixedIP{{SubnetID: subnet, Address: address(id, subnet)}}}, nil
}

// QoSPolicy has every policy.
func (Network) QoSPolicy(context.Context, string) error { return nil }

// SecurityGroup has every group.
func (Network) SecurityGroup(context.Context, string) error { return nil }

// EnsureVIP chooses an address of the ranges for benchmarks (RFC 2544, RFC 5180)
// where none is wished for.
func (n Network) EnsureVIP(ctx context.Context, want driver.VIPRequest) (*driver.VIP, error) {
	vip := &driver.VIP{LoadBalancerID: want.LoadBalancerID, PortID: want.PortID, NetworkID: want.NetworkID,
		SubnetID: want.SubnetID, Address: want.Address, Given: want.PortID != ""}
	fill(&vip.PortID, driver.DerivedID("vip", want.LoadBalancerID))
	fill(&vip.SubnetID, driver.DerivedID("subnet", vip.NetworkID))
	fill(&vip.NetworkID, driver.DerivedID("network", vip.SubnetID))
	fill(&vip.Address, address(want.LoadBalancerID, vip.SubnetID).String())
	for _, a := range want.Additional {
		fill(&a.Address, address(want.LoadBalancerID+a.SubnetID, a.SubnetID).String())
		fill(&a.PortID, vip.PortID)
		vip.Additional = append(vip.Additional, a)
	}
	return vip, nil
}

func fill(s *string, v string) {
	if *s == "" {
		*s = v
	}
}

func address(seed, subnet string) netip.Addr {
	sum := sha1.Sum([]byte(seed))
	n := binary.BigEndian.Uint32(sum[:])
	if strings.HasPrefix(subnet, v6) {
		a := netip.MustParseAddr("2001:2::").As16()
		copy(a[6:], sum[:10])
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte{198, 18 + byte(n>>24&1), byte(n >> 16), byte(n >> 8)})
}

// ReleaseVIP has nothing to give back.
func (Network) ReleaseVIP(context.Context, driver.VIP) error { return nil }

// EnsurePort returns a port of the amphora.
func (Network) EnsurePort(_ context.Context, want driver.PortRequest) (*driver.Port, error) {
	p := &driver.Port{ID: driver.DerivedID("port", want.AmphoraID, want.NetworkID), NetworkID: want.NetworkID, ProjectID: want.ProjectID,
		LoadBalancerID: want.LoadBalancerID, AmphoraID: want.AmphoraID, DeviceID: want.AmphoraID}
	for _, s := range want.Subnets {
		p.FixedIPs = append(p.FixedIPs, driver.FixedIP{SubnetID: s, Address: address(want.AmphoraID+s, s)})
	}
	return p, nil
}

// RemovePort has nothing to remove.
func (Network) RemovePort(context.Context, string) error { return nil }

// Ports lists none: nothing can be left behind.
func (Network) Ports(context.Context, string) ([]driver.Port, error) { return nil, nil }

// Compute has an instance for every amphora.
type Compute struct{}

// Light says that nothing can be left behind.
func (Compute) Light() {}

// Ensure returns an instance that runs.
func (Compute) Ensure(_ context.Context, want driver.Spec) (*driver.Instance, error) {
	return &driver.Instance{AmphoraID: want.AmphoraID, LoadBalancerID: want.LoadBalancerID, ComputeID: driver.DerivedID("compute", want.AmphoraID),
		State: driver.Running, Address: address(want.AmphoraID, ""), Zone: want.Zone, Image: want.Image, Flavor: want.Flavor}, nil
}

// Remove has nothing to end.
func (Compute) Remove(context.Context, string) error { return nil }

// List lists none.
func (Compute) List(context.Context) ([]driver.Instance, error) { return nil, nil }

// Manage returns nil: there are no agents.
func (Compute) Manage() driver.Management { return nil }

// Secrets has one certificate, which it made itself, for every ref.
type Secrets struct {
	once sync.Once
	cert driver.Certificate
	err  error
}

// noName is what the certificate is for: reserved by RFC 2606.
const noName = "noop.example"

// Certificate returns the certificate.
func (s *Secrets) Certificate(_ context.Context, ref string) (*driver.Certificate, error) {
	s.once.Do(s.make)
	if s.err != nil {
		return nil, s.err
	}
	c := s.cert
	c.Ref = ref
	return &c, nil
}

func (s *Secrets) make() {
	ca, err := pki.NewAuthority("noop", time.Now())
	if err != nil {
		s.err = err
		return
	}
	cert, key, err := ca.Issue(noName, []string{noName}, time.Now())
	s.err = err
	s.cert = driver.Certificate{Certificate: []byte(cert), Key: []byte(key), Intermediates: []byte(ca.Cert), Names: []string{noName}}
}

// Secret returns the authority of the certificate.
func (s *Secrets) Secret(ctx context.Context, ref string) ([]byte, error) {
	c, err := s.Certificate(ctx, ref)
	if err != nil {
		return nil, err
	}
	return c.Intermediates, nil
}

// AcceptsAnything says that every id is taken, so that which subnet is on which
// network cannot be told.
func (Network) AcceptsAnything() bool { return true }
