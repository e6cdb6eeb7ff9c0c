package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// ICMP proves that addresses answer to pings.
type ICMP struct {
	Target   string   `json:"target" required:"true" doc:"Host, group, role, VIP or address that is to answer. Of a group or role, every host."`
	Network  string   `json:"network,omitempty" doc:"Network on which the target's addresses are taken; by default the first of each host."`
	Count    int      `json:"count,omitempty" default:"3" doc:"Echo requests sent to each address."`
	Interval Duration `json:"interval,omitempty" default:"20ms" doc:"Pause between two requests."`
	Wait     Duration `json:"wait,omitempty" default:"1s" doc:"How long a reply may take before the request counts as lost."`
	MaxLoss  float64  `json:"max_loss,omitempty" default:"0" doc:"Greatest share of lost requests that passes, in percent."`
	MaxRTT   Duration `json:"max_rtt,omitempty" doc:"Greatest average round-trip time that passes; none by default."`
	Within   Duration `json:"within,omitempty" default:"0s" doc:"How long the check may take to come true; it is tried again until then."`

	targets []Endpoint
}

func icmpKind() Kind {
	return Kind{
		Name:    "icmp",
		Doc:     "Pings addresses and judges loss and round-trip time.",
		Example: "target: web\ncount: 3\nmax_rtt: 50ms\n",
		New: func() Check {
			return &ICMP{Count: 3, Interval: Duration(20 * time.Millisecond), Wait: Duration(time.Second)}
		},
	}
}

// Kind returns "icmp".
func (*ICMP) Kind() string { return "icmp" }

// Patience returns Within.
func (c *ICMP) Patience() time.Duration { return time.Duration(c.Within) }

// TryTimeout allows for requests that are all lost.
func (c *ICMP) TryTimeout() time.Duration {
	return DefaultTimeout + time.Duration(c.Count)*time.Duration(c.Interval+c.Wait)
}

// Validate checks the declaration.
func (c *ICMP) Validate() error {
	errs := []error{validTarget("target", c.Target)}
	if c.Count < 1 || c.Count > 1000 {
		errs = append(errs, resource.Fieldf("count", "use 1 to 1000", "%d echo requests cannot be sent", c.Count))
	}
	if !(c.MaxLoss >= 0 && c.MaxLoss < 100) {
		errs = append(errs, resource.Fieldf("max_loss", "use 0 up to 99.9", "%g %% is not a bound on loss", c.MaxLoss))
	}
	if c.Wait <= 0 {
		errs = append(errs, resource.Fieldf("wait", "use a time such as 1s", "a reply takes some time"))
	}
	return errors.Join(errs...)
}

// Resolve finds the addresses of the target.
func (c *ICMP) Resolve(lookup Lookup) (err error) {
	c.targets, err = resolve("target", c.Target, c.Network, lookup)
	return err
}

// PingDetail is what an icmp check found at one address.
type PingDetail struct {
	Endpoint
	Sent     int           `json:"sent"`
	Received int           `json:"received"`
	MinRTT   time.Duration `json:"min_rtt_ns"`
	AvgRTT   time.Duration `json:"avg_rtt_ns"`
	MaxRTT   time.Duration `json:"max_rtt_ns"`
	Error    string        `json:"error,omitempty"` // of the last request that was lost
}

// Loss returns the share of lost requests in percent.
func (d PingDetail) Loss() float64 {
	return 100 * float64(d.Sent-d.Received) / float64(max(d.Sent, 1))
}

// PingDetails is what an icmp check found.
type PingDetails []PingDetail

// Summary says how many answered, and the greatest round-trip time.
func (ds PingDetails) Summary() string {
	var worst time.Duration
	for _, d := range ds {
		worst = max(worst, d.MaxRTT)
	}
	return fmt.Sprintf("%s, slowest in %s", answered(len(ds)), round(worst))
}

// Run pings every address Count times.
func (c *ICMP) Run(ctx context.Context, v Vantage) (any, error) {
	found, err := each(ctx, c.targets, func(ctx context.Context, t Endpoint) (PingDetail, error) {
		d, err := c.ping(ctx, v, t)
		if err != nil {
			return d, err
		}
		return d, c.judge(d)
	})
	return PingDetails(found), err
}

func (c *ICMP) ping(ctx context.Context, v Vantage, t Endpoint) (PingDetail, error) {
	d := PingDetail{Endpoint: t}
	var sum time.Duration
	for i := range c.Count {
		if i > 0 && !pause(ctx, time.Duration(c.Interval)) {
			return d, ctx.Err()
		}
		rtt, err := pingOnce(ctx, v, t.Addr, time.Duration(c.Wait))
		if errors.Is(err, ErrVantage) || ctx.Err() != nil {
			return d, errors.Join(ctx.Err(), err)
		}
		d.Sent++
		if err != nil {
			d.Error = plain(err)
			continue
		}
		if d.Received == 0 || rtt < d.MinRTT {
			d.MinRTT = rtt
		}
		d.Received++
		d.MaxRTT, sum = max(d.MaxRTT, rtt), sum+rtt
	}
	d.AvgRTT = sum / time.Duration(max(d.Received, 1))
	return d, nil
}

func pingOnce(ctx context.Context, v Vantage, addr string, wait time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	return v.Ping(ctx, addr)
}

func (c *ICMP) judge(d PingDetail) error {
	switch {
	case d.Received == 0:
		return failf("%s does not answer to pings: %s", d.Endpoint, d.Error)
	case d.Loss() > c.MaxLoss:
		return failf("%s lost %.3g %% of %d pings, at most %g %% may be lost", d.Endpoint, d.Loss(), d.Sent, c.MaxLoss)
	case c.MaxRTT > 0 && d.AvgRTT > time.Duration(c.MaxRTT):
		return failf("%s answers in %s on average, at most %s is allowed", d.Endpoint, round(d.AvgRTT), c.MaxRTT)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// answered says how many did.
func answered(n int) string {
	if n == 1 {
		return "answered"
	}
	return fmt.Sprintf("all %d answered", n)
}

// round cuts a time to three digits or so, for people.
func round(d time.Duration) time.Duration {
	for unit := time.Second; unit > time.Nanosecond; unit /= 10 {
		if d >= unit {
			return d.Round(unit / 100)
		}
	}
	return d
}
