package store

import (
	"context"
	"errors"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// writers create load balancers until they are stopped, and note what was
// acknowledged.
type writers struct {
	mu     sync.Mutex
	acked  map[string]bool
	errs   map[string]int
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func startWriters(t *testing.T, s *Store, n int) *writers {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writers{acked: map[string]bool{}, errs: map[string]int{}, cancel: cancel}
	for range n {
		w.wg.Go(func() {
			for ctx.Err() == nil {
				w.write(t, s)
			}
		})
	}
	t.Cleanup(w.stop)
	return w
}

func (w *writers) write(t *testing.T, s *Store) {
	lb := newLB("p")
	err := s.Update(context.Background(), func(tx *Tx) error { return tx.Create(lb) })
	w.mu.Lock()
	defer w.mu.Unlock()
	var away *UnavailableError
	switch {
	case err == nil:
		w.acked[lb.ID] = true
	case errors.As(err, &away) && away.RetryAfter > 0:
		w.errs[away.Reason]++
	default:
		t.Errorf("a write ended with %v", err)
	}
}

func (w *writers) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acked)
}

func (w *writers) stop() {
	w.cancel()
	w.wg.Wait()
}

// wantAll checks that a store has everything that was acknowledged.
func (w *writers) wantAll(t *testing.T, s *Store) {
	t.Helper()
	for id := range maps.Keys(w.acked) {
		if s.View().Tree(id) == nil {
			t.Errorf("load balancer %s was acknowledged and is lost", id)
		}
	}
	mustCheck(t, s)
}

func TestOneOfThreeMembersIsLost(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 500*time.Millisecond)
	s := open(t, Options{Endpoints: c.endpoints(), WriteTimeout: 3 * time.Second})
	w := startWriters(t, s, 4)
	for i := range 3 { // the leader is one of them
		n := w.count()
		await(t, "writing", func() bool { return w.count() > n+20 })
		c.stop(i)
		n = w.count()
		await(t, "writing without a member", func() bool { return w.count() > n+20 })
		c.start(i)
	}
	w.stop()
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.wantAll(t, s)

	// Everything stops and starts again.
	c.stop(0, 1, 2)
	c.start(0, 1, 2)
	again := open(t, Options{Endpoints: c.endpoints()})
	w.wantAll(t, again)
}

func TestWithoutAMajorityWritesAreRefusedAndReadsGoOn(t *testing.T) {
	t.Parallel()
	c := startCluster(t, 500*time.Millisecond)
	s := open(t, Options{Endpoints: c.endpoints(), WriteTimeout: 2 * time.Second})
	lb := newLB("p")
	update(t, s, func(tx *Tx) error { return tx.Create(lb) })
	c.stop(0, 1)

	try := func() (time.Duration, error) {
		start := time.Now()
		err := s.Update(context.Background(), func(tx *Tx) error { return tx.Create(newLB("p")) })
		return time.Since(start), err
	}
	var away *UnavailableError
	if _, err := try(); !errors.As(err, &away) || away.RetryAfter == 0 {
		t.Fatalf("a write without a majority: %v", err)
	}
	if took, err := try(); !errors.As(err, &away) || took >= s.opts.WriteTimeout {
		t.Errorf("the next write took %v: %v", took, err)
	}
	if s.View().Tree(lb.ID) == nil {
		t.Error("reads do not go on")
	}
	c.start(0, 1)
	await(t, "recovery", func() bool { _, err := try(); return err == nil })
	mustCheck(t, s)
}

func TestAFullRestartLosesNothing(t *testing.T) {
	t.Parallel()
	dir := dirOf(t)
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	w := &writers{acked: map[string]bool{}, errs: map[string]int{}}
	for range 50 {
		w.write(t, s)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Update(t.Context(), func(*Tx) error { return nil }); !errors.Is(err, ErrClosed) {
		t.Errorf("an update after the end: %v", err)
	}
	w.wantAll(t, open(t, Options{Dir: dir}))
}

func TestTheDirectoryHasOneProcess(t *testing.T) {
	t.Parallel()
	dir := dirOf(t)
	open(t, Options{Dir: dir})
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrInUse) {
		t.Errorf("opened twice: %v", err)
	}
}

func TestSilentClientsDoNotHoldUpTheEnd(t *testing.T) {
	t.Parallel()
	dir := dirOf(t)
	s := open(t, Options{Dir: dir})
	client, err := dialMember(Options{Dir: dir}.withDefaults())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ch := client.Watch(t.Context(), "/") // open, and nobody reads
	if _, err := client.Get(t.Context(), "/"); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil { // as it is when Close loses patience
		t.Error(err)
	}
	_ = ch
}

func TestCompactedHistoryIsReadAnew(t *testing.T) {
	t.Parallel()
	dir := dirOf(t)
	s := open(t, Options{Dir: dir})
	lb := newLB("p")
	update(t, s, func(tx *Tx) error { return tx.Create(lb) })

	// An index that missed what is compacted.
	behind := newStore(Options{Dir: dir})
	client, err := dialMember(behind.opts)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	behind.client = client
	update(t, s, func(tx *Tx) error { return tx.LockForUpdate(lb.ID) })
	if err := s.compact(t.Context(), 0, s.View().Rev); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); behind.follow(ctx) }()
	await(t, "the index", func() bool { return behind.View().Rev >= s.View().Rev })
	if got := behind.View().Tree(lb.ID); got == nil || got.LB.ProvisioningStatus != model.PendingUpdate {
		t.Errorf("read anew: %+v", got)
	}
	cancel()
	<-done
}

func TestTheIndexNeverGoesBack(t *testing.T) {
	x := newIndex()
	lb := newLB("p")
	x.apply(7, []event{{key: keyOf(lb.Kind(), lb.Place()), value: lb, rev: 7, created: 7}})
	old := newSnapshot()
	old.Rev = 6
	x.replace(old) // it was read before, and comes after
	if s := x.cur.Load(); s.Rev != 7 || s.Tree(lb.ID) == nil {
		t.Errorf("what was written is not shown any more: revision %d", s.Rev)
	}
}

func TestExhaustedSpaceIsWonBack(t *testing.T) {
	t.Parallel()
	s := open(t, Options{Dir: dirOf(t), MaxBytes: 16 << 20, RetryInterval: 10 * time.Millisecond})
	data := make([]byte, 512<<10)
	var away *UnavailableError
	refused := false
	for range 200 {
		err := s.Update(t.Context(), func(tx *Tx) error { return tx.Put(&model.Record{Name: "fat", Data: data}) })
		if errors.As(err, &away) && away.RetryAfter > 0 {
			refused = true
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if !refused {
		t.Fatal("the space was never exhausted")
	}
	await(t, "room", func() bool {
		return s.Update(t.Context(), func(tx *Tx) error { return tx.Create(newLB("p")) }) == nil
	})
	mustCheck(t, s)
}

func TestCompactionAndDefragmentation(t *testing.T) {
	t.Parallel()
	s := open(t, Options{Dir: dirOf(t)})
	for range 20 {
		update(t, s, func(tx *Tx) error { return tx.Put(&model.Record{Name: "a", Data: make([]byte, 100_000)}) })
	}
	if err := s.compact(t.Context(), 0, s.View().Rev); err != nil {
		t.Fatal(err)
	}
	before, err := s.client.Status(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.defragment(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	after, err := s.client.Status(t.Context(), "")
	if err != nil || after.DbSize >= before.DbSize {
		t.Errorf("%d bytes became %d: %v", before.DbSize, after.DbSize, err)
	}
	mustCheck(t, s)
}

func TestCheckFindsWhatDoesNotHold(t *testing.T) {
	t.Parallel()
	s := open(t, Options{Dir: dirOf(t)})
	lb := newLB("p")
	p := pool(lb.ID)
	l := listener(lb.ID, model.ProtocolHTTP, 80)
	update(t, s, func(tx *Tx) error { return errors.Join(tx.Create(lb), tx.Create(p), tx.Create(l)) })
	mustCheck(t, s)
	twin, lost, gap := listener(lb.ID, model.ProtocolTCP, 80), pool("gone"), policy(l, 7)
	twin.DefaultPoolID = "gone"
	for _, o := range []model.Stored{twin, lost, gap} {
		value, err := encode(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.client.Put(t.Context(), s.prefix+keyOf(o.Kind(), o.Place()), value); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.client.Put(t.Context(), s.prefix+"m/flavor/x", "{"); err != nil {
		t.Fatal(err)
	}
	found, err := s.Check(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"port TCP/80 is there twice", "its load balancer is not there", "its position is 7, not 1",
		"its default pool gone is not there", "it cannot be read, or is not what its key says"} {
		n := 0
		for _, f := range found {
			if f.What == what {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%q was found %d times in %v", what, n, found)
		}
	}
}

func TestTheGroupOfIndependentChangesIsDividedRightly(t *testing.T) {
	t.Parallel()
	turnOf := func(reads, writes []string) *turn {
		tx := newTx(newSnapshot(), newOverlay(), QuotaPolicy{})
		for _, k := range reads {
			tx.heads[k] = struct{}{}
		}
		for _, k := range writes {
			tx.mine.ops[k] = op{}
		}
		return &turn{tx: tx}
	}
	got := parts([]*turn{
		turnOf([]string{"flavor"}, []string{"a"}),
		turnOf([]string{"flavor"}, []string{"b"}), // shares only what both read
		turnOf([]string{"a"}, []string{"c"}),      // read what the first wrote
		turnOf([]string{"d"}, nil),                // reads what the next writes
		turnOf(nil, []string{"d", "b"}),           // joins with the second
	})
	if len(got) != 2 || len(got[0].turns) != 2 || len(got[1].turns) != 3 {
		for _, p := range got {
			t.Errorf("a part of %d", len(p.turns))
		}
	}
}
