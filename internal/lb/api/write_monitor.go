package api

import (
	"net/http"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func (s *Server) createMonitor(c *call) error {
	var in monitorInput
	if err := c.body(in.create()); err != nil {
		return err
	}
	pool, t, err := find(c, "Pool", in.pool.v, c.snap.Pool)
	if err != nil {
		return err
	}
	draft := newMonitor(&in)
	born(&draft.Base)
	draft.PoolID, draft.LoadBalancerID = pool.ID, t.LB.ID
	if err := s.settings.checkMonitor(draft, &in, pool.Protocol, false); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		p, t := tx.Pool(pool.ID)
		if t == nil {
			return gone(model.KindPool, pool.ID)
		}
		if err := tx.Room(t.LB.ProjectID, model.KindHealthMonitor, 1); err != nil {
			return err
		}
		if err := c.lockPool(tx, p, t); err != nil {
			return err
		}
		return tx.Create(draft.Clone())
	}); err != nil {
		return err
	}
	return created(c, s.kinds.monitor, draft.ID, c.snap.HealthMonitor)
}

func monitorIn(tx *store.Tx, id string) (*model.HealthMonitor, *model.Pool, *store.Tree, error) {
	h, t := tx.HealthMonitor(id)
	if t == nil {
		return nil, nil, nil, gone(model.KindHealthMonitor, id)
	}
	return h, t.Pool(h.PoolID), t, nil
}

func (s *Server) updateMonitor(c *call) error {
	old, _, err := find(c, "Health Monitor", c.values[0], c.snap.HealthMonitor)
	if err != nil {
		return err
	}
	var in monitorInput
	if err := c.body(in.update()); err != nil {
		return err
	}
	if err := c.commit(func(tx *store.Tx) error {
		h, p, t, err := monitorIn(tx, old.ID)
		if err != nil {
			return err
		}
		h = h.Clone()
		changeMonitor(h, &in)
		if err := s.settings.checkMonitor(h, &in, p.Protocol, true); err != nil {
			return err
		}
		if err := c.lockPool(tx, p, t); err != nil {
			return err
		}
		changing(&h.Base)
		return tx.Update(h)
	}); err != nil {
		return err
	}
	return changed(c, http.StatusOK, s.kinds.monitor, old.ID, c.snap.HealthMonitor)
}

func (s *Server) deleteMonitor(c *call) error {
	old, _, err := find(c, "Health Monitor", c.values[0], c.snap.HealthMonitor)
	if err != nil {
		return err
	}
	return c.done(c.commit(func(tx *store.Tx) error {
		_, p, t, err := monitorIn(tx, old.ID)
		if err != nil {
			return err
		}
		if err := c.lockPool(tx, p, t); err != nil {
			return err
		}
		tx.SetProvisioning(model.KindHealthMonitor, old.ID, model.PendingDelete)
		return nil
	}))
}
