package agent

import (
	"encoding/csv"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
)

// row is one line of "show stat", by the names of its columns.
type row map[string]string

func (r row) number(column string) uint64 {
	n, _ := strconv.ParseUint(r[column], 10, 64) // empty where it has no meaning
	return n
}

func rows(answer string) []row {
	_, answer, _ = strings.Cut(answer, "# ")
	r := csv.NewReader(strings.NewReader(answer))
	r.FieldsPerRecord = -1
	head, err := r.Read()
	if err != nil {
		return nil
	}
	var out []row
	for {
		fields, err := r.Read()
		if err != nil {
			return out
		}
		one := row{}
		for i, f := range fields {
			if i < len(head) {
				one[head[i]] = f
			}
		}
		out = append(out, one)
	}
}

// count is what one process has counted of a listener.
type count struct{ in, out, total, errors uint64 }

// totals add up what processes have counted that each began at zero.
type totals struct {
	// Sum is by listener; Last by source and listener.
	Sum  map[string]beat.Counters
	Last map[string]last
}

type last struct{ In, Out, Total, Errors uint64 }

// add notes what a source says now. One that says less than before began anew.
func (t *totals) add(source, listener string, now count) {
	if t.Sum == nil {
		t.Sum, t.Last = map[string]beat.Counters{}, map[string]last{}
	}
	key := source + " " + listener
	was := t.Last[key]
	if now.in < was.In || now.out < was.Out || now.total < was.Total {
		was = last{}
	}
	s := t.Sum[listener]
	s.BytesIn += now.in - was.In
	s.BytesOut += now.out - was.Out
	s.Total += now.total - was.Total
	s.Errors += now.errors - min(was.Errors, now.errors)
	t.Sum[listener] = s
	t.Last[key] = last{now.in, now.out, now.total, now.errors}
}

// keep forgets sources that are gone and listeners that are no more.
func (t *totals) keep(sources, listeners map[string]bool) {
	maps.DeleteFunc(t.Last, func(key string, _ last) bool {
		source, listener, _ := strings.Cut(key, " ")
		return !sources[source] || !listeners[listener]
	})
	maps.DeleteFunc(t.Sum, func(l string, _ beat.Counters) bool { return !listeners[l] })
}

// observe fills a beat with what HAProxy sees. Processes that are about to end
// still count for their connections.
func (a *Agent) observe(b *beat.Beat, c *amphora.HAProxy, sources, listeners map[string]bool) error {
	w, err := a.haproxy.workers()
	if err != nil {
		return err
	}
	for _, pid := range append([]int{w.current}, w.old...) {
		answer, err := ask(a.haproxy.master(), fmt.Sprintf("@!%d show stat", pid))
		if err != nil || pid == 0 {
			continue // it has just ended
		}
		source := fmt.Sprintf("haproxy-%d", pid)
		sources[source] = true
		for _, r := range rows(answer) {
			a.row(b, r, source, listeners, pid == w.current)
		}
	}
	return a.members(b, c)
}

func (a *Agent) row(b *beat.Beat, r row, source string, listeners map[string]bool, current bool) {
	if r["svname"] != "FRONTEND" || !listeners[r["pxname"]] {
		return
	}
	id := r["pxname"]
	a.totals.add(source, id, count{in: r.number("bin"), out: r.number("bout"), total: r.number("stot"), errors: r.number("ereq")})
	l := b.Listeners[id]
	l.Active += r.number("scur")
	if current {
		l.Status = beat.Open
		if limit := r.number("slim"); limit > 0 && r.number("scur") >= limit {
			l.Status = beat.Full
		}
	}
	b.Listeners[id] = l
}

// members reads health from the current process. A pool that two listeners use is
// two backends, of which one that is up decides.
func (a *Agent) members(b *beat.Beat, c *amphora.HAProxy) error {
	answer, err := ask(a.haproxy.socket(), "show stat")
	if err != nil {
		return err
	}
	seen := map[string]row{}
	for _, r := range rows(answer) {
		seen[r["pxname"]+"/"+r["svname"]] = r
	}
	for _, be := range c.Backends {
		p, ok := b.Pools[be.Pool]
		if !ok {
			p = beat.Pool{Status: beat.Down, Members: map[string]string{}}
		}
		if strings.HasPrefix(seen[be.Name+"/BACKEND"]["status"], beat.Up) {
			p.Status = beat.Up
		}
		for _, s := range be.Servers {
			if before := p.Members[s.Name]; before == "" || before == beat.Down {
				p.Members[s.Name] = a.member(be, s, seen[be.Name+"/"+s.Name])
			}
		}
		b.Pools[be.Pool] = p
	}
	return nil
}

func (a *Agent) member(be amphora.Backend, s amphora.Server, r row) string {
	probed := a.health.watches(be.Name, s.Name)
	switch status := r["status"]; {
	case s.Disabled || strings.HasPrefix(status, "MAINT"):
		return beat.Maint
	case strings.HasPrefix(status, "DOWN"):
		return beat.Down
	case s.Weight == 0 || strings.HasPrefix(status, "DRAIN"):
		return beat.Drain
	case strings.HasPrefix(status, "no check") && !probed:
		return beat.NoCheck
	}
	return beat.Up
}

// virtuals fills a beat with what the kernel has forwarded and the agent checked.
func (a *Agent) virtuals(b *beat.Beat, all []amphora.Virtual) {
	flows := active(all)
	for _, v := range all {
		l := b.Listeners[v.Listener]
		l.Status, l.Active = beat.Open, flows[v.Listener]
		if v.Limit > 0 && l.Active >= uint64(v.Limit) {
			l.Status = beat.Full
		}
		b.Listeners[v.Listener] = l
		if v.Pool == "" {
			continue
		}
		p := beat.Pool{Status: beat.Down, Members: map[string]string{}}
		if len(v.Targets) == 0 {
			p.Status = beat.Up
		}
		for _, t := range v.Targets {
			p.Members[t.Member] = a.target(v, t)
			if s := p.Members[t.Member]; s == beat.Up || s == beat.NoCheck {
				p.Status = beat.Up
			}
		}
		b.Pools[v.Pool] = p
	}
}

func (a *Agent) target(v amphora.Virtual, t amphora.Target) string {
	switch {
	case t.Disabled:
		return beat.Maint
	case !a.health.inEffect(v.Listener, t.Member):
		return beat.Down
	case t.Weight == 0:
		return beat.Drain
	case v.Check == nil:
		return beat.NoCheck
	}
	return beat.Up
}
