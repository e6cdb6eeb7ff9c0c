package lease_test

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/etcd/lease"
)

// store is an etcd with one key. A host that is cut off gets no answers.
type store struct {
	mu     sync.Mutex
	holder string
	until  time.Time
	lease  int
	cut    map[string]bool
}

var errCut = errors.New("no answer")

// of is the store as a host sees it.
type of struct {
	*store
	host string
}

func (s of) Acquire(_ context.Context, host string) (string, string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cut[s.host]:
		return "", "", errCut
	case s.holder != "" && time.Now().Before(s.until):
		return "", s.holder, nil
	}
	s.lease++
	s.holder, s.until = host, time.Now().Add(lease.TTL)
	return strconv.Itoa(s.lease), host, nil
}

func (s of) Renew(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut[s.host] {
		return errCut
	}
	if id != strconv.Itoa(s.lease) || !time.Now().Before(s.until) {
		return lease.ErrOver
	}
	s.until = time.Now().Add(lease.TTL)
	return nil
}

func (s of) Release(_ context.Context, id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cut[s.host] {
		return errCut
	}
	if id == strconv.Itoa(s.lease) {
		s.holder = ""
	}
	return nil
}

func (s *store) cutOff(host string, yes bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut[host] = yes
}

// world has programs, of which no two may run at once.
type world struct {
	t       *testing.T
	mu      sync.Mutex
	running string
	signals []syscall.Signal
	program *program
}

type program struct {
	w     *world
	host  string
	ended chan error
	once  sync.Once
}

func (w *world) start(host string) (lease.Process, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.running != "" {
		w.t.Errorf("%s starts while %s runs it", host, w.running)
	}
	w.running = host
	w.program = &program{w: w, host: host, ended: make(chan error, 1)}
	return w.program, nil
}

func (w *world) who() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.running
}

func (p *program) Signal(sig syscall.Signal) {
	p.w.mu.Lock()
	p.w.signals = append(p.w.signals, sig)
	p.w.mu.Unlock()
	p.end(nil)
}

func (p *program) end(err error) {
	p.once.Do(func() {
		p.w.mu.Lock()
		p.w.running = ""
		p.w.mu.Unlock()
		p.ended <- err
	})
}

func (p *program) Ended() <-chan error { return p.ended }

func run(ctx context.Context, s *store, w *world, host string) <-chan error {
	done := make(chan error, 1)
	h := &lease.Holder{
		Host: host, Store: of{s, host}, Log: slog.New(slog.DiscardHandler), Start: func() (lease.Process, error) { return w.start(host) },
	}
	go func() { done <- h.Run(ctx) }()
	return done
}

func TestOneOfTwoHostsRunsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &store{cut: map[string]bool{}}, &world{t: t}
		ctxA, stopA := context.WithCancel(t.Context())
		a := run(ctxA, s, w, "a")
		time.Sleep(time.Second)
		ctxB, stopB := context.WithCancel(t.Context())
		b := run(ctxB, s, w, "b")
		time.Sleep(time.Hour)
		if w.who() != "a" {
			t.Fatalf("%q runs it after an hour, not the first", w.who())
		}
		stopA()
		if err := <-a; err != nil {
			t.Errorf("told to end: %v", err)
		}
		if w.signals[0] != syscall.SIGTERM {
			t.Errorf("the program got %v", w.signals)
		}
		time.Sleep(3 * time.Second)
		if w.who() != "b" {
			t.Errorf("%q runs it after the first has given it away", w.who())
		}
		stopB()
		<-b
	})
}

func TestWhoIsCutOffHasKilledItBeforeAnotherStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &store{cut: map[string]bool{}}, &world{t: t}
		ctx, stop := context.WithCancel(t.Context())
		a := run(ctx, s, w, "a")
		time.Sleep(time.Second)
		b := run(ctx, s, w, "b")
		time.Sleep(time.Minute)
		s.cutOff("a", true)
		time.Sleep(lease.TTL + 3*time.Second)
		if w.who() != "b" { // start says if both ran
			t.Errorf("%q runs it", w.who())
		}
		s.cutOff("a", false)
		time.Sleep(time.Minute)
		if w.who() != "b" {
			t.Errorf("%q runs it after the first is back", w.who())
		}
		stop()
		<-a
		<-b
	})
}

func TestASecondOfSilenceHarmsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &store{cut: map[string]bool{}}, &world{t: t}
		ctx, stop := context.WithCancel(t.Context())
		a := run(ctx, s, w, "a")
		time.Sleep(time.Minute)
		s.cutOff("a", true)
		time.Sleep(5 * time.Second)
		s.cutOff("a", false)
		time.Sleep(time.Minute)
		if w.who() != "a" || len(w.signals) > 0 {
			t.Errorf("%q runs it, after %v", w.who(), w.signals)
		}
		stop()
		<-a
	})
}

func TestAProgramThatEndsGivesTheKeyAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, w := &store{cut: map[string]bool{}}, &world{t: t}
		a := run(t.Context(), s, w, "a")
		time.Sleep(time.Minute)
		broken := errors.New("exit status 3")
		w.program.end(broken)
		if err := <-a; !errors.Is(err, broken) {
			t.Errorf("it returned %v", err)
		}
		if s.holder != "" {
			t.Errorf("%q still has the key", s.holder)
		}
	})
}
