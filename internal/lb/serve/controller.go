package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/control/agents"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// runner is a controller with what belongs to it.
type runner struct {
	*control.Controller
	conn     net.PacketConn // of heartbeats; nil when there are no agents
	receiver *beat.Receiver
	s        *service
}

func (s *service) prepareController(ctx context.Context) (*runner, error) {
	name := s.Name
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return nil, fmt.Errorf("cannot name the controller: %w; give --name", err)
		}
		name = host
	}
	o := control.Options{Name: name, Store: s.store, Network: s.drivers.network, Compute: s.drivers.compute, Secrets: s.drivers.secrets,
		Amphorae: control.NoAgents{}, Log: s.Log, Limits: s.Limits}
	r := &runner{s: s}
	if m := s.drivers.compute.Manage(); m != nil {
		if err := r.agents(ctx, &o, m); err != nil {
			return nil, err
		}
	}
	r.Controller = control.New(o)
	s.observe(r.Controller)
	return r, nil
}

// agents sets up the ways to and from the agents.
func (r *runner) agents(ctx context.Context, o *control.Options, m driver.Management) error {
	authority, err := control.OpenAuthority(ctx, control.StoreVault(r.s.store), r.s.Identity, time.Now)
	if err != nil {
		return err
	}
	conn, address, err := m.ListenPacket(ctx)
	if err != nil {
		return fmt.Errorf("cannot listen for heartbeats: %w", err)
	}
	r.conn = conn
	o.Authority, o.Address = authority, address
	o.Receivers = func() []string { return control.Receivers(r.s.store.View(), address) }
	r.receiver = beat.NewReceiver(func(id string) [][]byte {
		a, _ := r.s.store.View().Amphora(id)
		if a == nil {
			return nil
		}
		return authority.HeartbeatKeys(id, a.KeyVersion)
	}, func(id string) { r.Ask(id) })
	o.Amphorae = agents.New(agents.Options{Management: m, Authority: authority, Secrets: o.Secrets, Receivers: o.Receivers,
		Heartbeat: o.Limits.HeartbeatInterval(), Beats: r.receiver.Seed,
		Heard: func(b *beat.Beat) { r.Heartbeat(b.Amphora, reportOf(b)) }})
	return nil
}

// Run runs the controller.
func (r *runner) Run(ctx context.Context) error {
	if r.conn == nil {
		return r.Controller.Run(ctx)
	}
	var heard sync.WaitGroup
	heard.Go(r.listen)
	heard.Go(func() { r.forget(ctx) })
	err := r.Controller.Run(ctx)
	_ = r.conn.Close() // listen ends by it
	heard.Wait()
	return err
}

// forgetEvery is how often amphorae that are no more are forgotten.
const forgetEvery = time.Minute

func (r *runner) forget(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			view := r.s.store.View()
			r.receiver.Keep(func(id string) bool { a, _ := view.Amphora(id); return a != nil })
		}
	}
}

// listen takes heartbeats until the connection is closed.
func (r *runner) listen() {
	buf := make([]byte, beat.MaxDatagram)
	for {
		n, from, err := r.conn.ReadFrom(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			r.s.Log.Warn("cannot read heartbeats", "error", err)
			time.Sleep(100 * time.Millisecond) // so that a lasting fault does not fill the log
			continue
		}
		b, err := r.receiver.Open(buf[:n])
		if err != nil {
			r.s.Log.Debug("a heartbeat was not taken", "from", from, "error", err)
			continue
		}
		r.Heartbeat(b.Amphora, reportOf(b))
	}
}

// reportOf translates a beat.
func reportOf(b *beat.Beat) control.Report {
	r := control.Report{Listeners: map[string]string{}, Pools: map[string]string{}, Members: map[string]string{},
		Stats: map[string]model.Stats{}, Digest: b.Digest, Fault: b.Fault}
	for id, l := range b.Listeners {
		r.Listeners[id] = l.Status
		r.Stats[id] = model.Stats{BytesIn: int64(l.BytesIn), BytesOut: int64(l.BytesOut), ActiveConnections: int64(l.Active),
			TotalConnections: int64(l.Total), RequestErrors: int64(l.Errors)}
	}
	for id, p := range b.Pools {
		r.Pools[id] = p.Status
		for m, s := range p.Members {
			r.Members[m] = s
		}
	}
	return r
}
