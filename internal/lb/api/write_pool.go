package api

import (
	"net/http"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// poolParent is the load balancer that a new pool goes to, and the listener that
// it becomes the default of.
func (c *call) poolParent(in *poolInput) (*store.Tree, *model.Listener, *fault) {
	var t *store.Tree
	var err *fault
	if lb := in.loadBalancer.or(""); lb != "" {
		if t, err = c.tree(lb); err != nil {
			return nil, nil, err
		}
	}
	id := in.listener.or("")
	if id == "" {
		if t == nil {
			return nil, nil, invalid("Must provide at least one of: loadbalancer_id, listener_id")
		}
		return t, nil, nil
	}
	l, home := c.snap.Listener(id)
	if home == nil || t != nil && t != home {
		return nil, nil, notFound("Listener", id)
	}
	return home, l, nil
}

func (s *Server) createPool(c *call) error {
	var in poolInput
	if err := c.body(in.create()); err != nil {
		return err
	}
	t, listener, err := c.poolParent(&in)
	if err != nil {
		return err
	}
	if err := c.authorize(t.LB.ProjectID); err != nil {
		return err
	}
	draft := newPool(&in)
	born(&draft.Base)
	draft.LoadBalancerID = t.LB.ID
	if listener != nil {
		if err := checkProtocols(listener.Protocol, draft.Protocol); err != nil {
			return err
		}
	}
	if err := s.settings.checkPool(draft, &in, nil); err != nil {
		return err
	}
	if err := c.checkPoolRefs(draft, &in); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		if err := tx.Room(t.LB.ProjectID, model.KindPool, 1); err != nil {
			return err
		}
		return c.attachPool(tx, draft.Clone(), listener)
	}); err != nil {
		return err
	}
	return created(c, s.kinds.pool, draft.ID, c.snap.Pool)
}

// attachPool stores a new pool, as the default of a listener if there is one.
func (c *call) attachPool(tx *store.Tx, p *model.Pool, listener *model.Listener) error {
	if listener == nil {
		if err := c.lock(tx, p.LoadBalancerID); err != nil {
			return err
		}
		return c.createPoolIn(tx, p)
	}
	l, t := tx.Listener(listener.ID)
	if t == nil {
		return gone(model.KindListener, listener.ID)
	}
	if l.DefaultPoolID != "" {
		return newFault(http.StatusConflict, "This listener already has a default pool")
	}
	if err := c.lock(tx, p.LoadBalancerID); err != nil {
		return err
	}
	if err := c.createPoolIn(tx, p); err != nil {
		return err
	}
	l = l.Clone()
	l.DefaultPoolID = p.ID
	changing(&l.Base)
	return tx.Update(l)
}

// createPoolIn stores a pool if the amphorae can do what it asks for.
func (c *call) createPoolIn(tx *store.Tx, p *model.Pool) error {
	if err := checkAlgorithm(p.LBAlgorithm); err != nil {
		return err
	}
	return tx.Create(p)
}

func checkAlgorithm(a model.Algorithm) *fault {
	if a == model.SourceIPPort {
		return unsupported(defaultProvider, "Amphora provider does not support %s algorithm.", a)
	}
	return nil
}

// checkPoolRefs asks for the certificates that a request names.
func (c *call) checkPoolRefs(p *model.Pool, in *poolInput) *fault {
	if err := c.lend(in.tlsRef.or(""), in.caRef.or(""), in.crlRef.or("")); err != nil {
		return err
	}
	if ref := in.tlsRef.or(""); ref != "" {
		if err := c.checkCertificates([]string{ref}); err != nil {
			return err
		}
	}
	if in.caRef.or("") == "" && in.crlRef.or("") == "" {
		return nil
	}
	return c.checkAuthorities(p.CATLSContainerRef, p.CRLContainerRef)
}

func (s *Server) updatePool(c *call) error {
	old, _, err := find(c, "Pool", c.values[0], c.snap.Pool)
	if err != nil {
		return err
	}
	var in poolInput
	if err := c.body(in.update()); err != nil {
		return err
	}
	draft := old.Clone()
	changePool(draft, &in)
	if err := s.settings.checkPool(draft, &in, old); err != nil {
		return err
	}
	if err := c.checkPoolRefs(draft, &in); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		p, t := tx.Pool(old.ID)
		if t == nil {
			return gone(model.KindPool, old.ID)
		}
		next := p.Clone()
		changePool(next, &in)
		if err := s.settings.checkPool(next, &in, p); err != nil {
			return err
		}
		if err := c.lock(tx, t.LB.ID); err != nil {
			return err
		}
		if err := checkAlgorithm(next.LBAlgorithm); err != nil {
			return err
		}
		touchListeners(tx, p, t)
		changing(&next.Base)
		return tx.Update(next)
	}); err != nil {
		return err
	}
	return changed(c, http.StatusOK, s.kinds.pool, old.ID, c.snap.Pool)
}

func (s *Server) deletePool(c *call) error {
	old, _, err := find(c, "Pool", c.values[0], c.snap.Pool)
	if err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		p, t := tx.Pool(old.ID)
		if t == nil {
			return gone(model.KindPool, old.ID)
		}
		redirects := func(o *model.L7Policy) bool { return o.RedirectPoolID == p.ID }
		if i := slices.IndexFunc(t.AllL7Policies(), redirects); i >= 0 {
			return newFault(http.StatusConflict, "Pool %s is in use by L7 policy %s", p.ID, t.AllL7Policies()[i].ID)
		}
		if err := c.lock(tx, t.LB.ID); err != nil {
			return err
		}
		touchListeners(tx, p, t)
		tx.SetProvisioning(model.KindPool, p.ID, model.PendingDelete)
		return nil
	}))
}
