package api

import (
	"net/http"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// lockPolicies locks for a change of a listener's policies.
func (c *call) lockPolicies(tx *store.Tx, t *store.Tree, listener string) error {
	if err := c.lock(tx, t.LB.ID); err != nil {
		return err
	}
	tx.SetProvisioning(model.KindListener, listener, model.PendingUpdate)
	return nil
}

// checkRedirect wants the pool of a policy on the same load balancer and of a
// protocol that fits its listener, and a listener that reads HTTP.
func checkRedirect(t *store.Tree, p *model.L7Policy) error {
	l := t.Listener(p.ListenerID)
	if l == nil {
		return gone(model.KindListener, p.ListenerID)
	}
	if l.Protocol == model.ProtocolPrometheus {
		return checkProtocols(l.Protocol, "")
	}
	if p.RedirectPoolID != "" {
		pool := t.Pool(p.RedirectPoolID)
		if pool == nil {
			return notFound("Pool", p.RedirectPoolID)
		}
		if err := checkProtocols(l.Protocol, pool.Protocol); err != nil {
			return err
		}
	}
	return nil
}

// checkReadsHTTP wants a listener that the amphorae can apply policies to.
func checkReadsHTTP(l *model.Listener) *fault {
	if l.Protocol != model.ProtocolHTTP && l.Protocol != model.ProtocolTerminatedHTTPS {
		return unsupported(defaultProvider, "%s protocol listeners do not support L7 policies", l.Protocol)
	}
	return nil
}

func (s *Server) createPolicy(c *call) error {
	var in policyInput
	if err := c.body(in.create()); err != nil {
		return err
	}
	listener, t, err := find(c, "Listener", in.listener.v, c.snap.Listener)
	if err != nil {
		return err
	}
	draft, err := newPolicy(&in, "")
	if err != nil {
		return err
	}
	born(&draft.Base)
	draft.ListenerID, draft.LoadBalancerID = listener.ID, t.LB.ID
	rules, err := newRules(in.rules.v, draft)
	if err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		l, t := tx.Listener(listener.ID)
		if t == nil {
			return gone(model.KindListener, listener.ID)
		}
		if err := checkRedirect(t, draft); err != nil {
			return err
		}
		if err := tx.Room(t.LB.ProjectID, model.KindL7Policy, 1); err != nil {
			return err
		}
		if err := c.lockPolicies(tx, t, l.ID); err != nil {
			return err
		}
		if err := checkReadsHTTP(l); err != nil {
			return err
		}
		return createWithRules(tx, draft, rules)
	}); err != nil {
		return err
	}
	return created(c, s.kinds.policy, draft.ID, c.snap.L7Policy)
}

// newRules are the rules that come with a new policy.
func newRules(list []ruleInput, p *model.L7Policy) ([]*model.L7Rule, *fault) {
	if len(list) > model.MaxRules {
		return nil, newFault(http.StatusConflict, "Too many rules on L7 policy %s", p.ID)
	}
	out := make([]*model.L7Rule, len(list))
	for i := range list {
		r := newRule(&list[i])
		if err := checkRule(r); err != nil {
			return nil, err
		}
		born(&r.Base)
		r.LoadBalancerID, r.ListenerID, r.L7PolicyID = p.LoadBalancerID, p.ListenerID, p.ID
		out[i] = r
	}
	return out, nil
}

func createWithRules(tx *store.Tx, p *model.L7Policy, rules []*model.L7Rule) error {
	if err := tx.Create(p.Clone()); err != nil {
		return err
	}
	for _, r := range rules {
		if err := tx.Create(r.Clone()); err != nil {
			return err
		}
	}
	return nil
}

// nothing reports whether an update of a policy sent nothing.
func (in *policyInput) nothing() bool {
	return !in.name.sent && !in.description.sent && !in.enabled.sent && !in.tags.sent && !in.action.sent &&
		!in.url.sent && !in.prefix.sent && !in.poolID.sent && !in.position.sent && !in.code.sent
}

func (s *Server) updatePolicy(c *call) error {
	old, _, err := find(c, "L7Policy", c.values[0], c.snap.L7Policy)
	if err != nil {
		return err
	}
	var in policyInput
	if err := c.body(in.update()); err != nil {
		return err
	}
	if in.nothing() {
		return badRequest("Invalid L7 Policy arguments: Invalid update options")
	}
	if err := c.commit(func(tx *store.Tx) error {
		p, t := tx.L7Policy(old.ID)
		if t == nil {
			return gone(model.KindL7Policy, old.ID)
		}
		p = p.Clone()
		if err := changePolicy(p, &in); err != nil {
			return err
		}
		if err := checkRedirect(t, p); err != nil {
			return err
		}
		if err := c.lockPolicies(tx, t, p.ListenerID); err != nil {
			return err
		}
		changing(&p.Base)
		return tx.Update(p)
	}); err != nil {
		return err
	}
	return changed(c, http.StatusOK, s.kinds.policy, old.ID, c.snap.L7Policy)
}

func (s *Server) deletePolicy(c *call) error {
	old, _, err := find(c, "L7Policy", c.values[0], c.snap.L7Policy)
	if err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		p, t := tx.L7Policy(old.ID)
		if t == nil {
			return gone(model.KindL7Policy, old.ID)
		}
		if err := c.lockPolicies(tx, t, p.ListenerID); err != nil {
			return err
		}
		tx.SetProvisioning(model.KindL7Policy, p.ID, model.PendingDelete)
		return nil
	}))
}

// lockRules locks for a change of a policy's rules.
func (c *call) lockRules(tx *store.Tx, p *model.L7Policy, t *store.Tree) error {
	if err := tx.LockParent(model.KindL7Policy, p.ID); err != nil {
		return err
	}
	return c.lockPolicies(tx, t, p.ListenerID)
}

func (s *Server) createRule(c *call) error {
	policy, t, err := c.parentPolicy()
	if err != nil {
		return err
	}
	if err := c.authorize(t.LB.ProjectID); err != nil {
		return err
	}
	var in ruleInput
	if err := c.body(in.create()); err != nil {
		return err
	}
	draft := newRule(&in)
	if err := checkRule(draft); err != nil {
		return err
	}
	born(&draft.Base)
	draft.LoadBalancerID, draft.ListenerID, draft.L7PolicyID = t.LB.ID, policy.ListenerID, policy.ID
	if err := c.commit(func(tx *store.Tx) error {
		p, t := tx.L7Policy(policy.ID)
		if t == nil {
			return gone(model.KindL7Policy, policy.ID)
		}
		if len(t.L7Rules(p.ID)) >= model.MaxRules {
			return newFault(http.StatusConflict, "Too many rules on L7 policy %s", p.ID)
		}
		if err := tx.Room(t.LB.ProjectID, model.KindL7Rule, 1); err != nil {
			return err
		}
		if err := c.lockRules(tx, p, t); err != nil {
			return err
		}
		return tx.Create(draft.Clone())
	}); err != nil {
		return err
	}
	return created(c, s.kinds.rule, draft.ID, c.snap.L7Rule)
}

func (s *Server) updateRule(c *call) error {
	old, _, err := c.ownRule()
	if err != nil {
		return err
	}
	var in ruleInput
	if err := c.body(in.update()); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		r, t := tx.L7Rule(old.ID)
		if t == nil {
			return gone(model.KindL7Rule, old.ID)
		}
		r = r.Clone()
		changeRule(r, &in)
		if err := checkRule(r); err != nil {
			return err
		}
		if err := c.lockRules(tx, t.L7Policy(r.L7PolicyID), t); err != nil {
			return err
		}
		changing(&r.Base)
		return tx.Update(r)
	}); err != nil {
		return err
	}
	return changed(c, http.StatusOK, s.kinds.rule, old.ID, c.snap.L7Rule)
}

func (s *Server) deleteRule(c *call) error {
	old, _, err := c.ownRule()
	if err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		r, t := tx.L7Rule(old.ID)
		if t == nil {
			return gone(model.KindL7Rule, old.ID)
		}
		if err := c.lockRules(tx, t.L7Policy(r.L7PolicyID), t); err != nil {
			return err
		}
		tx.SetProvisioning(model.KindL7Rule, r.ID, model.PendingDelete)
		return nil
	}))
}
