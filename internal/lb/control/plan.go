package control

import (
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// plan says which amphorae a load balancer shall have and which not. It follows
// from what is stored alone.
type plan struct {
	// keep are those that shall carry it, at most one for each role.
	keep []*model.Amphora
	// missing are the roles that nobody has.
	missing []string
	// useless are those that were given up before they carried anything: nothing
	// is lost if they go before another is there, and else they would gather.
	useless []*model.Amphora
	// doomed are to be removed as soon as another has their role, in the order in
	// which that should happen: the standby first, because then each step takes
	// the traffic away at most once.
	doomed []*model.Amphora
	// later are to be replaced, too, when these are.
	later []*model.Amphora
}

// rolesOf returns the roles of a topology.
func rolesOf(topology string) []string {
	if topology == model.TopologyActiveStandby {
		return []string{model.RoleMaster, model.RoleBackup}
	}
	return []string{model.RoleStandalone}
}

// planOf makes the plan of a load balancer that shall be there.
func planOf(t *store.Tree) plan {
	var p plan
	var asked []*model.Amphora // healthy, to be replaced because somebody asked
	for _, a := range t.Amphorae() {
		switch {
		case a.Status == model.AmphoraDeleted:
		case dead(a) && a.Applied == "":
			p.useless = append(p.useless, a)
		case dead(a):
			p.doomed = append(p.doomed, a)
		case askedFor(t.LB.Failover, a):
			asked = append(asked, a)
		default:
			p.keep = append(p.keep, a)
		}
	}
	slices.SortStableFunc(asked, func(a, b *model.Amphora) int { return standbyFirst(a) - standbyFirst(b) })
	for i, a := range asked {
		if len(p.doomed) == 0 && i == 0 {
			p.doomed = append(p.doomed, a)
			continue
		}
		p.later = append(p.later, a)
	}
	p.keep = append(p.keep, p.later...)
	p.one(rolesOf(t.LB.Topology))
	return p
}

// one leaves one amphora for each role; who is there twice or has no role that
// is wanted goes. The one that carries it already is kept.
func (p *plan) one(roles []string) {
	slices.SortStableFunc(p.keep, func(a, b *model.Amphora) int { return notYet(a) - notYet(b) })
	have := map[string]bool{}
	var kept []*model.Amphora
	for _, a := range p.keep {
		if have[a.Role] || !slices.Contains(roles, a.Role) {
			p.doomed = append(p.doomed, a)
			continue
		}
		have[a.Role] = true
		kept = append(kept, a)
	}
	slices.SortStableFunc(kept, func(a, b *model.Amphora) int {
		return slices.Index(roles, a.Role) - slices.Index(roles, b.Role)
	})
	p.keep = kept
	for _, r := range roles {
		if !have[r] {
			p.missing = append(p.missing, r)
		}
	}
}

func notYet(a *model.Amphora) int {
	if a.Status == model.AmphoraAllocated {
		return 0
	}
	return 1
}

func standbyFirst(a *model.Amphora) int {
	if a.Role == model.RoleBackup {
		return 0
	}
	return 1
}

// dead reports whether nothing is expected of the amphora any longer.
func dead(a *model.Amphora) bool {
	return a.Status == model.AmphoraError || a.Status == model.AmphoraPendingDelete || a.Status == model.AmphoraFailoverStopped
}

// askedFor reports whether the amphora was there when a failover was asked for
// that is meant for it. It goes by names and not by times: those who ask and those
// who make amphorae have clocks of their own.
func askedFor(f *model.Failover, a *model.Amphora) bool {
	return f != nil && slices.Contains(f.Targets, a.ID) && !slices.Contains(f.Replaced, a.ID)
}

// replaces returns the id of the doomed amphora whose role it is.
func (p *plan) replaces(role string) string {
	for _, a := range p.doomed {
		if a.Role == role {
			return a.ID
		}
	}
	return ""
}

// fenced reports whether an amphora must not have the VIP yet, because another
// that had it was not removed.
func (p *plan) fenced(a *model.Amphora) bool {
	return slices.ContainsFunc(p.doomed, func(d *model.Amphora) bool { return d.Role == a.Role })
}
