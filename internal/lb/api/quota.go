package api

import (
	"net/http"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// quota is what a project may have, in effect.
func (c *call) quota(project string) quotaRow {
	r := quotaRow{project: project, all: c.s.settings.Quotas}
	if row := c.snap.Quota(project); row != nil {
		r.limits = row.Limits
	}
	return r
}

// listQuotas shows the projects that have limits of their own.
func (s *Server) listQuotas(c *call) error {
	q, err := parseQuery(c.r, s.settings.MaxPage)
	if err != nil {
		return err
	}
	project, err := c.scope(q)
	if err != nil {
		return err
	}
	var items []quotaRow
	for _, row := range c.snap.Quotas() {
		if row.Limits != (model.Limits{}) && (project == "" || row.ProjectID == project) {
			items = append(items, c.quota(row.ProjectID))
		}
	}
	return showList(c, s.operator.quota, q, among(s.operator.quota, items))
}

func (s *Server) showQuota(c *call) error {
	if err := c.authorize(c.values[0]); err != nil {
		return err
	}
	return showOne(c, s.operator.quota, c.quota(c.values[0]))
}

func (s *Server) showDefaultQuota(c *call) error {
	if err := c.authorize(c.values[0]); err != nil {
		return err
	}
	return showOne(c, s.operator.quota, quotaRow{project: c.values[0], all: s.settings.Quotas})
}

func (s *Server) updateQuota(c *call) error {
	project := c.values[0]
	if err := c.authorize(project); err != nil {
		return err
	}
	in := quotaInput{}
	if err := c.body(in.update()); err != nil {
		return err
	}
	if err := c.setLimits(project, func(l *model.Limits) {
		for kind, limit := range in {
			if !limit.sent {
				continue
			}
			*l.Of(kind) = nil
			if limit.has() {
				v := limit.v
				*l.Of(kind) = &v
			}
		}
	}); err != nil {
		return err
	}
	respond(c, http.StatusAccepted, s.operator.quota, c.quota(project), nil)
	return nil
}

// setLimits changes what a project may have; what it has stays counted.
func (c *call) setLimits(project string, change func(*model.Limits)) error {
	return c.commit(func(tx *store.Tx) error {
		row := model.Quota{ProjectID: project}
		if old := tx.Quota(project); old != nil {
			row = *old
		}
		change(&row.Limits)
		return tx.Put(&row)
	})
}

func (s *Server) deleteQuota(c *call) error {
	project := c.values[0]
	if err := c.authorize(project); err != nil {
		return err
	}
	if c.snap.Quota(project) == nil {
		return c.done(nil) // there is nothing to take back
	}
	return c.done(c.setLimits(project, func(l *model.Limits) { *l = model.Limits{} }))
}
