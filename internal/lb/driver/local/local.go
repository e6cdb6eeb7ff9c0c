// Package local gives load balancers networks of this computer: bridges in
// network namespaces, with the subnets that a file declares.
//
// Ports and their addresses are kept in one file beside the service's data, that
// is replaced atomically under a lock, so that several processes may allocate at
// the same time and no address is ever given twice.
package local

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/link"
)

var _ driver.Network = (*Network)(nil)

// Options say where things are.
type Options struct {
	File string // the declaration, YAML
	Dir  string // for the ports
}

// Network has the declared networks.
type Network struct {
	nets  []network
	ports ledger
}

// Open reads the declaration, and makes nothing.
func Open(o Options) (*Network, error) {
	data, err := os.ReadFile(o.File)
	if err != nil {
		return nil, fmt.Errorf("cannot read the networks: %w", err)
	}
	nets, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("cannot use the networks of %s: %w", o.File, err)
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, err
	}
	return &Network{nets: nets, ports: ledger{o.Dir}}, nil
}

// Prepare makes the bridges, with the addresses that this computer has on them.
func (n *Network) Prepare() error {
	for _, net := range n.nets {
		s, err := link.Make(net.Namespace)
		if err != nil {
			return fmt.Errorf("cannot make the network %s: %w", net.Name, err)
		}
		err = s.Bridge(net.Bridge, net.MTU, net.hostAddresses()...)
		s.Close()
		if err != nil {
			return fmt.Errorf("cannot make the network %s: %w", net.Name, err)
		}
	}
	return nil
}

// Networks and Subnets are for lists of everything that is declared.
func (n *Network) Networks() []driver.Net {
	var out []driver.Net
	for _, w := range n.nets {
		out = append(out, w.view())
	}
	return out
}

// Subnets returns all subnets in the order of the file.
func (n *Network) Subnets() []driver.Subnet {
	var out []driver.Subnet
	for _, w := range n.nets {
		for _, s := range w.Subnets {
			out = append(out, s.view(w.ID))
		}
	}
	return out
}

// Network looks a network up by its id.
func (n *Network) Network(_ context.Context, id string) (*driver.Net, error) {
	w := n.network(id)
	if w == nil {
		return nil, driver.NotFound("Network", id)
	}
	v := w.view()
	return &v, nil
}

func (n *Network) network(id string) *network {
	i := slices.IndexFunc(n.nets, func(w network) bool { return w.ID == id })
	if i < 0 {
		return nil
	}
	return &n.nets[i]
}

func (n *Network) subnet(id string) (*network, *subnet) {
	for i := range n.nets {
		for j := range n.nets[i].Subnets {
			if n.nets[i].Subnets[j].ID == id {
				return &n.nets[i], &n.nets[i].Subnets[j]
			}
		}
	}
	return nil, nil
}

// Subnet looks a subnet up by its id.
func (n *Network) Subnet(_ context.Context, id string) (*driver.Subnet, error) {
	w, s := n.subnet(id)
	if s == nil {
		return nil, driver.NotFound("Subnet", id)
	}
	ports, err := n.ports.read()
	if err != nil {
		return nil, err
	}
	v := s.view(w.ID)
	v.Free = s.free(ports)
	return &v, nil
}

// Port looks a port up by its id.
func (n *Network) Port(_ context.Context, id string) (*driver.Port, error) {
	ports, err := n.ports.read()
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(ports, func(p driver.Port) bool { return p.ID == id })
	if i < 0 {
		return nil, driver.NotFound("Port", id)
	}
	return n.bound(ports[i]), nil
}

// bound says where the port is plugged in.
func (n *Network) bound(p driver.Port) *driver.Port {
	if w := n.network(p.NetworkID); w != nil {
		p.Binding = &driver.Binding{Namespace: w.Namespace, Bridge: w.Bridge, MTU: w.MTU}
	}
	return &p
}

// QoSPolicy is not supported: a bridge has none.
func (n *Network) QoSPolicy(_ context.Context, id string) error {
	return &driver.Error{Kind: "qos_policy", ID: id, Class: driver.ErrUnsupported}
}

// SecurityGroup is not supported: amphorae filter by themselves.
func (n *Network) SecurityGroup(_ context.Context, id string) error {
	return driver.NotFound("Security Group", id)
}

// Ports lists the ports of a load balancer, or all.
func (n *Network) Ports(_ context.Context, loadBalancerID string) ([]driver.Port, error) {
	ports, err := n.ports.read()
	var out []driver.Port
	for _, p := range ports {
		if loadBalancerID == "" || p.LoadBalancerID == loadBalancerID {
			out = append(out, *n.bound(p))
		}
	}
	return out, err
}

// RemovePort forgets a port.
func (n *Network) RemovePort(ctx context.Context, id string) error {
	return n.ports.change(ctx, func(ports []driver.Port) ([]driver.Port, error) {
		return slices.DeleteFunc(ports, func(p driver.Port) bool { return p.ID == id }), nil
	})
}

// taken are the addresses in use.
func taken(ports []driver.Port) map[netip.Addr]string {
	m := map[netip.Addr]string{}
	for _, p := range ports {
		for _, f := range p.FixedIPs {
			m[f.Address] = p.ID
		}
	}
	return m
}
