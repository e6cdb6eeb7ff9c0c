package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// closedAfter is how long a connection attempt goes unanswered until the port
// counts as closed: time for two repeated SYNs (RFC 6298 begins at 1 s).
const closedAfter = 3 * time.Second

// TCP proves that a port is open, or that it is closed.
type TCP struct {
	Target  string   `json:"target" required:"true" doc:"Host, group, role, VIP or address. Of a group or role, every host."`
	Network string   `json:"network,omitempty" doc:"Network on which the target's addresses are taken; by default the first of each host."`
	Port    int      `json:"port" required:"true" doc:"TCP port."`
	Expect  string   `json:"expect,omitempty" default:"open" enum:"open,closed" doc:"Whether the port is to be open, or closed: refused, or unanswered for 3 s."`
	Within  Duration `json:"within,omitempty" default:"0s" doc:"How long the check may take to come true; it is tried again until then."`

	targets []Endpoint
}

func tcpKind() Kind {
	return Kind{
		Name:    "tcp",
		Doc:     "Connects to a TCP port, which is to be open, or closed.",
		Example: "target: web\nport: 80\nwithin: 10s\n",
		New:     func() Check { return &TCP{Expect: "open"} },
	}
}

// Kind returns "tcp".
func (*TCP) Kind() string { return "tcp" }

// Patience returns Within.
func (c *TCP) Patience() time.Duration { return time.Duration(c.Within) }

// Validate checks the declaration.
func (c *TCP) Validate() error {
	errs := []error{validTarget("target", c.Target), validPort("port", c.Port)}
	if c.Expect != "open" && c.Expect != "closed" {
		errs = append(errs, resource.Fieldf("expect", "use open or closed", "%q is not a state of a port", c.Expect))
	}
	return errors.Join(errs...)
}

// Resolve finds the addresses of the target.
func (c *TCP) Resolve(lookup Lookup) (err error) {
	c.targets, err = resolve("target", c.Target, c.Network, lookup)
	return err
}

// PortDetail is what a tcp or banner check found at one address.
type PortDetail struct {
	Endpoint
	Port    int           `json:"port"`
	Open    bool          `json:"open"`
	Connect time.Duration `json:"connect_ns,omitempty"` // time until the connection stood
	Error   string        `json:"error,omitempty"`
	Banner  string        `json:"banner,omitempty"` // the first line, made printable
}

// PortDetails is what a tcp or banner check found.
type PortDetails []PortDetail

// Summary says what was found.
func (ds PortDetails) Summary() string {
	state := "closed"
	if len(ds) > 0 && ds[0].Open {
		state = "open"
	}
	switch {
	case len(ds) == 1 && ds[0].Banner != "":
		return "says " + ds[0].Banner
	case len(ds) == 1:
		return fmt.Sprintf("port %d is %s", ds[0].Port, state)
	default:
		return fmt.Sprintf("%d ports are %s", len(ds), state)
	}
}

// Run connects to every address once.
func (c *TCP) Run(ctx context.Context, v Vantage) (any, error) {
	found, err := each(ctx, c.targets, func(ctx context.Context, t Endpoint) (PortDetail, error) {
		if c.Expect == "closed" {
			return c.wantClosed(ctx, v, t)
		}
		return c.wantOpen(ctx, v, t)
	})
	return PortDetails(found), err
}

func (c *TCP) wantOpen(ctx context.Context, v Vantage, t Endpoint) (PortDetail, error) {
	d, err := connect(ctx, v, t, c.Port)
	if err != nil {
		return d, asFailure(err, "%s port %d is not open", t, c.Port)
	}
	return d, nil
}

func (c *TCP) wantClosed(ctx context.Context, v Vantage, t Endpoint) (PortDetail, error) {
	short, cancel := context.WithTimeout(ctx, closedAfter)
	defer cancel()
	d, err := connect(short, v, t, c.Port)
	switch {
	case errors.Is(err, ErrVantage):
		return d, err
	case err == nil:
		return d, failf("%s port %d is open and is to be closed", t, c.Port)
	case ctx.Err() != nil:
		return d, ctx.Err()
	}
	return d, nil
}

// connect opens a connection and closes it again.
func connect(ctx context.Context, v Vantage, t Endpoint, port int) (PortDetail, error) {
	d := PortDetail{Endpoint: t, Port: port}
	start := time.Now()
	conn, err := v.Dial(ctx, "tcp", hostPort(t.Addr, port))
	if err != nil {
		d.Error = plain(err)
		return d, err
	}
	d.Open, d.Connect = true, time.Since(start)
	_ = conn.Close() // nothing was written
	return d, nil
}
