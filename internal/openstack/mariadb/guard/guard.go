package guard

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// How often a guard looks, and how many times in a row the same member has to be
// the one that may begin. Where members were started anew, others may be on their
// way: a cluster that all come back to loses nothing at all.
const (
	Interval     = 5 * time.Second
	liveRounds   = 2
	waitingLooks = 6
)

// member is the server as the guard sees it.
type member interface {
	Report(ctx context.Context) (Report, error)
	Begin(ctx context.Context, view string) error
}

// agreement is etcd as the guard sees it.
type agreement interface {
	Reports(ctx context.Context) ([]Report, error)
	Publish(ctx context.Context, r Report) error
	Withdraw(ctx context.Context, host string) error
	Take(ctx context.Context, view, host string) (holder string, err error)
}

// Guard is one controller's.
type Guard struct {
	Server member
	Store  agreement
	Log    *slog.Logger

	choice Choice
	rounds int // in which it was the choice
	said   string
}

// Run looks until the context ends.
func (g *Guard) Run(ctx context.Context) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		if err := g.Look(ctx); err != nil && ctx.Err() == nil {
			g.say("nothing is begun", err.Error())
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look is one round: it says how the server is, looks at what the others say, and
// begins the cluster when the server is the one to do so.
func (g *Guard) Look(ctx context.Context) error {
	mine, err := g.Server.Report(ctx)
	if err != nil {
		return g.unsettled(err)
	}
	before, err := g.Store.Reports(ctx)
	if err != nil {
		return g.unsettled(err)
	}
	if done, err := g.tell(ctx, mine, before); done || err != nil {
		return g.unsettled(err)
	}
	all, err := g.Store.Reports(ctx)
	if err != nil {
		return g.unsettled(err)
	}
	choice, err := Elect(all)
	if err != nil {
		return g.unsettled(err)
	}
	if choice != g.choice {
		g.choice, g.rounds = choice, 0
	}
	g.rounds++
	if choice.Host != mine.Host || g.rounds < needed(choice) {
		g.say("a member may begin the cluster", choice.Host+" from view "+choice.View)
		return nil
	}
	return g.begin(ctx, choice)
}

// needed is how many rounds a choice has to hold.
func needed(c Choice) int {
	if c.Live {
		return liveRounds
	}
	return waitingLooks
}

// unsettled forgets the choice.
func (g *Guard) unsettled(err error) error {
	g.choice, g.rounds = Choice{}, 0
	return err
}

// tell says how the server is, if that matters: one in a primary component says so
// when others say that they are in none, and one of which nothing can be said takes
// back what it said. done means that there is nothing to elect.
func (g *Guard) tell(ctx context.Context, mine Report, all []Report) (done bool, err error) {
	said, others := false, false
	for _, r := range all {
		said = said || r.Host == mine.Host
		others = others || r.Host != mine.Host && r.Condition != Primary
	}
	if mine.Condition == Unknown || mine.Condition == Primary && !others {
		g.said = ""
		if said {
			err = g.Store.Withdraw(ctx, mine.Host)
		}
		return true, err
	}
	return false, g.Store.Publish(ctx, mine)
}

func (g *Guard) begin(ctx context.Context, c Choice) error {
	holder, err := g.Store.Take(ctx, c.View, c.Host)
	if err != nil {
		return err
	}
	if holder != c.Host {
		return fmt.Errorf("%s has begun from view %s before: whether %s may do so again a person has to say", holder, c.View, c.Host)
	}
	g.unsettled(nil) //nolint:errcheck // it returns what it was given
	g.Log.Warn("beginning the cluster anew", "view", c.View)
	return g.Server.Begin(ctx, c.View)
}

// say writes to the log what was not said last.
func (g *Guard) say(what, why string) {
	if g.said != why {
		g.said = why
		g.Log.Info(what, "why", why)
	}
}
