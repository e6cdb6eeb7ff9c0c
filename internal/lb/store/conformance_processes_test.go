package store

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// What holds between processes, or writers of one, that use the same store.

func testThousand(r rig) {
	lb := r.lb("p")
	other := r.open(Options{})
	var wg sync.WaitGroup
	var mu sync.Mutex
	won, lost := 0, 0
	for i := range 1000 {
		s := []*Store{r.Store, other}[i%2]
		wg.Go(func() {
			err := s.Update(context.Background(), func(tx *Tx) error { return tx.LockForUpdate(lb.ID) })
			mu.Lock()
			defer mu.Unlock()
			var state *StateError
			switch {
			case err == nil:
				won++
			case errors.As(err, &state) && state.Status == model.PendingUpdate:
				lost++
			default:
				r.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 999 {
		r.Errorf("%d won and %d lost", won, lost)
	}
}

func testNoLostUpdate(r rig) {
	stores := []*Store{r.Store, r.open(Options{}), r.open(Options{})}
	const writers, each = 12, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for range each {
				err := stores[w%len(stores)].Update(context.Background(), func(tx *Tx) error {
					n := 0
					if old := tx.Record("test/n"); old != nil {
						n, _ = strconv.Atoi(string(old.Data))
					}
					return tx.Put(&model.Record{Name: "test/n", Data: []byte(strconv.Itoa(n + 1))})
				})
				if err != nil {
					r.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for i, s := range stores {
		if err := s.Sync(context.Background()); err != nil {
			r.Fatal(err)
		}
		if got := string(s.View().Record("test/n").Data); got != strconv.Itoa(writers*each) {
			r.Errorf("store %d counts %s of %d", i, got, writers*each)
		}
	}
}

func testUniqueBetweenProcesses(r rig) {
	lb := r.lb("p")
	stores := []*Store{r.Store, r.open(Options{}), r.open(Options{})}
	for port := range 10 {
		var wg sync.WaitGroup
		var mu sync.Mutex
		made := 0
		for _, s := range stores {
			wg.Go(func() {
				err := s.Update(context.Background(), func(tx *Tx) error { return tx.Create(listener(lb.ID, model.ProtocolTCP, port)) })
				mu.Lock()
				defer mu.Unlock()
				var twice *DuplicateError
				if err == nil {
					made++
				} else if !errors.As(err, &twice) {
					r.Error(err)
				}
			})
		}
		wg.Wait()
		if made != 1 {
			r.Errorf("%d listeners were made for port %d", made, port)
		}
	}
}

// testFreshConflict has one process free what another asks for right after: it
// must not be refused for what it has not heard yet.
func testFreshConflict(r rig) {
	lb := r.lb("p")
	other := r.open(Options{})
	for range 20 {
		r.do(func(tx *Tx) error { return tx.LockForUpdate(lb.ID) })
		if err := other.Update(context.Background(), func(tx *Tx) error {
			l := tx.LoadBalancer(lb.ID)
			if l.ProvisioningStatus != model.PendingUpdate {
				return errors.New("the lock was not seen")
			}
			c := l.Clone()
			c.ProvisioningStatus = model.Active
			return tx.Update(c)
		}); err != nil {
			r.Fatal(err)
		}
	}
	absent := listener(lb.ID, model.ProtocolTCP, 80)
	r.do(func(tx *Tx) error { return tx.Create(absent) })
	if err := other.Update(context.Background(), func(tx *Tx) error {
		if l, _ := tx.Listener(absent.ID); l == nil {
			return errors.New("the listener was not seen")
		}
		return errors.New("seen")
	}); err.Error() != "seen" {
		r.Error(err)
	}
}

func testFeed(r rig) {
	other := r.open(Options{})
	f := other.Watch()
	defer f.Close()
	lb := r.lb("p")
	awaitRef(r, f, model.Ref{Kind: model.KindLoadBalancer, ID: lb.ID})
	r.do(func(tx *Tx) error { return tx.Create(pool(lb.ID)) })
	awaitRef(r, f, model.Ref{Kind: model.KindLoadBalancer, ID: lb.ID})
	r.do(func(tx *Tx) error { return tx.Put(&model.Record{Name: "a/b"}) })
	awaitRef(r, f, model.Ref{Kind: model.KindRecord, ID: "a/b"})
}

func awaitRef(r rig, f *Feed, want model.Ref) {
	r.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for {
		refs, err := f.Next(ctx)
		if err != nil {
			r.Fatalf("%v was not told: %v", want, err)
		}
		if slices.Contains(refs, want) {
			return
		}
	}
}

func testClaims(r rig) {
	ctx := context.Background()
	other := r.open(Options{})
	one, err := r.NewSession(ctx, "one", 20*time.Second)
	if err != nil {
		r.Fatal(err)
	}
	two, err := other.NewSession(ctx, "two", 20*time.Second)
	if err != nil {
		r.Fatal(err)
	}
	held, err := one.Claim(ctx, "shard/1")
	if err != nil {
		r.Fatal(err)
	}
	var taken *ClaimedError
	if _, err := two.Claim(ctx, "shard/1"); !errors.As(err, &taken) || taken.Owner != "one" {
		r.Errorf("a claim that is held: %v", err)
	}
	if again, err := one.Claim(ctx, "shard/1"); err != nil || again.Token != held.Token {
		r.Errorf("claimed again: %+v, %v", again, err)
	}
	fenced := func(tx *Tx) error {
		if err := tx.Fence(held); err != nil {
			return err
		}
		return tx.Put(&model.Record{Name: "x"})
	}
	r.do(fenced)
	f := other.Watch()
	defer f.Close()
	if err := one.Close(ctx); err != nil {
		r.Fatal(err)
	}
	awaitRef(r, f, model.Ref{Kind: model.KindClaim, ID: "shard/1"})
	next, err := two.Claim(ctx, "shard/1")
	if err != nil || next.Token <= held.Token {
		r.Fatalf("the next claim: %+v, %v", next, err)
	}
	if err := r.Update(ctx, fenced); !errors.Is(err, ErrFenced) {
		r.Errorf("an update with an old claim: %v", err)
	}
	select {
	case <-one.Lost():
	case <-time.After(patience):
		r.Error("a session that was closed is not told so")
	}
	if err := next.Release(ctx); err != nil {
		r.Fatal(err)
	}
	await(r.T, "the release", func() bool { return len(other.View().Claims("shard/")) == 0 })
}
