package main

import (
	"context"
	"fmt"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/status"
)

// event is something that happens to a cloud. Its name has a place for the host's.
type event struct {
	name string
	// host says which host is concerned, and what else a reader has to know of it.
	host          func(*status.Report) (host, note string)
	breaks, mends func(ctx context.Context, b *bench, host string) error
}

// all returns the events: each controller in turn, in order and without, and the
// leaders of clusters.
func (b *bench) all() []event {
	var out []event
	for _, c := range b.spec.OpenStack.Controllers {
		host := func(st *status.Report) (string, string) { return c.Name, holds(st, c.Name) }
		out = append(out,
			event{"%s is shut down", host, power("stop"), power("start")},
			event{"%s loses its power", host, power("cut"), power("start")})
	}
	out = append(out, event{"%s loses its power", holder, power("cut"), power("start")})
	nobody := func(*status.Report) (string, string) { return "", "" }
	out = append(out, event{"Services of all controllers restart, one controller at a time%s", nobody, restarted, nil})
	for _, c := range b.spec.OpenStack.Controllers {
		host := func(st *status.Report) (string, string) { return c.Name, holds(st, c.Name) }
		out = append(out, event{"%s goes into maintenance", host, maintenance("enter"), maintenance("leave")})
	}
	return append(out,
		event{"%s ends without a word: MariaDB", member("galera", "controller1"), killed("mariadb"), nil},
		event{"%s ends without a word: RabbitMQ", member("rabbitmq", "controller1"), killed("rabbitmq"), nil},
		event{"%s ends without a word: OVN northbound", member("ovn-nb", ""), killed("ovn-nb"), nil},
		event{"%s ends without a word: OVN southbound", member("ovn-sb", ""), killed("ovn-sb"), nil})
}

// holder is the host that has a virtual address.
func holder(st *status.Report) (host, note string) {
	for _, v := range st.VIPs {
		for _, h := range v.Holders {
			return h, holds(st, h)
		}
	}
	return "", ""
}

// holds notes that a host has a virtual address.
func holds(st *status.Report, host string) string {
	for _, v := range st.VIPs {
		for _, h := range v.Holders {
			if h == host {
				return " (it has the virtual address)"
			}
		}
	}
	return ""
}

// member returns the leader of a cluster, or the given host where none leads.
func member(cluster, otherwise string) func(*status.Report) (string, string) {
	return func(st *status.Report) (string, string) {
		for _, c := range st.Clusters {
			if c.Name != cluster {
				continue
			}
			for _, m := range c.Members {
				if m.Leader {
					return m.Host, " (leader)"
				}
			}
		}
		return otherwise, ""
	}
}

func power(verb string) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, host string) error {
		_, err := b.cloud.Run(ctx, "lab", verb, host)
		return err
	}
}

// restarted restarts what runs on controllers.
func restarted(ctx context.Context, b *bench, _ string) error {
	_, err := b.cloud.Run(ctx, "restart", "--only", "role=controller")
	return err
}

func maintenance(verb string) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, host string) error {
		_, err := b.cloud.Run(ctx, "maintenance", verb, host)
		return err
	}
}

// killed ends a container's program; systemd starts it again.
func killed(container string) func(context.Context, *bench, string) error {
	return func(ctx context.Context, b *bench, host string) error {
		_, err := b.cloud.Script(ctx, host, fmt.Sprintf("kill -KILL $(cat %s/%s.pid)\n", stack.RunRoot, container))
		return err
	}
}
