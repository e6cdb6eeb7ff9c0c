package api

import (
	"maps"
	"net/http"
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// listAmphorae shows all that are not deleted. Its filter project_id is that of
// their load balancers.
func (s *Server) listAmphorae(c *call) error {
	q, err := parseQuery(c.r, s.settings.MaxPage)
	if err != nil {
		return err
	}
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	var items []amphoraRow
	for t := range c.trees(q, q.project) {
		for _, a := range t.Amphorae() {
			if a.Status != model.AmphoraDeleted {
				items = append(items, amphoraRow{a, t})
			}
		}
	}
	return showList(c, s.operator.amphora, q, among(s.operator.amphora, items))
}

// ownAmphora is the amphora that the path names, which the caller may deal with.
func (c *call) ownAmphora() (*model.Amphora, *store.Tree, *fault) {
	a, t := c.snap.Amphora(c.values[0])
	if t == nil || a.Status == model.AmphoraDeleted {
		return nil, nil, notFound("Amphora", c.values[0])
	}
	return a, t, c.authorize(t.LB.ProjectID)
}

func (s *Server) showAmphora(c *call) error {
	a, t, err := c.ownAmphora()
	if err != nil {
		return err
	}
	return showOne(c, s.operator.amphora, amphoraRow{a, t})
}

func (s *Server) showAmphoraStats(c *call) error {
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	a, t := c.snap.Amphora(c.values[0])
	var report *model.AmphoraStats
	if t != nil {
		for _, r := range c.snap.Stats(t.LB.ID) {
			if r.AmphoraID == a.ID {
				report = r
			}
		}
	}
	if report == nil || len(report.Listeners) == 0 {
		return notFound("Amphora stats for", c.values[0])
	}
	c.send(http.StatusOK, func(b []byte) []byte {
		b = append(b, `{"amphora_stats":[`...)
		for i, id := range slices.Sorted(maps.Keys(report.Listeners)) {
			b = append(comma(b, i), '{')
			b = appendStats(b, report.Listeners[id])
			b = appendText(append(b, `,"id":`...), a.ID)
			b = appendText(append(b, `,"listener_id":`...), id)
			b = appendText(append(b, `,"loadbalancer_id":`...), t.LB.ID)
			b = append(b, '}')
		}
		return append(b, "]}"...)
	})
	return nil
}

// changeAmphora changes an amphora that is still there.
func (c *call) changeAmphora(id string, change func(tx *store.Tx, a *model.Amphora, t *store.Tree) error) error {
	return c.done(c.commit(func(tx *store.Tx) error {
		a, t := tx.Amphora(id)
		if t == nil || a.Status == model.AmphoraDeleted {
			return gone(model.KindAmphora, id)
		}
		return change(tx, a.Clone(), t)
	}))
}

// deleteAmphora removes one that is of no use any more.
func (s *Server) deleteAmphora(c *call) error {
	a, _, err := c.ownAmphora()
	if err != nil {
		return err
	}
	return c.changeAmphora(a.ID, func(tx *store.Tx, a *model.Amphora, _ *store.Tree) error {
		if a.Status != model.AmphoraError {
			return immutable("amphora", a.ID)
		}
		a.Status, a.UpdatedAt = model.AmphoraPendingDelete, model.Now()
		return tx.Update(a)
	})
}

// configureAmphora has its agent told its configuration again.
func (s *Server) configureAmphora(c *call) error {
	a, _, err := c.ownAmphora()
	if err != nil {
		return err
	}
	return c.changeAmphora(a.ID, func(tx *store.Tx, a *model.Amphora, _ *store.Tree) error {
		a.ConfigPush++
		return tx.Update(a)
	})
}

func (s *Server) failOverAmphora(c *call) error {
	a, _, err := c.ownAmphora()
	if err != nil {
		return err
	}
	return c.changeAmphora(a.ID, func(tx *store.Tx, a *model.Amphora, t *store.Tree) error {
		if err := tx.LockForChild(t.LB.ID); err != nil {
			return err
		}
		return c.stamp(tx, t.LB.ID, func(lb *model.LoadBalancer) {
			lb.Failover = &model.Failover{AmphoraID: a.ID, Targets: []string{a.ID}, RequestedAt: model.Now(), RequestID: c.id}
		})
	})
}
