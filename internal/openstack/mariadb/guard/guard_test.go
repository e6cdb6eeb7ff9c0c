package guard

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
)

// etcd is one in memory, which may be out of reach.
type etcd struct {
	reports map[string]Report
	locks   map[string]string
	away    bool
}

func newEtcd() *etcd { return &etcd{reports: map[string]Report{}, locks: map[string]string{}} }

var errAway = errors.New("no majority")

func (e *etcd) err() error {
	if e.away {
		return errAway
	}
	return nil
}

func (e *etcd) Reports(context.Context) ([]Report, error) {
	var out []Report
	for _, r := range e.reports {
		out = append(out, r)
	}
	return out, e.err()
}

func (e *etcd) Publish(_ context.Context, r Report) error {
	if !e.away {
		e.reports[r.Host] = r
	}
	return e.err()
}

func (e *etcd) Withdraw(_ context.Context, host string) error {
	if !e.away {
		delete(e.reports, host)
	}
	return e.err()
}

func (e *etcd) Take(_ context.Context, view, host string) (string, error) {
	if !e.away && e.locks[view] == "" {
		e.locks[view] = host
	}
	return e.locks[view], e.err()
}

// server is one in memory. When it begins the cluster, it is in a primary component
// with a new view.
type server struct {
	now   Report
	begun int
}

func (s *server) Report(context.Context) (Report, error) { return s.now, nil }

func (s *server) Begin(context.Context, string) error {
	s.begun++
	self := s.now.View.Self
	s.now.Condition, s.now.View = Primary, View{ID: "new:9", Self: self, Members: []string{self}}
	return nil
}

func guardOf(t *testing.T, e agreement, s *server) *Guard {
	return &Guard{Server: s, Store: e, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
}

// rounds lets guards look in turn.
func rounds(t *testing.T, n int, guards ...*Guard) {
	t.Helper()
	for range n {
		for _, g := range guards {
			if err := g.Look(t.Context()); err != nil {
				t.Log(err)
			}
		}
	}
}

func TestTheMoreAdvancedOfTwoBeginsOnceBothHaveSaidSoTwice(t *testing.T) {
	e := newEtcd()
	a, b := &server{now: says("a", Live, three("a"), at(10))}, &server{now: says("b", Live, three("b"), at(11))}
	guards := []*Guard{guardOf(t, e, a), guardOf(t, e, b)}
	rounds(t, 1, guards...)
	if a.begun+b.begun != 0 {
		t.Fatal("one began in the first round")
	}
	rounds(t, 5, guards...)
	if a.begun != 0 || b.begun != 1 {
		t.Errorf("a began %d times, b %d times", a.begun, b.begun)
	}
	if e.locks["5e21:7"] != "b" {
		t.Errorf("the view's lock is %q's", e.locks["5e21:7"])
	}
}

func TestServersThatAreStartedWaitForOthersFirst(t *testing.T) {
	e := newEtcd()
	a, b := &server{now: says("a", Waiting, three("a"), at(10))}, &server{now: says("b", Waiting, three("b"), at(9))}
	guards := []*Guard{guardOf(t, e, a), guardOf(t, e, b)}
	rounds(t, waitingLooks-1, guards...)
	if a.begun+b.begun != 0 {
		t.Fatal("one began at once")
	}
	rounds(t, 2, guards...)
	if a.begun != 1 || b.begun != 0 {
		t.Errorf("a began %d times, b %d times", a.begun, b.begun)
	}
}

func TestNobodyBegins(t *testing.T) {
	for name, prepare := range map[string]func(e *etcd, a, b *server){
		"alone":                               func(_ *etcd, _, b *server) { b.now.Condition = Unknown },
		"without a majority of etcd":          func(e *etcd, _, _ *server) { e.away = true },
		"from a view that another began from": func(e *etcd, _, _ *server) { e.locks["5e21:7"] = "c" },
		"beside a primary component":          func(_ *etcd, _, b *server) { b.now.Condition = Primary },
	} {
		t.Run(name, func(t *testing.T) {
			e := newEtcd()
			a, b := &server{now: says("a", Live, three("a"), at(10))}, &server{now: says("b", Live, three("b"), at(10))}
			prepare(e, a, b)
			rounds(t, 10, guardOf(t, e, a), guardOf(t, e, b))
			if a.begun+b.begun != 0 {
				t.Error("one began")
			}
		})
	}
}

func TestTheOneWithTheRightMayTryAgain(t *testing.T) {
	e := newEtcd()
	e.locks["5e21:7"] = "a"
	a, b := &server{now: says("a", Live, three("a"), at(10))}, &server{now: says("b", Live, three("b"), at(10))}
	rounds(t, liveRounds+1, guardOf(t, e, a), guardOf(t, e, b))
	if a.begun != 1 {
		t.Errorf("it began %d times", a.begun)
	}
}

func TestEtcdIsNotWrittenToWhileAllIsWell(t *testing.T) {
	e := newEtcd()
	a := &server{now: says("a", Primary, three("a"), at(10))}
	g := guardOf(t, e, a)
	rounds(t, 3, g)
	if len(e.reports) != 0 {
		t.Errorf("it says %v", e.reports)
	}
	e.reports["b"] = says("b", Live, three("b"), at(9))
	rounds(t, 1, g)
	if e.reports["a"].Condition != Primary {
		t.Errorf("another is in no primary component, and it says %v", e.reports["a"])
	}
	delete(e.reports, "b")
	rounds(t, 1, g)
	if len(e.reports) != 0 {
		t.Errorf("all is well, and it says %v", e.reports)
	}
}

func TestRunLooksUntilItIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		e := newEtcd()
		a := &server{now: says("a", Live, three("a"), at(10))}
		g := guardOf(t, e, a)
		g.Log = slog.New(slog.NewTextHandler(&log, nil))
		ctx, cancel := context.WithTimeout(t.Context(), 3*Interval+Interval/2)
		defer cancel()
		g.Run(ctx)
		if n := strings.Count(log.String(), "1 of 3 members"); n != 1 {
			t.Errorf("why nothing is begun stands in the log %d times:\n%s", n, log.String())
		}
	})
}
