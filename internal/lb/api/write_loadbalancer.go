package api

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func (s *Server) createLoadBalancer(c *call) error {
	var in loadBalancerInput
	if err := c.body(in.create()); err != nil {
		return err
	}
	project := in.project.or(c.who.ProjectID)
	if project == "" {
		return invalid("Missing project ID in request where one is required. " +
			"An administrator should check the keystone settings in the Octavia configuration.")
	}
	if err := c.mayWrite(project, in.groups.sent); err != nil {
		return err
	}
	draft := &model.LoadBalancer{VIPVNICType: "normal", VIPQoSPolicyID: in.qos.or(""), VIPSGIDs: in.groups.v}
	draft.AdminStateUp = true
	in.common.apply(&draft.Base)
	born(&draft.Base)
	draft.ProjectID, draft.RequestID, draft.StatusSince = project, c.id, draft.CreatedAt
	flavor, zone, err := c.choose(draft, &in)
	if err != nil {
		return err
	}
	want, err := c.resolveVIP(&in, networksOf(zone))
	if err != nil {
		return err
	}
	draft.VIPQoSPolicyID = want.QoSPolicyID
	if err := c.checkTree(draft, &in, flavor); err != nil {
		return err
	}
	vip, err := c.reserve(draft, want)
	if err != nil {
		return err
	}
	if err := c.storeTree(draft, &in, flavor); err != nil {
		if !store.Uncertain(err) { // else another might get the address of one that is there
			c.release(vip)
		}
		return err
	}
	t, err := c.tree(draft.ID)
	if err != nil {
		return err
	}
	respond(c, http.StatusCreated, s.kinds.wholeLB, lbRow{t.LB, t}, nil)
	return nil
}

// mayWrite asks about the action, and about security groups if they are sent.
func (c *call) mayWrite(project string, groups bool) *fault {
	if err := c.authorize(project); err != nil || !groups {
		return err
	}
	return c.authorizeFor(c.route.action+":vip_sg_ids", project)
}

// checkTree looks at what shall be below a load balancer before anything is
// reserved for it.
func (c *call) checkTree(lb *model.LoadBalancer, in *loadBalancerInput, flavor map[string]any) *fault {
	if len(in.listeners.v) == 0 && len(in.pools.v) == 0 {
		return nil
	}
	p, err := c.s.newPlan(lb, in, flavor)
	if err != nil {
		return err
	}
	return p.checkRefs(c)
}

func (c *call) storeTree(draft *model.LoadBalancer, in *loadBalancerInput, flavor map[string]any) error {
	return c.commit(func(tx *store.Tx) error {
		lb := draft.Clone()
		if err := tx.Create(lb); err != nil {
			return err
		}
		if len(in.listeners.v) == 0 && len(in.pools.v) == 0 {
			return nil
		}
		p, err := c.s.newPlan(lb, in, flavor)
		if err != nil {
			return err
		}
		return p.store(tx)
	})
}

// choose settles flavor, zone, provider and topology.
func (c *call) choose(lb *model.LoadBalancer, in *loadBalancerInput) (flavor, zone map[string]any, err *fault) {
	provider := in.provider.or("")
	if in.flavor.has() {
		f := c.snap.Flavor(in.flavor.v)
		switch {
		case f == nil || f.ID == model.NilID:
			return nil, nil, invalid("Invalid flavor_id.")
		case !f.Enabled:
			return nil, nil, disabled("flavor", f.ID)
		}
		lb.FlavorID = f.ID
		flavor = flavorData(c.snap, f.ID)
		if p := c.snap.FlavorProfile(f.FlavorProfileID); p != nil {
			if provider != "" && provider != p.ProviderName {
				return nil, nil, badRequest("Flavor '%s' is not compatible with provider '%s'", f.ID, provider)
			}
			provider = p.ProviderName
		}
	}
	if zone, err = c.chooseZone(lb, in.zone); err != nil {
		return nil, nil, err
	}
	if provider == "" {
		provider = defaultProvider
	}
	if !knownProvider(provider) {
		return nil, nil, badRequest("Provider '%s' is not enabled.", provider)
	}
	lb.Provider, lb.Topology = provider, c.s.settings.Topology
	if t, ok := flavor["loadbalancer_topology"].(string); ok {
		lb.Topology = t
	}
	if direct, _ := flavor["sriov_vip"].(bool); direct {
		lb.VIPVNICType = "direct"
	}
	return flavor, zone, checkVNIC(lb)
}

func checkVNIC(lb *model.LoadBalancer) *fault {
	if lb.VIPVNICType == "direct" && len(lb.VIPSGIDs) > 0 {
		return invalid("VIP Security Groups are not allowed with VNIC direct type")
	}
	return nil
}

func (c *call) chooseZone(lb *model.LoadBalancer, name opt[string]) (map[string]any, *fault) {
	if !name.has() {
		return nil, nil
	}
	z := c.snap.AvailabilityZone(name.v)
	switch {
	case z == nil || z.Name == model.NilID:
		return nil, invalid("Invalid availability zone.")
	case !z.Enabled:
		return nil, disabled("availability_zone", z.Name)
	}
	lb.AvailabilityZone = z.Name
	p := c.snap.AvailabilityZoneProfile(z.AvailabilityZoneProfileID)
	if p == nil {
		return nil, nil
	}
	return parseData(p.AvailabilityZoneData), nil
}

// networksOf are the networks for VIPs that a zone names.
func networksOf(zone map[string]any) []string {
	var out []string
	list, _ := zone["valid_vip_networks"].([]any)
	for _, v := range list {
		if s, ok := v.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

// flavorData is what a flavor's profile says.
func flavorData(snap *store.Snapshot, id string) map[string]any {
	if id == "" {
		return nil
	}
	f := snap.Flavor(id)
	if f == nil {
		return nil
	}
	p := snap.FlavorProfile(f.FlavorProfileID)
	if p == nil {
		return nil
	}
	return parseData(p.FlavorData)
}

// parseData reads what was checked when it was stored.
func parseData(text string) map[string]any {
	var m map[string]any
	if json.Unmarshal([]byte(text), &m) != nil {
		return nil
	}
	return m
}

func (s *Server) updateLoadBalancer(c *call) error {
	t, err := c.tree(c.values[0])
	if err != nil {
		return err
	}
	if err := c.authorize(t.LB.ProjectID); err != nil {
		return err
	}
	var in loadBalancerInput
	if err := c.body(in.update()); err != nil {
		return err
	}
	if err := c.mayWrite(t.LB.ProjectID, in.groups.sent); err != nil {
		return err
	}
	if err := c.checkUpdate(t.LB, &in); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		if err := tx.LockForUpdate(t.LB.ID); err != nil {
			return err
		}
		return c.stamp(tx, t.LB.ID, func(lb *model.LoadBalancer) {
			in.common.apply(&lb.Base)
			in.qos.apply(&lb.VIPQoSPolicyID, "")
			in.groups.apply(&lb.VIPSGIDs, nil)
		})
	}); err != nil {
		return err
	}
	if t, err = c.tree(t.LB.ID); err != nil {
		return err
	}
	return showOne(c, s.kinds.lb, lbRow{t.LB, t})
}

// checkUpdate asks the network for what an update names.
func (c *call) checkUpdate(lb *model.LoadBalancer, in *loadBalancerInput) *fault {
	if in.qos.sent {
		err := c.qosExists(in.qos.or(""))
		if in.qos.null { // null where there is no QoS is a fault too
			err = c.qosSupported()
		}
		if err != nil {
			return err
		}
	}
	if err := c.groupsExist(in.groups.v); err != nil {
		return err
	}
	if len(in.groups.v) > 0 {
		next := lb.Clone()
		next.VIPSGIDs = in.groups.v
		return checkVNIC(next)
	}
	return nil
}

// qosSupported asks for a policy that does not exist, to learn whether any could.
func (c *call) qosSupported() *fault {
	if errors.Is(c.s.network.QoSPolicy(c.r.Context(), model.NilID), driver.ErrUnsupported) {
		return invalid("VIP QoS policy is not allowed in this deployment.")
	}
	return nil
}

func (s *Server) deleteLoadBalancer(c *call) error {
	old, err := c.ownTree()
	if err != nil {
		return err
	}
	cascade := false
	if c.r.URL.RawQuery != "" {
		cascade, _ = asBool(c.r.URL.Query().Get("cascade"))
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		t := tx.Tree(old.LB.ID)
		if t == nil {
			return gone(model.KindLoadBalancer, old.LB.ID)
		}
		if !cascade && len(t.Listeners())+len(t.Pools()) > 0 {
			return invalid("Cannot delete Load Balancer %s - it has children", t.LB.ID)
		}
		if err := tx.LockForDelete(t.LB.ID); err != nil {
			return err
		}
		return c.stamp(tx, t.LB.ID, func(lb *model.LoadBalancer) { lb.Cascade = cascade })
	}))
}

func (s *Server) failOverLoadBalancer(c *call) error {
	t, err := c.ownTree()
	if err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		if err := tx.LockForFailover(t.LB.ID); err != nil {
			return err
		}
		var targets []string
		for _, a := range tx.Tree(t.LB.ID).Amphorae() {
			targets = append(targets, a.ID)
		}
		return c.stamp(tx, t.LB.ID, func(lb *model.LoadBalancer) {
			lb.Failover = &model.Failover{Targets: targets, RequestedAt: model.Now(), RequestID: c.id}
		})
	}))
}
