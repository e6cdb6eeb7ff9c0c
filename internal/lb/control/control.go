// Package control makes load balancers be what is stored: it compares what is
// wanted with what is there, and converges.
//
// It guarantees:
//
//   - Any number of controllers work side by side. Each load balancer belongs to
//     a shard, and each shard to one controller at a time, by a claim with a lease.
//     A controller that lost its claim, and does not know it yet, can change
//     nothing: its transactions depend on the claim, and agents refuse versions
//     that are older than what they have.
//   - Nothing depends on how far an earlier attempt came. A pass begins with what
//     is stored and what is there; every action of it may be done twice; and a
//     record is written before what it names is made, so that nothing is ever
//     there that no record leads to.
//   - No PENDING stays: it becomes ACTIVE, or after a while ERROR with the reason,
//     and ERROR becomes ACTIVE by itself when its cause has gone.
//   - What carries traffic is removed only after its replacement is there and
//     configured, and the replacement gets the address only after that.
//   - When many amphorae fall silent at once, they are not replaced at once.
package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// Amphorae is the side of the amphorae: how what is stored becomes what they do.
type Amphorae interface {
	// Apply makes an amphora do what is wanted of it, and returns a name for all
	// of that, which changes with it. It waits for an agent that is just starting
	// no longer than ctx allows. An error that is driver.Permanent is a fault of
	// what is wanted.
	Apply(ctx context.Context, want Want) (digest string, err error)
	// Digest returns what Apply would return, and does nothing.
	Digest(ctx context.Context, want Want) (string, error)
	// Probe asks the agent whether it is there.
	Probe(ctx context.Context, a *model.Amphora) error
	// Renew gives the agent a new certificate, and the authorities to trust.
	Renew(ctx context.Context, a *model.Amphora, cert, key, authorities string) error
}

// Keeper is implemented by a side of the amphorae that goes on with secrets that can
// no longer be read, from what the amphorae have of them.
type Keeper interface {
	// Kept returns by refs the names of what a load balancer's amphorae have as its
	// secrets since the last call of Apply, and why some could not be read.
	Kept(lb string) (names map[string]string, why string)
}

// Want is what an amphora shall do.
type Want struct {
	Tree    *store.Tree
	Amphora *model.Amphora
	// Peers are the others that carry the load balancer.
	Peers []*model.Amphora
	// Fenced amphorae must not hold the VIP.
	Fenced     bool
	Version    uint64
	Interfaces []driver.Interface
}

// Options are what a controller works with.
type Options struct {
	// Name tells controllers apart; it should be the same after a restart.
	Name      string
	Store     *store.Store
	Network   driver.Network
	Compute   driver.Compute
	Secrets   driver.Secrets
	Amphorae  Amphorae
	Authority *Authority
	Log       *slog.Logger
	// Address is where this controller takes heartbeats; Receivers are those of
	// all controllers.
	Address   string
	Receivers func() []string
	Limits    Limits
}

// Limits are the controller's patience and haste. The zero value of each means
// its default.
type Limits struct {
	Shards  int // how many shards there are; all controllers have the same
	Workers int // how many load balancers are worked on at once
	// Heartbeat is how often agents tell that they live, Silence how long they may
	// not before they are asked, and replaced if they do not answer.
	Heartbeat, Silence time.Duration
	// Boot is how long an instance may take until its agent answers.
	Boot time.Duration
	// Patience is how long a load balancer may be PENDING before it is ERROR.
	Patience time.Duration
	// RetryMin and RetryMax bound the pauses after failures.
	RetryMin, RetryMax time.Duration
	// Resync is how often everything is looked at although nothing was heard.
	Resync time.Duration
	// Grace is how old what nobody knows must be to be removed.
	Grace time.Duration
	// Expire is how long deleted load balancers are kept.
	Expire time.Duration
	// Statistics is how often counters are stored.
	Statistics time.Duration
	// Breaker bounds how many amphorae are replaced because they are silent.
	Share    float64
	Least    int
	Parallel int
	Every    time.Duration
	Burst    int
}

func or[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

func (l Limits) withDefaults() Limits {
	or(&l.Shards, 32)
	or(&l.Workers, 64)
	or(&l.Heartbeat, 3*time.Second)
	or(&l.Silence, 4*l.Heartbeat)
	or(&l.Boot, time.Minute)
	or(&l.Patience, 3*time.Minute)
	or(&l.RetryMin, 100*time.Millisecond)
	or(&l.RetryMax, 20*time.Second)
	or(&l.Resync, time.Minute)
	or(&l.Grace, time.Minute)
	or(&l.Expire, 7*24*time.Hour)
	or(&l.Statistics, 10*time.Second)
	or(&l.Share, 0.5)
	or(&l.Least, 5)
	or(&l.Parallel, 8)
	or(&l.Every, time.Minute)
	or(&l.Burst, 30)
	return l
}

// Controller converges the load balancers of its shards.
type Controller struct {
	opts      Options
	limits    Limits
	log       *slog.Logger
	light     bool
	queue     *queue
	passes    sync.Map // of context.CancelCauseFunc, by load balancer
	shards    *shards
	vitals    *vitals
	waits     waits
	reports   *queue        // amphorae that said something
	authority chan struct{} // it is another
	asking    chan struct{} // slots
	breaker   *Breaker
	strays    map[string]time.Time // what nobody knows, and since when, for sweep alone
	Metrics   Metrics
}

// New returns a controller, which does nothing before Run.
func New(o Options) *Controller {
	l := o.Limits.withDefaults()
	_, light := o.Compute.(driver.Light)
	if o.Receivers == nil {
		o.Receivers = func() []string { return nil }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Controller{
		opts: o, limits: l, log: o.Log.With("controller", o.Name), light: light, queue: newQueue(), vitals: newVitals(),
		reports: newQueue(), authority: make(chan struct{}, 1), asking: make(chan struct{}, maxAsking),
		shards:  newShards(o.Store, o.Name, l.Shards).at(o.Address),
		breaker: &Breaker{Share: l.Share, Least: l.Least, Parallel: l.Parallel, Every: l.Every, Burst: l.Burst},
	}
}

// Run works until the context ends. Then it ends what it is at, and gives its
// shards to others.
func (c *Controller) Run(ctx context.Context) error {
	// What is being done when the end comes is done to its next stable point, for
	// no longer than this.
	const inFlight = 10 * time.Second
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var workers, helpers sync.WaitGroup
	for range c.limits.Workers {
		workers.Go(func() { c.workLoop(ctx, work) })
	}
	for _, f := range []func(context.Context){c.follow, c.watchdog, c.tend, c.resync, c.identities} {
		helpers.Go(func() { f(ctx) })
	}
	for range reporters {
		helpers.Go(func() { c.reportLoop(ctx) })
	}
	err := c.shards.run(ctx, c.acquired, c.lost)
	done := make(chan struct{})
	go func() { workers.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(inFlight):
		stop()
		<-done
	}
	helpers.Wait()
	release, cancel := context.WithTimeout(context.WithoutCancel(ctx), inFlight)
	defer cancel()
	return errors.Join(err, c.shards.release(release))
}

// follow adds what changed to the queue.
func (c *Controller) follow(ctx context.Context) {
	feed := c.opts.Store.Watch()
	defer feed.Close()
	c.addAll(func(string) bool { return true })
	for {
		refs, err := feed.Next(ctx)
		if err != nil {
			return
		}
		snap := c.opts.Store.View()
		for _, r := range refs {
			if r.Kind == model.KindRecord && r.ID == vaultRecords+authorityRecord {
				poke(c.authority)
			}
			if r.Kind == model.KindClaim && strings.HasPrefix(r.ID, receiverClaims) && !c.light {
				c.addAll(func(string) bool { return true }) // agents have to know them
			}
			if r.Kind != model.KindLoadBalancer || !c.shards.mine(r.ID) {
				continue
			}
			if t := snap.Tree(r.ID); t != nil && c.due(t) {
				c.queue.heard(r.ID, matter(t))
			}
		}
	}
}

// poke wakes who waits for the channel, once.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// due reports whether there is something to do at once. Changes of operating
// statuses are the most frequent ones, and need nobody.
func (c *Controller) due(t *store.Tree) bool {
	if s := t.LB.ProvisioningStatus; s.Pending() || t.LB.Failover != nil {
		return true
	} else if s == model.Deleted || s == model.Error {
		return false // its own retries are under way
	}
	p := planOf(t)
	return len(p.missing)+len(p.doomed)+len(p.useless) > 0 || pushAsked(t)
}

// matter is what a pass over a load balancer is about. Not in it is why it does
// not come on: to note that must not end the pause before the next try.
func matter(t *store.Tree) string {
	lb := t.LB
	var b strings.Builder
	fmt.Fprint(&b, lb.ProvisioningStatus, lb.StatusSince.UnixMicro(), lb.RequestID, lb.Deleting)
	if lb.Failover != nil {
		fmt.Fprint(&b, lb.Failover.RequestedAt.UnixMicro(), lb.Failover.Replaced)
	}
	for _, a := range t.Amphorae() {
		fmt.Fprint(&b, a.ID, a.Status, a.ConfigPush)
	}
	return b.String()
}

// pushAsked reports whether somebody asked for an agent's configuration.
func pushAsked(t *store.Tree) bool {
	for _, a := range t.Amphorae() {
		if a.ConfigPush > 0 {
			return true
		}
	}
	return false
}

// addAll adds every load balancer of this controller's shards for which want is
// true.
func (c *Controller) addAll(want func(shard string) bool) {
	for t := range c.opts.Store.View().Trees("") {
		if id := t.LB.ID; t.LB.ProvisioningStatus != model.Deleted && c.shards.mine(id) && want(c.shards.of(id)) {
			c.queue.add(id)
		}
	}
}

func (c *Controller) acquired(shard string) {
	c.vitals.reset(func(lb string) bool { return c.shards.of(lb) == shard }, time.Now())
	c.addAll(func(s string) bool { return s == shard })
}

// lost ends what is under way for a shard that is another's now.
func (c *Controller) lost(string) {
	c.queue.forget(func(id string) bool { return !c.shards.mine(id) })
	c.passes.Range(func(id, cancel any) bool {
		if !c.shards.mine(id.(string)) {
			cancel.(context.CancelCauseFunc)(errInterrupted)
		}
		return true
	})
}

// resync looks at everything now and then, spread over the interval.
func (c *Controller) resync(ctx context.Context) {
	for tick(ctx, c.limits.Resync) {
		c.addAll(func(string) bool { return true })
	}
}

// tick waits for d, and reports whether the context has not ended.
func tick(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
