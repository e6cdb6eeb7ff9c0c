// Package agents makes amphorae do what is stored, through their agents: it
// renders the configuration with the secrets that it needs, and sends it over
// mutual TLS.
//
// Agents are known by the id of their amphora, which their certificate has as
// its name, and not by their address: an address that was given to another
// answers to nobody.
package agents

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// Options are what the agents are spoken to with.
type Options struct {
	Management driver.Management
	Authority  *control.Authority
	Secrets    driver.Secrets
	// Receivers are the addresses of all controllers.
	Receivers func() []string
	Heartbeat time.Duration
	// Beats, if set, is told which beat an agent has sent last.
	Beats func(amphora string, boot, seq uint64)
	// Heard, if set, gets what an agent says when it is asked. The heartbeat of a
	// load balancer with thousands of members does not fit into a datagram: it is
	// silent, is asked, and is heard so.
	Heard func(*beat.Beat)
}

// Remote is the side of the amphorae.
type Remote struct {
	opts   Options
	agents *clients
	// known is what is known of the secrets of each load balancer that has some.
	mu    sync.Mutex
	known map[string]*secretsOf
}

var (
	_ control.Amphorae = (*Remote)(nil)
	_ control.Keeper   = (*Remote)(nil)
)

// New returns the side of the amphorae.
func New(o Options) *Remote {
	if o.Beats == nil {
		o.Beats = func(string, uint64, uint64) {}
	}
	if o.Heard == nil {
		o.Heard = func(*beat.Beat) {}
	}
	return &Remote{opts: o, agents: &clients{management: o.Management, authority: o.Authority, byID: map[string]known{}}, known: map[string]*secretsOf{}}
}

// Digest names what an amphora shall do.
func (r *Remote) Digest(ctx context.Context, want control.Want) (string, error) {
	c, err := r.config(ctx, want)
	if err != nil {
		return "", err
	}
	return c.Digest(), nil
}

func (r *Remote) config(ctx context.Context, want control.Want) (*amphora.Config, error) {
	secrets, err := r.secrets(ctx, want)
	if err != nil {
		return nil, err
	}
	a := want.Amphora
	p := render.Place{AmphoraID: a.ID, Version: want.Version, Fenced: want.Fenced, Secrets: secrets.data, Kept: secrets.kept,
		Heartbeat: amphora.Heartbeat{Receivers: r.opts.Receivers(), IntervalMS: int(r.opts.Heartbeat / time.Millisecond),
			Key: r.opts.Authority.HeartbeatKey(a.ID, a.KeyVersion)}}
	if p.VIPs, err = vips(want); err != nil {
		return nil, err
	}
	if want.Tree.LB.Topology == model.TopologyActiveStandby {
		if p.VRRP, err = vrrp(want); err != nil {
			return nil, err
		}
	}
	c, err := render.Config(without(treeOf(want.Tree), secrets.lost), p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", driver.ErrInvalid, err)
	}
	return c, nil
}

// vips returns the addresses with the prefixes of their subnets.
func vips(want control.Want) ([]amphora.VIP, error) {
	var out []amphora.VIP
	lb := want.Tree.LB
	for _, v := range append([]model.VIP{lb.VIP}, lb.AdditionalVIPs...) {
		addr, err := netip.ParseAddr(v.Address)
		if err != nil {
			return nil, fmt.Errorf("%w: the address %q of the load balancer is none", driver.ErrInvalid, v.Address)
		}
		out = append(out, amphora.VIP{Address: addr, Bits: bits(want, v.SubnetID, addr), Interface: driver.VIPInterface})
	}
	return out, nil
}

func bits(want control.Want, subnet string, addr netip.Addr) int {
	if len(want.Interfaces) > 0 {
		for _, s := range want.Interfaces[0].Subnets {
			if s.ID == subnet {
				return s.Prefix.Bits()
			}
		}
	}
	return addr.BitLen()
}

func vrrp(want control.Want) (*render.VRRP, error) {
	a := want.Amphora
	self, err := peer(a)
	if err != nil {
		return nil, err
	}
	v := &render.VRRP{Interface: driver.VIPInterface, Self: self, RouterID: a.VRRPID, Priority: a.VRRPPriority}
	for _, b := range want.Peers {
		p, err := peer(b)
		if err != nil {
			return nil, err
		}
		v.Others = append(v.Others, p)
	}
	return v, nil
}

func peer(a *model.Amphora) (render.Peer, error) {
	addr, err := netip.ParseAddr(a.VRRPIP)
	if err != nil {
		return render.Peer{}, fmt.Errorf("%w: amphora %s has no address on the network of the VIP yet", driver.ErrUnavailable, a.ID)
	}
	return render.Peer{AmphoraID: a.ID, Address: addr}, nil
}

// treeOf leaves out what is being deleted, and what is below it.
func treeOf(t *store.Tree) render.Tree {
	out := render.Tree{LoadBalancer: t.LB}
	stays := map[string]bool{}
	for _, l := range t.Listeners() {
		if keep(&l.Base, stays, "") {
			out.Listeners = append(out.Listeners, l)
		}
	}
	for _, p := range t.Pools() {
		if keep(&p.Base, stays, "") {
			out.Pools = append(out.Pools, p)
		}
	}
	for _, m := range t.AllMembers() {
		if keep(&m.Base, stays, m.PoolID) {
			out.Members = append(out.Members, m)
		}
	}
	for _, h := range t.HealthMonitors() {
		if keep(&h.Base, stays, h.PoolID) {
			out.Monitors = append(out.Monitors, h)
		}
	}
	for _, p := range t.AllL7Policies() {
		if keep(&p.Base, stays, p.ListenerID) {
			out.Policies = append(out.Policies, p)
		}
	}
	for _, r := range t.AllL7Rules() {
		if keep(&r.Base, stays, r.L7PolicyID) {
			out.Rules = append(out.Rules, r)
		}
	}
	return out
}

// keep reports whether an object stays, and notes that.
func keep(b *model.Base, stays map[string]bool, parent string) bool {
	ok := b.ProvisioningStatus != model.PendingDelete && (parent == "" || stays[parent])
	stays[b.ID] = ok
	return ok
}

// refs returns the refs of a load balancer; true are those of certificates with
// keys.
func refs(t *store.Tree) map[string]bool {
	out := map[string]bool{}
	add := func(pair bool, all ...string) {
		for _, ref := range all {
			if ref != "" {
				out[ref] = pair || out[ref]
			}
		}
	}
	for _, l := range t.Listeners() {
		if l.ProvisioningStatus != model.PendingDelete {
			add(false, l.ClientCATLSRef, l.ClientCRLRef)
			add(true, append([]string{l.DefaultTLSContainerRef}, l.SNIContainerRefs...)...)
		}
	}
	for _, p := range t.Pools() {
		if p.ProvisioningStatus != model.PendingDelete {
			add(false, p.CATLSContainerRef, p.CRLContainerRef)
			add(true, p.TLSContainerRef)
		}
	}
	return out
}
