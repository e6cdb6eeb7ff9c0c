package control

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

func endpoint(in *driver.Instance) string {
	if !in.Address.IsValid() {
		return ""
	}
	return net.JoinHostPort(in.Address.String(), strconv.Itoa(driver.AgentPort))
}

// boot makes the identity of an agent that is about to be started. A controller
// that was held up, and does not know that another has its shard and has removed
// the amphora, must not start it again: nobody else would have it leave the VIP.
func (c *Controller) boot(ctx context.Context, a *model.Amphora, expires *time.Time) (driver.Boot, error) {
	wanted := false
	if err := c.change(ctx, a.LoadBalancerID, func(_ *store.Tx, now *store.Tree) error {
		cur := now.Amphora(a.ID)
		wanted = cur != nil && !dead(cur)
		return nil
	}); err != nil {
		return driver.Boot{}, err
	}
	if !wanted {
		return driver.Boot{}, errAgain
	}
	cert, key, err := c.opts.Authority.Issue(a.ID)
	if err != nil {
		return driver.Boot{}, err
	}
	left, err := pki.Left(cert, time.Now())
	if err != nil {
		return driver.Boot{}, err
	}
	*expires = time.Now().Add(left).UTC().Truncate(time.Second)
	return driver.Boot{AmphoraID: a.ID, Certificate: cert, Key: key, Authority: c.opts.Authority.Bundle(),
		HeartbeatKey: c.opts.Authority.HeartbeatKey(a.ID, a.KeyVersion), Receivers: c.opts.Receivers(), HeartbeatInterval: c.limits.Heartbeat}, nil
}

// site is a network that an amphora stands on, and the subnets of it that matter.
type site struct {
	network string
	subnets []driver.Subnet
}

// ports makes the ports of an amphora: that of the VIP first, then one for each
// other network that has members.
func (p *pass) ports(ctx context.Context, a *model.Amphora) ([]driver.Interface, error) {
	if p.c.light {
		return nil, nil
	}
	sites, err := p.c.sites(ctx, p.t)
	if err != nil {
		return nil, err
	}
	var out []driver.Interface
	for i, s := range sites {
		req := driver.PortRequest{LoadBalancerID: a.LoadBalancerID, AmphoraID: a.ID, ProjectID: p.t.LB.ProjectID, NetworkID: s.network}
		for _, n := range s.subnets {
			req.Subnets = append(req.Subnets, n.ID)
		}
		if i == 0 {
			req.Allowed, req.QoSPolicyID, req.SecurityGroupIDs = addressesOf(p.t.LB), p.t.LB.VIPQoSPolicyID, p.t.LB.VIPSGIDs
		}
		port, err := p.c.opts.Network.EnsurePort(ctx, req)
		if err != nil {
			return nil, err
		}
		out = append(out, place(*port, s.subnets))
	}
	return out, nil
}

// place puts the subnets in the order of the port's addresses.
func place(port driver.Port, subnets []driver.Subnet) driver.Interface {
	in := driver.Interface{Port: port}
	in.Port.FixedIPs = nil
	for _, f := range port.FixedIPs {
		if i := slices.IndexFunc(subnets, func(s driver.Subnet) bool { return s.ID == f.SubnetID }); i >= 0 {
			in.Port.FixedIPs = append(in.Port.FixedIPs, f)
			in.Subnets = append(in.Subnets, subnets[i])
		}
	}
	return in
}

// addressesOf returns the VIPs.
func addressesOf(lb *model.LoadBalancer) []netip.Addr {
	var out []netip.Addr
	for _, v := range append([]model.VIP{lb.VIP}, lb.AdditionalVIPs...) {
		if a, err := netip.ParseAddr(v.Address); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// sites returns where amphorae of a load balancer stand. The order does not
// depend on that of the members.
func (c *Controller) sites(ctx context.Context, t *store.Tree) ([]site, error) {
	ids := []string{t.LB.VIP.SubnetID}
	for _, v := range t.LB.AdditionalVIPs {
		ids = append(ids, v.SubnetID)
	}
	var others []string
	for _, m := range t.AllMembers() {
		if m.SubnetID != "" && m.ProvisioningStatus != model.PendingDelete {
			others = append(others, m.SubnetID)
		}
	}
	slices.Sort(others)
	var out []site
	seen := map[string]bool{}
	for _, id := range append(ids, others...) {
		if seen[id] {
			continue
		}
		seen[id] = true
		s, err := c.opts.Network.Subnet(ctx, id)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(out, func(o site) bool { return o.network == s.NetworkID })
		if i < 0 {
			i, out = len(out), append(out, site{network: s.NetworkID})
		}
		out[i].subnets = append(out[i].subnets, *s)
	}
	if len(out) == 0 || out[0].network != t.LB.VIP.NetworkID {
		return nil, fmt.Errorf("%w: the subnet %s is not on the network %s", driver.ErrInvalid, t.LB.VIP.SubnetID, t.LB.VIP.NetworkID)
	}
	return out, nil
}

// condemn notes that an amphora is of no use any longer: another replaces it.
func (c *Controller) condemn(ctx context.Context, a *model.Amphora, reason string) error {
	err := c.change(ctx, a.LoadBalancerID, func(tx *store.Tx, now *store.Tree) error {
		cur := now.Amphora(a.ID)
		if cur == nil || dead(cur) {
			return nil
		}
		d := cur.Clone()
		d.Status, d.Reason, d.UpdatedAt = model.AmphoraError, reason, model.Now()
		return tx.Update(d)
	})
	if err != nil {
		return err
	}
	c.Metrics.condemned()
	c.log.Warn("an amphora is given up", "loadbalancer", a.LoadBalancerID, "amphora", a.ID, "reason", reason)
	return fmt.Errorf("amphora %s is being replaced: %s", a.ID, reason)
}
