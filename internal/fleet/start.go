package fleet

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/hostagent"
	"github.com/updraft-cloud/updraft/internal/hostagent/embedded"
	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// probeTimeout bounds a ping or an exchange whose context has no deadline.
const probeTimeout = 5 * time.Second

// Starter returns a function for [Options.Start] that starts the host agent
// that is built into this program. It is read when the first host needs it.
func Starter() func(context.Context, transport.Conn, transport.Target) (Agent, error) {
	binaries := sync.OnceValues(func() (map[string]hostagent.Binary, error) {
		all := map[string]hostagent.Binary{}
		var missing error
		for _, arch := range embedded.Arches() {
			gz, sha, err := embedded.Agent(arch)
			if err != nil {
				missing = err
				continue
			}
			all[arch] = hostagent.Binary{GZ: gz, SHA: sha}
		}
		if len(all) == 0 {
			return nil, missing
		}
		return all, nil
	})
	return func(ctx context.Context, conn transport.Conn, t transport.Target) (Agent, error) {
		agents, err := binaries()
		if err != nil {
			return nil, err
		}
		return StartWith(agents)(ctx, conn, t)
	}
}

// StartWith returns a function for [Options.Start] that starts the given agents.
func StartWith(agents map[string]hostagent.Binary) func(context.Context, transport.Conn, transport.Target) (Agent, error) {
	return func(ctx context.Context, conn transport.Conn, t transport.Target) (Agent, error) {
		c, err := hostagent.Start(ctx, conn, hostagent.Options{
			Host: t.Name, User: cmp.Or(t.User, "root"), SudoPassword: t.SudoPassword, Agents: agents,
		})
		if err != nil {
			return nil, err
		}
		return client{c}, nil
	}
}

// client is a hostagent.Client as an Agent.
type client struct{ *hostagent.Client }

func (c client) BootID() string { return c.Hello().BootID }

func (c client) Observe(ctx context.Context, all []resource.Resource) ([]drift.Report, error) {
	return c.Client.Observe(ctx, all, nil)
}

func (c client) Remove(ctx context.Context, r resource.Resource, made bool, log func(string)) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("cannot encode %s: %w", resource.Ref(r), err)
	}
	return c.Client.Remove(ctx, r.Kind(), body, made, log)
}

func (c client) Ping(ctx context.Context, addr string) (time.Duration, error) {
	to, err := netip.ParseAddr(addr)
	if err != nil {
		return 0, err
	}
	return c.Client.Ping(ctx, to, left(ctx))
}

func (c client) Exchange(ctx context.Context, addr string, payload []byte) ([]byte, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	data, _, err := c.Client.Exchange(ctx, to, payload, left(ctx))
	return data, err
}

// left is the time that ctx leaves.
func left(ctx context.Context) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return max(time.Until(deadline), time.Millisecond)
	}
	return probeTimeout
}

// RemoveAgent ends the agent on a host and removes it from there.
func (f *Fleet) RemoveAgent(ctx context.Context, name string) error {
	s, err := f.enter(ctx, name, false)
	if err != nil {
		return err
	}
	defer f.Forget(name)
	return hostagent.RemoveAgent(ctx, s.conn)
}

// Facts returns what a host says of itself: system, architecture, size.
func (f *Fleet) Facts(ctx context.Context, name string) (proto.Facts, error) {
	a, err := f.agent(ctx, name)
	if err != nil {
		return proto.Facts{}, err
	}
	c, ok := a.(interface {
		Facts(ctx context.Context) (proto.Facts, error)
	})
	if !ok {
		return proto.Facts{}, fmt.Errorf("%s cannot say anything of itself", name)
	}
	return c.Facts(ctx)
}
