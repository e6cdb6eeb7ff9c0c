package api

import (
	"net/http"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// plan is everything that the creation of a load balancer in a single call makes
// below it, in the order in which it can be stored.
type plan struct {
	s  *Server
	lb *model.LoadBalancer

	pools     []*model.Pool
	monitors  []*model.HealthMonitor
	members   []*model.Member
	listeners []*model.Listener
	policies  []*model.L7Policy
	rules     []*model.L7Rule

	byName map[string]*model.Pool
}

// newPlan works out a tree; it stores nothing.
func (s *Server) newPlan(lb *model.LoadBalancer, in *loadBalancerInput, flavor map[string]any) (*plan, *fault) {
	p := &plan{s: s, lb: lb, byName: map[string]*model.Pool{}}
	definitions, err := gatherPools(in)
	if err != nil {
		return nil, err
	}
	for _, d := range definitions {
		if err := p.addPool(d, flavor); err != nil {
			return nil, err
		}
	}
	for i := range in.listeners.v {
		if err := p.addListener(&in.listeners.v[i]); err != nil {
			return nil, err
		}
	}
	return p, p.checkSize()
}

// maxObjects bounds what one request makes: all writers wait for its transaction.
const maxObjects = 20_000

func (p *plan) checkSize() *fault {
	return checkObjects(len(p.pools) + len(p.monitors) + len(p.members) + len(p.listeners) + len(p.policies) + len(p.rules))
}

func checkObjects(n int) *fault {
	if n > maxObjects {
		return newFault(http.StatusRequestEntityTooLarge, "Request is too large: at most %d objects are made by one.", maxObjects)
	}
	return nil
}

// gatherPools finds the definitions of pools wherever they stand. A pool with
// more than a name is a definition, one with a name refers to one.
func gatherPools(in *loadBalancerInput) ([]*poolInput, *fault) {
	var all []*poolInput
	var wanted []string
	for i := range in.pools.v {
		all = append(all, &in.pools.v[i])
	}
	add := func(p *opt[poolInput]) *fault {
		switch {
		case !p.has():
		case p.v.name.or("") == "":
			return invalid("Pools must be named when creating a fully populated loadbalancer.")
		case p.v.full:
			all = append(all, &p.v)
		default:
			wanted = append(wanted, p.v.name.v)
		}
		return nil
	}
	for i := range in.listeners.v {
		l := &in.listeners.v[i]
		if err := add(&l.pool); err != nil {
			return nil, err
		}
		for j := range l.policies.v {
			if err := add(&l.policies.v[j].pool); err != nil {
				return nil, err
			}
		}
	}
	return all, checkNames(all, wanted)
}

func checkNames(all []*poolInput, wanted []string) *fault {
	names := map[string]bool{}
	for _, p := range all {
		name := p.name.or("")
		if name == "" {
			return invalid("Pools must be named when creating a fully populated loadbalancer.")
		}
		if names[name] {
			return invalid("Pool names must be unique when creating a fully populated loadbalancer.")
		}
		names[name] = true
	}
	for _, name := range wanted {
		if !names[name] {
			return invalid("Pool '%s' was referenced but no full definition was found.", name)
		}
	}
	for _, p := range all {
		for _, a := range []struct {
			name string
			in   opt[string]
		}{{"protocol", p.protocol}, {"lb_algorithm", p.algorithm}} {
			if !a.in.has() {
				return invalid("Pool definition for '%s' missing required attribute: %s", p.name.v, a.name)
			}
		}
	}
	return nil
}

func (p *plan) addPool(in *poolInput, flavor map[string]any) *fault {
	pool := newPool(in)
	born(&pool.Base)
	pool.LoadBalancerID = p.lb.ID
	if err := p.s.settings.checkPool(pool, in, nil); err != nil {
		return err
	}
	if err := checkAlgorithm(pool.LBAlgorithm); err != nil {
		return err
	}
	p.pools, p.byName[pool.Name] = append(p.pools, pool), pool
	if in.monitor.has() {
		h := newMonitor(&in.monitor.v)
		born(&h.Base)
		h.PoolID, h.LoadBalancerID = pool.ID, p.lb.ID
		if err := p.s.settings.checkMonitor(h, &in.monitor.v, pool.Protocol, false); err != nil {
			return err
		}
		p.monitors = append(p.monitors, h)
	}
	for i := range in.members.v {
		m := newMember(&in.members.v[i])
		born(&m.Base)
		m.PoolID, m.LoadBalancerID = pool.ID, p.lb.ID
		if !in.monitor.has() {
			m.OperatingStatus = model.OpNoMonitor
		}
		if err := p.s.settings.checkReserved(m.Address); err != nil {
			return err
		}
		if err := checkSRIOV(m, flavor); err != nil {
			return err
		}
		if err := checkFamily(m.Address, pool.Protocol, p.lb); err != nil {
			return err
		}
		p.members = append(p.members, m)
	}
	return nil
}

func (p *plan) addListener(in *listenerInput) *fault {
	l := newListener(in)
	born(&l.Base)
	l.LoadBalancerID = p.lb.ID
	switch {
	case in.pool.has():
		pool := p.byName[in.pool.v.name.v]
		l.DefaultPoolID = pool.ID
		if err := checkProtocols(l.Protocol, pool.Protocol); err != nil {
			return err
		}
	case l.DefaultPoolID != "":
		return notFound("Pool", l.DefaultPoolID) // a pool of another load balancer
	}
	if err := p.s.settings.checkListener(l, in, false); err != nil {
		return err
	}
	if p.lb.VIP.Address != "" {
		if err := checkCIDRs(l.AllowedCIDRs, p.lb); err != nil {
			return err
		}
	}
	p.listeners = append(p.listeners, l)
	from := len(p.policies)
	for i := range in.policies.v {
		if err := p.addPolicy(&in.policies.v[i], l); err != nil {
			return err
		}
	}
	inOrder(p.policies[from:])
	return nil
}

// inOrder puts the policies of a listener in the order that they have when one
// after the other takes its position, so that the store never has to move one.
func inOrder(policies []*model.L7Policy) {
	placed := make([]*model.L7Policy, 0, len(policies))
	for _, p := range policies {
		placed = slices.Insert(placed, min(p.Position-1, len(placed)), p)
	}
	copy(policies, placed)
	for i, p := range policies {
		p.Position = i + 1
	}
}

func (p *plan) addPolicy(given *policyInput, l *model.Listener) *fault {
	in := *given // its target is set below, and a transaction may run twice
	pool := ""
	if in.pool.has() {
		pool = p.byName[in.pool.v.name.v].ID
	}
	if l.Protocol == model.ProtocolPrometheus {
		return checkProtocols(l.Protocol, "")
	}
	policy, err := newPolicy(&in, pool)
	if err != nil {
		return err
	}
	if policy.RedirectPoolID != "" {
		if err := checkProtocols(l.Protocol, p.byName[in.pool.v.name.v].Protocol); err != nil {
			return err
		}
	}
	if err := checkReadsHTTP(l); err != nil {
		return err
	}
	born(&policy.Base)
	policy.ListenerID, policy.LoadBalancerID = l.ID, p.lb.ID
	rules, err := newRules(in.rules.v, policy)
	p.policies, p.rules = append(p.policies, policy), append(p.rules, rules...)
	return err
}

// store creates everything, or nothing. Quotas are asked for the whole of each kind.
func (p *plan) store(tx *store.Tx) error {
	n := map[model.Kind]int{
		model.KindPool: len(p.pools), model.KindHealthMonitor: len(p.monitors), model.KindMember: len(p.members),
		model.KindListener: len(p.listeners), model.KindL7Policy: len(p.policies), model.KindL7Rule: len(p.rules),
	}
	for _, kind := range model.QuotaKinds {
		if err := tx.Room(p.lb.ProjectID, kind, n[kind]); err != nil {
			return err
		}
	}
	for _, list := range [][]model.Stored{stored(p.pools), stored(p.monitors), stored(p.members), stored(p.listeners), stored(p.policies), stored(p.rules)} {
		for _, o := range list {
			if err := tx.Create(o); err != nil {
				return err
			}
		}
	}
	return nil
}

func stored[T model.Stored](list []T) []model.Stored {
	out := make([]model.Stored, len(list))
	for i, o := range list {
		out[i] = o
	}
	return out
}

// checkRefs asks for all certificates and subnets that the tree names.
func (p *plan) checkRefs(c *call) *fault {
	for _, l := range p.listeners {
		if err := c.lend(append(certificates(l), l.ClientCATLSRef, l.ClientCRLRef)...); err != nil {
			return err
		}
		if err := c.checkCertificates(certificates(l)); err != nil {
			return err
		}
		if err := c.checkAuthorities(l.ClientCATLSRef, l.ClientCRLRef); err != nil {
			return err
		}
	}
	for _, o := range p.pools {
		if err := c.lend(o.TLSContainerRef, o.CATLSContainerRef, o.CRLContainerRef); err != nil {
			return err
		}
		if o.TLSContainerRef != "" {
			if err := c.checkCertificates([]string{o.TLSContainerRef}); err != nil {
				return err
			}
		}
		if err := c.checkAuthorities(o.CATLSContainerRef, o.CRLContainerRef); err != nil {
			return err
		}
	}
	var subnets []string
	for _, m := range p.members {
		subnets = append(subnets, m.SubnetID)
	}
	return c.checkSubnets(subnets...)
}
