package api

import (
	"slices"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// appendStatusTree appends the statuses of everything below a load balancer
// (contract §4.12). Pools that no listener sends to do not appear.
func appendStatusTree(b []byte, t *store.Tree) []byte {
	b = append(b, `{"statuses":{"loadbalancer":`...)
	b = appendStatus(b, &t.LB.Base)
	b = append(b, `,"listeners":[`...)
	for i, l := range t.Listeners() {
		b = comma(b, i)
		b = appendStatus(b, &l.Base)
		b = append(b, `,"pools":[`...)
		for j, p := range poolsOf(t, l) {
			b = comma(b, j)
			b = appendPoolStatus(b, t, p)
		}
		b = append(b, "]}"...)
	}
	return append(b, "]}}}"...)
}

func comma(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// appendStatus appends an object without its end.
func appendStatus(b []byte, o *model.Base) []byte {
	b = appendText(append(b, `{"id":`...), o.ID)
	b = appendText(append(b, `,"name":`...), o.Name)
	b = appendText(append(b, `,"operating_status":`...), string(o.OperatingStatus))
	return appendText(append(b, `,"provisioning_status":`...), string(o.ProvisioningStatus))
}

func appendPoolStatus(b []byte, t *store.Tree, p *model.Pool) []byte {
	b = appendStatus(b, &p.Base)
	if m := t.HealthMonitorOf(p.ID); m != nil {
		b = appendStatus(append(b, `,"health_monitor":`...), &m.Base)
		b = appendText(append(b, `,"type":`...), m.Type)
		b = append(b, '}')
	}
	b = append(b, `,"members":[`...)
	for i, m := range t.Members(p.ID) {
		b = appendStatus(comma(b, i), &m.Base)
		b = appendText(append(b, `,"address":`...), m.Address)
		b = append(b, `,"protocol_port":`...)
		b = appendInt(b, &m.ProtocolPort)
		b = append(b, '}')
	}
	return append(b, "]}"...)
}

// poolsOf are a listener's default pool and those that its policies redirect to.
func poolsOf(t *store.Tree, l *model.Listener) []*model.Pool {
	var out []*model.Pool
	add := func(id string) {
		if p := t.Pool(id); p != nil && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	add(l.DefaultPoolID)
	for _, p := range t.L7Policies(l.ID) {
		add(p.RedirectPoolID)
	}
	return out
}

// listenerStats sums what the amphorae that carry traffic reported of a listener,
// of all listeners if id is empty. Connections of amphorae that were replaced
// are over, their counters still count.
func listenerStats(t *store.Tree, reports []*model.AmphoraStats, id string) model.Stats {
	var sum model.Stats
	for _, r := range reports {
		a := t.Amphora(r.AmphoraID)
		allocated := a != nil && a.Status == model.AmphoraAllocated
		for listener, s := range r.Listeners {
			if id != "" && listener != id {
				continue
			}
			if !allocated {
				s.ActiveConnections = 0
			}
			sum = sum.Add(s)
		}
	}
	return sum
}
