package api

import (
	"net/http"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func (s *Server) createMember(c *call) error {
	pool, t, err := c.parentPool()
	if err != nil {
		return err
	}
	if err := c.authorize(t.LB.ProjectID); err != nil {
		return err
	}
	var in memberInput
	if err := c.body(in.create()); err != nil {
		return err
	}
	if err := s.settings.checkReserved(in.address.v); err != nil {
		return err
	}
	if err := c.checkSubnets(in.subnet.or("")); err != nil {
		return err
	}
	draft := newMember(&in)
	born(&draft.Base)
	if err := c.commit(func(tx *store.Tx) error {
		p, t := tx.Pool(pool.ID)
		if t == nil {
			return gone(model.KindPool, pool.ID)
		}
		if err := tx.Room(t.LB.ProjectID, model.KindMember, 1); err != nil {
			return err
		}
		if err := checkSRIOV(draft, flavorData(tx.View(), t.LB.FlavorID)); err != nil {
			return err
		}
		if err := c.lockPool(tx, p, t); err != nil {
			return err
		}
		return addMember(tx, draft.Clone(), newHome(p, t))
	}); err != nil {
		return err
	}
	return created(c, s.kinds.member, draft.ID, c.snap.Member)
}

// memberHome is what a new member has to know of its pool.
type memberHome struct {
	pool      *model.Pool
	lb        *model.LoadBalancer
	monitored bool
	used      bool // by a listener
}

func newHome(p *model.Pool, t *store.Tree) memberHome {
	return memberHome{p, t.LB, t.HealthMonitorOf(p.ID) != nil, len(listenersOf(poolRow{p, t})) > 0}
}

// addMember stores a member of a pool.
func addMember(tx *store.Tx, m *model.Member, at memberHome) error {
	m.PoolID, m.LoadBalancerID = at.pool.ID, at.lb.ID
	if !at.monitored {
		m.OperatingStatus = model.OpNoMonitor
	}
	if at.used {
		if err := checkFamily(m.Address, at.pool.Protocol, at.lb); err != nil {
			return err
		}
	}
	return tx.Create(m)
}

// checkFamily wants a VIP of the member's family where packets are only translated.
func checkFamily(address string, protocol model.Protocol, lb *model.LoadBalancer) *fault {
	if !isDatagram(protocol) || lb.VIP.Address == "" {
		return nil
	}
	same := func(vip string) bool { return isIPv6(vip) == isIPv6(address) }
	if !slices.ContainsFunc(vipAddresses(lb), same) {
		return unsupported(defaultProvider, "This provider doesn't support mixing IPv4 and IPv6 addresses for its VIP and members in %s load balancers.", protocol)
	}
	return nil
}

func checkSRIOV(m *model.Member, flavor map[string]any) *fault {
	if allowed, _ := flavor["allow_member_sriov"].(bool); m.VNICType == "direct" && !allowed {
		return badRequest("The load balancer flavor does not allow SR-IOV member ports.")
	}
	return nil
}

func (s *Server) updateMember(c *call) error {
	old, _, err := c.ownMember()
	if err != nil {
		return err
	}
	var in memberInput
	if err := c.body(in.update()); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		m, p, t, err := memberIn(tx, old.ID)
		if err != nil {
			return err
		}
		if err := c.lockPool(tx, p, t); err != nil {
			return err
		}
		m = m.Clone()
		changeMember(m, &in)
		changing(&m.Base)
		return tx.Update(m)
	}); err != nil {
		return err
	}
	return changed(c, http.StatusOK, s.kinds.member, old.ID, c.snap.Member)
}

func memberIn(tx *store.Tx, id string) (*model.Member, *model.Pool, *store.Tree, error) {
	m, t := tx.Member(id)
	if t == nil {
		return nil, nil, nil, gone(model.KindMember, id)
	}
	return m, t.Pool(m.PoolID), t, nil
}

func (s *Server) deleteMember(c *call) error {
	old, _, err := c.ownMember()
	if err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		_, p, t, err := memberIn(tx, old.ID)
		if err != nil {
			return err
		}
		if err := c.lockPool(tx, p, t); err != nil {
			return err
		}
		tx.SetProvisioning(model.KindMember, old.ID, model.PendingDelete)
		return nil
	}))
}

// place is what members of a pool are told apart by.
type place struct {
	address string
	port    int
}

// replaceMembers is the batch update: the members that are listed are to be
// there, and no others unless additive_only.
func (s *Server) replaceMembers(c *call) error {
	pool, t, err := c.parentPool()
	if err != nil {
		return err
	}
	additive, err := c.mayReplaceMembers(t.LB.ProjectID)
	if err != nil {
		return err
	}
	members, err := c.memberList()
	if err != nil {
		return err
	}
	if err := checkObjects(len(members)); err != nil {
		return err
	}
	if err := c.checkNewMembers(members, t.Members(pool.ID)); err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		p, t := tx.Pool(pool.ID)
		if t == nil {
			return gone(model.KindPool, pool.ID)
		}
		b, err := newBatch(members, t.Members(p.ID), additive)
		if err != nil {
			return err
		}
		if err := checkBatch(tx, t, b); err != nil || b.empty() {
			return err
		}
		if err := c.lockPool(tx, p, t); err != nil {
			return err
		}
		return b.apply(tx, p, t)
	}))
}

// mayReplaceMembers asks for all that a batch does.
func (c *call) mayReplaceMembers(project string) (additive bool, err *fault) {
	if c.r.URL.RawQuery != "" {
		additive, _ = asBool(c.r.URL.Query().Get("additive_only"))
	}
	for _, action := range []string{":post", ":put", ":delete"} {
		if action == ":delete" && additive {
			break
		}
		if err := c.authorizeFor("os_load-balancer_api:member"+action, project); err != nil {
			return false, err
		}
	}
	return additive, nil
}

// memberList reads {"members": […]}.
func (c *call) memberList() ([]memberInput, *fault) {
	value, err := c.json()
	if err != nil {
		return nil, err
	}
	inner, err := unwrap(value, c.route.argument, c.route.wrapper)
	if err != nil {
		return nil, err
	}
	var list opt[[]memberInput]
	if err := objects(c.route.wrapper, &list, (*memberInput).create).read(inner); err != nil {
		return nil, nested(c.route.argument, err)
	}
	return list.v, nil
}

// checkNewMembers looks at those that are not in the pool yet, and at the subnets
// that others get.
func (c *call) checkNewMembers(members []memberInput, have []*model.Member) *fault {
	known := placesOf(have)
	var subnets []string
	for i := range members {
		in := &members[i]
		old := known[place{in.address.v, in.port.v}]
		if old == nil {
			if err := c.s.settings.checkReserved(in.address.v); err != nil {
				return err
			}
		}
		if subnet := in.subnet.or(""); old == nil || old.SubnetID != subnet {
			subnets = append(subnets, subnet)
		}
	}
	return c.checkSubnets(subnets...)
}

func placesOf(members []*model.Member) map[place]*model.Member {
	m := make(map[place]*model.Member, len(members))
	for _, o := range members {
		m[place{o.Address, o.ProtocolPort}] = o
	}
	return m
}

// batch is what a batch update comes to.
type batch struct{ add, update, drop []*model.Member }

func newBatch(members []memberInput, have []*model.Member, additive bool) (*batch, error) {
	b, known, seen := &batch{}, placesOf(have), map[place]bool{}
	for i := range members {
		in := &members[i]
		at := place{in.address.v, in.port.v}
		old := known[at]
		if old == nil {
			m := newMember(in)
			born(&m.Base)
			b.add = append(b.add, m) // twice the same is found by the store: 409
			continue
		}
		if seen[at] {
			return nil, invalid("Member must be updated only once in the same request.")
		}
		seen[at] = true
		m := old.Clone()
		replaceMember(m, in)
		b.update = append(b.update, m)
	}
	for _, o := range have {
		if !additive && !seen[place{o.Address, o.ProtocolPort}] {
			b.drop = append(b.drop, o)
		}
	}
	return b, nil
}

// replaceMember changes a member to what is listed: what has a default takes it
// unless sent.
func replaceMember(m *model.Member, in *memberInput) {
	m.AdminStateUp, m.Weight, m.Backup, m.MonitorAddress, m.MonitorPort = true, 1, false, "", 0
	changeMember(m, in)
	in.subnet.apply(&m.SubnetID, "")
	changing(&m.Base)
}

func (b *batch) empty() bool { return len(b.add)+len(b.update)+len(b.drop) == 0 }

func checkBatch(tx *store.Tx, t *store.Tree, b *batch) error {
	flavor := flavorData(tx.View(), t.LB.FlavorID)
	for _, m := range b.add {
		if err := checkSRIOV(m, flavor); err != nil {
			return err
		}
	}
	return tx.Room(t.LB.ProjectID, model.KindMember, len(b.add)-len(b.drop))
}

// apply stores a batch. What goes still counts until it is gone: the quota was
// asked for the difference.
func (b *batch) apply(tx *store.Tx, p *model.Pool, t *store.Tree) error {
	for _, o := range b.drop {
		m := o.Clone()
		m.ProvisioningStatus = model.PendingDelete
		b.update = append(b.update, m)
	}
	for _, m := range b.update {
		if err := tx.Update(m); err != nil {
			return err
		}
	}
	home := newHome(p, t)
	return tx.Counted(func() error {
		for _, m := range b.add {
			if err := addMember(tx, m, home); err != nil {
				return err
			}
		}
		return nil
	})
}
