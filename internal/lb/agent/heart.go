package agent

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
)

// memory is what must outlive the agent's process, besides the configuration.
type memory struct {
	Boot   uint64
	Totals totals
}

func (a *Agent) memoryPath() string { return filepath.Join(a.boot.Dir, "memory.json") }

// recall counts this start. A clock that was set back does not make it an
// earlier one.
func (a *Agent) recall() error {
	var m memory
	if data, err := os.ReadFile(a.memoryPath()); err == nil {
		_ = json.Unmarshal(data, &m) // what cannot be read is begun anew
	}
	a.bootCount = max(m.Boot+1, uint64(time.Now().Unix()))
	a.totals = m.Totals
	return a.remember()
}

func (a *Agent) remember() error {
	data, err := json.Marshal(memory{Boot: a.bootCount, Totals: a.totals})
	if err != nil {
		return err
	}
	return replace(a.memoryPath(), data)
}

// heartbeat is what the configuration says, and before the first what the agent
// was started with.
func (a *Agent) heartbeat() amphora.Heartbeat {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.config != nil && len(a.config.Heartbeat.Key) > 0 {
		return a.config.Heartbeat
	}
	return amphora.Heartbeat{Receivers: a.boot.Receivers, Key: a.boot.HeartbeatKey, IntervalMS: int(a.boot.HeartbeatInterval.Milliseconds())}
}

// defaultInterval is between beats where nobody says another.
const defaultInterval = 3 * time.Second

// beats sends one at each interval, and one at once when something has changed.
func (a *Agent) beats(ctx context.Context) {
	for {
		h := a.heartbeat()
		every := time.Duration(h.IntervalMS) * time.Millisecond
		if every <= 0 {
			every = defaultInterval
		}
		timer := time.NewTimer(every)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-a.stir:
			timer.Stop()
		case <-timer.C:
		}
		if len(h.Key) > 0 {
			a.beat(ctx, a.heartbeat())
		}
	}
}

func (a *Agent) beat(ctx context.Context, h amphora.Heartbeat) {
	b := a.status(ctx)
	b.Seq = a.seq.Add(1)
	data, err := beat.Seal(&b, h.Key)
	if err != nil {
		a.log.Error("cannot make a beat", "error", err)
		return
	}
	for _, to := range h.Receivers {
		conn, err := net.Dial("udp", to)
		if err == nil {
			_, err = conn.Write(data)
			conn.Close()
		}
		if err != nil {
			a.log.Debug("cannot send a beat", "to", to, "error", err)
		}
	}
}

// changed has a beat sent soon.
func (a *Agent) changed() {
	select {
	case a.stir <- struct{}{}:
	default: // one is about to be sent
	}
}

// status looks at everything. Counters are added up here alone.
func (a *Agent) status(ctx context.Context) beat.Beat {
	a.observing.Lock()
	defer a.observing.Unlock()
	a.mu.Lock()
	c, fault := a.config, a.fault
	a.mu.Unlock()
	b := beat.Beat{Amphora: a.boot.AmphoraID, Boot: a.bootCount, Listeners: map[string]beat.Listener{}, Pools: map[string]beat.Pool{}, Fault: fault}
	if c == nil {
		return b
	}
	b.Version, b.Digest, b.Holds = c.Version, c.Digest(), holds(c)
	sources, listeners := map[string]bool{"nft": true}, map[string]bool{}
	if c.HAProxy != nil {
		for _, l := range c.HAProxy.Listeners {
			listeners[l] = true
		}
		if err := a.observe(&b, c.HAProxy, sources, listeners); err != nil && b.Fault == "" {
			b.Fault = err.Error()
		}
	}
	a.countPackets(ctx, &b, c, listeners)
	a.totals.keep(sources, listeners)
	for id, l := range b.Listeners {
		active := l.Active
		l.Counters = a.totals.Sum[id]
		l.Active = active
		b.Listeners[id] = l
	}
	if err := a.remember(); err != nil {
		a.log.Error("cannot note the counters", "error", err)
	}
	return b
}

func (a *Agent) countPackets(ctx context.Context, b *beat.Beat, c *amphora.Config, listeners map[string]bool) {
	if len(c.Virtuals) == 0 {
		return
	}
	counts, err := a.packets(ctx)
	if err != nil {
		b.Fault = orElse(b.Fault, "cannot read the counters of nftables: "+err.Error())
	}
	for _, v := range c.Virtuals {
		listeners[v.Listener] = true
		a.totals.add("nft", v.Listener, counts[v.Listener])
	}
	a.virtuals(b, c.Virtuals)
}

func holds(c *amphora.Config) bool {
	for _, v := range c.VIPs {
		if has, err := hasVIP(v); err != nil || !has {
			return false
		}
	}
	return len(c.VIPs) > 0
}
