package control

import (
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// Report is what an amphora says about its load balancer, in the words of
// HAProxy's statistics.
type Report struct {
	// Listeners are OPEN or FULL, by id.
	Listeners map[string]string
	// Pools are UP or DOWN; Members are UP, DOWN, DRAIN, MAINT, "no check" or
	// RESTARTING, by id.
	Pools, Members map[string]string
	// Stats are counters since the agent's start.
	Stats map[string]model.Stats
	// Digest names the configuration that it carries.
	Digest string
	// Fault says why it cannot serve.
	Fault string
}

// statuses are operating statuses by id.
type statuses map[string]model.OperatingStatus

// severity orders what a parent learns from its children.
var severity = map[model.OperatingStatus]int{model.OpOnline: 0, model.OpOffline: 0, model.OpDegraded: 1, model.OpError: 2}

func worse(a, b model.OperatingStatus) model.OperatingStatus {
	if severity[b] > severity[a] {
		return b
	}
	return a
}

// operating returns the operating statuses that follow from a report (contract
// §5). Objects that it says nothing about keep theirs.
func operating(t *store.Tree, r Report) statuses {
	out := statuses{}
	lb := model.OpOnline
	for _, l := range t.Listeners() {
		s := listenerStatus(t.LB, l, r)
		out[l.ID] = s
		lb = worse(lb, s)
	}
	for _, p := range t.Pools() {
		s := poolStatus(t, p, r, out)
		out[p.ID] = s
		lb = worse(lb, s)
	}
	if r.Fault != "" {
		lb = model.OpError
	}
	if !t.LB.AdminStateUp {
		lb = model.OpOffline
	}
	out[t.LB.ID] = lb
	return out
}

func listenerStatus(lb *model.LoadBalancer, l *model.Listener, r Report) model.OperatingStatus {
	switch r.Listeners[l.ID] {
	case "OPEN":
		return model.OpOnline
	case "FULL":
		return model.OpDegraded
	}
	if l.AdminStateUp && lb.AdminStateUp && lb.ProvisioningStatus == model.Active && l.ProvisioningStatus == model.Active {
		return model.OpError
	}
	return model.OpOffline
}

// poolStatus also sets the statuses of the pool's members.
func poolStatus(t *store.Tree, p *model.Pool, r Report, out statuses) model.OperatingStatus {
	pool := model.OpOffline
	switch word(r.Pools[p.ID]) {
	case "UP", "OPEN":
		pool = model.OpOnline
	case "DOWN":
		pool = model.OpError
	}
	for _, m := range t.Members(p.ID) {
		s := memberStatus(m, r.Members[m.ID])
		out[m.ID] = s
		if s == model.OpError && pool != model.OpOffline {
			pool = worse(pool, model.OpDegraded)
		}
	}
	return pool
}

// word is the first of a status such as "UP 1/2".
func word(s string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(s), " ")
	return first
}

func memberStatus(m *model.Member, s string) model.OperatingStatus {
	if s == "no check" {
		return model.OpNoMonitor
	}
	switch word(s) {
	case "UP":
		return model.OpOnline
	case "DOWN":
		return model.OpError
	case "DRAIN":
		return model.OpDraining
	case "MAINT":
		return model.OpOffline
	case "RESTARTING":
		return m.OperatingStatus
	}
	if m.OperatingStatus == model.OpNoMonitor {
		return model.OpNoMonitor
	}
	return model.OpOffline
}

// settled returns the operating status of what is not in any report, when its
// change has come into effect (contract §5).
func settled(up bool) model.OperatingStatus {
	if up {
		return model.OpOnline
	}
	return model.OpOffline
}
