package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/updraft-cloud/updraft/bench/cloud"
	"github.com/updraft-cloud/updraft/bench/outage"
	"github.com/updraft-cloud/updraft/bench/record"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// How long a cloud may take to be whole again, and for how long all must have
// answered before the next thing is broken.
const (
	patience = 10 * time.Minute
	calm     = 5 * time.Second
)

type bench struct {
	*flags
	cloud *cloud.Cloud
	spec  *spec.Cloud
	watch *outage.Watch
	log   func(format string, args ...any)
	res   results
}

// measure raises the cloud and has it live through all events.
func (b *bench) measure(ctx context.Context) error {
	hosts, err := b.cloud.Hosts(ctx)
	if err != nil {
		return err
	}
	b.log("raising %s", name)
	began := time.Now()
	if _, err := b.cloud.Run(ctx, "up"); err != nil {
		return err
	}
	b.res = results{Computer: record.ThisComputer(), At: began, Every: b.every, Timeout: b.timeout}
	if len(hosts) == 0 { // and not kept by the run before
		b.res.Up = time.Since(began).Seconds()
	}
	if b.spec, err = b.cloud.Spec(); err != nil {
		return err
	}
	if err := b.size(ctx); err != nil {
		return err
	}
	ns, err := netns.Open(lab.Namespace(name))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := b.start(ctx, ns); err != nil {
		return err
	}
	defer b.watch.Stop()
	for _, e := range b.all() {
		if !b.events.MatchString(e.name) {
			continue
		}
		if err := b.event(ctx, e); err != nil {
			return errors.Join(fmt.Errorf("%s: %w", e.name, err), b.res.write(b.out))
		}
		if err := b.res.write(b.out); err != nil { // what there is so far
			return err
		}
	}
	return b.res.write(b.out)
}

// servers is how many there are when memory is measured.
const servers = 3

// size measures what the cloud takes while nothing happens to it: a plan without
// changes, and memory with some servers.
func (b *bench) size(ctx context.Context) error {
	began := time.Now()
	if out, err := b.cloud.Run(ctx, "apply"); err != nil {
		return fmt.Errorf("an apply that was to change nothing: %w\n%s", err, out)
	}
	b.res.NoChange = time.Since(began).Seconds()
	args := []string{"openstack", "--", "server", "create", "--image", "proof", "--flavor", "proof", "--network", "private",
		"--min", strconv.Itoa(servers), "--max", strconv.Itoa(servers), "--wait", "weight"}
	if _, err := b.cloud.Run(ctx, args...); err != nil {
		return err
	}
	memory, err := b.cloud.Memories(ctx)
	if err != nil {
		return err
	}
	for _, mib := range memory {
		b.res.Memory += mib
	}
	b.log("up %.0f s, no change %.1f s, memory %.0f MiB", b.res.Up, b.res.NoChange, b.res.Memory)
	for i := range servers {
		if _, err := b.cloud.Run(ctx, "openstack", "--", "server", "delete", "--wait", fmt.Sprintf("weight-%d", i+1)); err != nil {
			return err
		}
	}
	return nil
}

// start begins to ask every API for something that it has to look up.
func (b *bench) start(ctx context.Context, ns *netns.NS) error {
	client, err := b.client(ns)
	if err != nil {
		return err
	}
	var token atomic.Value
	if err := b.renewed(ctx, client, &token); err != nil {
		return err
	}
	targets, err := b.targets(ns, &token)
	if err != nil {
		return err
	}
	b.watch = outage.Start(ctx, client, b.every, targets)
	return nil
}

// event breaks something, waits until all answer, mends it, and waits until the
// cloud is whole.
func (b *bench) event(ctx context.Context, e event) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	st, err := b.whole(ctx)
	if err != nil {
		return err
	}
	host, note := e.host(st)
	title := fmt.Sprintf(e.name, host) + note
	b.log("%s", title)
	for _, half := range []struct {
		what string
		do   func(context.Context, *bench, string) error
	}{{title, e.breaks}, {"… and back", e.mends}} {
		if half.do == nil {
			continue
		}
		from := time.Now()
		if err := half.do(ctx, b, host); err != nil {
			return err
		}
		if _, err := b.watch.Quiet(ctx, calm); err != nil {
			return err
		}
		if half.what != title {
			if _, err := b.whole(ctx); err != nil {
				return err
			}
		}
		b.res.add(half.what, time.Since(from), b.watch.Between(from, time.Now()))
	}
	return nil
}

// whole waits until updraft's status has nothing to say against the cloud.
func (b *bench) whole(ctx context.Context) (*status.Report, error) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		st, err := b.status(ctx)
		if err == nil && st.OK {
			_, err = b.watch.Quiet(ctx, calm)
			return st, err
		}
		select {
		case <-ctx.Done():
			if err == nil {
				err = fmt.Errorf("%+v", st.Problems)
			}
			return nil, fmt.Errorf("the cloud is not whole: %w", err)
		case <-tick.C:
		}
	}
}

// status asks updraft how the cloud is; that something is wrong is no error.
func (b *bench) status(ctx context.Context) (*status.Report, error) {
	out, err := b.cloud.Run(ctx, "status", "-o", "json", "--timeout", "1m") // five hosts on two busy cores
	if err != nil && cloud.ExitCode(err) != 1 {
		return nil, err
	}
	var st status.Report
	if bad := json.Unmarshal([]byte(out), &st); bad != nil {
		return nil, errors.Join(err, bad)
	}
	return &st, nil
}
