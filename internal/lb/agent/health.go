package agent

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// watched is one member that the agent checks.
type watched struct {
	// Owner is a listener, or a backend of HAProxy's.
	Owner, Member string
	At            netip.AddrPort
	Check         amphora.Check
}

// health checks members and says when one changes.
type health struct {
	ctx context.Context //nolint:containedctx // that of the agent, which all checks end with
	// changed acts on a change; told is called after, when it can be reported.
	changed func(w watched, up bool)
	told    func()

	mu    sync.Mutex
	known map[watched]*condition
}

type condition struct {
	// up is what was found, acted what has been acted on since.
	up, acted, seen bool
	cancel          context.CancelFunc
}

func newHealth(ctx context.Context, changed func(watched, bool), told func()) *health {
	return &health{ctx: ctx, changed: changed, told: told, known: map[watched]*condition{}}
}

// watch makes exactly these be checked. What was known of them stays.
func (h *health) watch(all []watched) {
	h.mu.Lock()
	defer h.mu.Unlock()
	want := map[watched]bool{}
	for _, w := range all {
		want[w] = true
		if h.known[w] != nil {
			continue
		}
		ctx, cancel := context.WithCancel(h.ctx)
		h.known[w] = &condition{up: true, acted: true, cancel: cancel}
		go h.follow(ctx, w)
	}
	for w, c := range h.known {
		if !want[w] {
			c.cancel()
			delete(h.known, w)
		}
	}
}

// follow checks one member until the context ends. A member counts as well until
// the first check, whose result decides alone; then it takes as many results in a
// row as the monitor says.
func (h *health) follow(ctx context.Context, w watched) {
	tick := time.NewTicker(time.Duration(max(w.Check.DelayMS, 1)) * time.Millisecond)
	defer tick.Stop()
	row := 0
	for {
		well := look(ctx, w.At, w.Check) == nil
		if ctx.Err() != nil {
			return
		}
		h.mu.Lock()
		c := h.known[w]
		if c == nil {
			h.mu.Unlock()
			return
		}
		row++
		if well == c.up && c.seen {
			row = 0
		}
		flip := well != c.up && (!c.seen || row >= map[bool]int{true: w.Check.Rise, false: w.Check.Fall}[well])
		c.seen = true
		if flip {
			c.up, row = well, 0
		}
		h.mu.Unlock()
		if flip {
			h.changed(w, well)
			h.mu.Lock()
			c.acted = well
			h.mu.Unlock()
			h.told()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// of returns what is known of a member that is checked.
func (h *health) of(owner, member string) (condition, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for w, c := range h.known {
		if w.Owner == owner && w.Member == member {
			return *c, true
		}
	}
	return condition{}, false
}

// up reports the health of a member; one that is not checked is well.
func (h *health) up(owner, member string) bool {
	c, known := h.of(owner, member)
	return !known || c.up
}

// inEffect reports the health of a member by which packets are forwarded, for those
// who rely on it.
func (h *health) inEffect(owner, member string) bool {
	c, known := h.of(owner, member)
	return !known || c.acted
}

// toWatch lists what a configuration has the agent check.
func toWatch(c *amphora.Config) []watched {
	var out []watched
	for _, v := range c.Virtuals {
		for _, t := range v.Targets {
			if v.Check != nil && !t.Disabled {
				out = append(out, watched{v.Listener, t.Member, t.Monitor, *v.Check})
			}
		}
	}
	for _, p := range c.Probes {
		out = append(out, watched{p.Backend, p.Server, p.Monitor, p.Check})
	}
	return out
}

// watches reports whether a member is checked here.
func (h *health) watches(owner, member string) bool {
	_, known := h.of(owner, member)
	return known
}
