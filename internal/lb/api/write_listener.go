package api

import (
	"net/http"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func (s *Server) createListener(c *call) error {
	var in listenerInput
	if err := c.body(in.create()); err != nil {
		return err
	}
	t, err := c.tree(in.loadBalancer.v)
	if err != nil {
		return err
	}
	if err := c.authorize(t.LB.ProjectID); err != nil {
		return err
	}
	draft := newListener(&in)
	born(&draft.Base)
	draft.LoadBalancerID = t.LB.ID
	if err := c.checkListenerRefs(draft, &in); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		l := draft.Clone()
		if err := tx.Room(t.LB.ProjectID, model.KindListener, 1); err != nil {
			return err
		}
		if err := s.checkDefaultPool(tx.Tree(l.LoadBalancerID), l); err != nil {
			return err
		}
		if err := c.lock(tx, l.LoadBalancerID); err != nil {
			return err
		}
		if err := s.settings.checkListener(l, &in, false); err != nil {
			return err
		}
		if err := checkCIDRs(l.AllowedCIDRs, tx.LoadBalancer(l.LoadBalancerID)); err != nil {
			return err
		}
		return tx.Create(l)
	}); err != nil {
		return err
	}
	return created(c, s.kinds.listener, draft.ID, c.snap.Listener)
}

// checkListenerRefs asks for the certificates that a listener shall have, if
// that could be one at all.
func (c *call) checkListenerRefs(l *model.Listener, in *listenerInput) *fault {
	if in.tlsRef.or("") == "" && len(in.sniRefs.v) == 0 && in.caRef.or("") == "" && in.crlRef.or("") == "" {
		return nil
	}
	if err := c.s.settings.checkListener(l, in, c.r.Method == http.MethodPut); err != nil {
		return err
	}
	if err := c.lend(append([]string{in.tlsRef.or(""), in.caRef.or(""), in.crlRef.or("")}, in.sniRefs.v...)...); err != nil {
		return err
	}
	// Those that it has and keeps are not asked for: one of them may be why it is
	// changed.
	if err := c.checkCertificates(certificates(&model.Listener{DefaultTLSContainerRef: in.tlsRef.or(""), SNIContainerRefs: in.sniRefs.v})); err != nil {
		return err
	}
	if !in.caRef.sent && !in.crlRef.sent {
		return nil
	}
	return c.checkAuthorities(l.ClientCATLSRef, l.ClientCRLRef)
}

// checkDefaultPool wants a listener's pool on the same load balancer and of a
// protocol that fits.
func (s *Server) checkDefaultPool(t *store.Tree, l *model.Listener) error {
	if l.DefaultPoolID == "" || t == nil {
		return nil
	}
	if l.Protocol == model.ProtocolPrometheus {
		return checkProtocols(l.Protocol, "")
	}
	p := t.Pool(l.DefaultPoolID)
	if p == nil {
		return notFound("Pool", l.DefaultPoolID)
	}
	if err := checkProtocols(l.Protocol, p.Protocol); err != nil {
		return err
	}
	return nil
}

func (s *Server) updateListener(c *call) error {
	old, _, err := find(c, "Listener", c.values[0], c.snap.Listener)
	if err != nil {
		return err
	}
	var in listenerInput
	if err := c.body(in.update()); err != nil {
		return err
	}
	draft := old.Clone()
	changeListener(draft, &in)
	if err := c.checkListenerRefs(draft, &in); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		l, t := tx.Listener(old.ID)
		if t == nil {
			return gone(model.KindListener, old.ID)
		}
		l = l.Clone()
		changeListener(l, &in)
		if err := s.checkListenerUpdate(l, &in, t); err != nil {
			return err
		}
		if err := c.lock(tx, t.LB.ID); err != nil {
			return err
		}
		changing(&l.Base)
		return tx.Update(l)
	}); err != nil {
		return err
	}
	return changed(c, http.StatusOK, s.kinds.listener, old.ID, c.snap.Listener)
}

func (s *Server) checkListenerUpdate(l *model.Listener, in *listenerInput, t *store.Tree) error {
	if err := s.settings.checkListener(l, in, true); err != nil {
		return err
	}
	if in.cidrs.has() {
		if err := checkCIDRs(l.AllowedCIDRs, t.LB); err != nil {
			return err
		}
	}
	if in.defaultPool.has() {
		return s.checkDefaultPool(t, l)
	}
	return nil
}

func (s *Server) deleteListener(c *call) error {
	l, _, err := find(c, "Listener", c.values[0], c.snap.Listener)
	if err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		_, t := tx.Listener(l.ID)
		if t == nil {
			return gone(model.KindListener, l.ID)
		}
		if err := c.lock(tx, t.LB.ID); err != nil {
			return err
		}
		tx.SetProvisioning(model.KindListener, l.ID, model.PendingDelete)
		return nil
	}))
}
