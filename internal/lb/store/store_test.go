package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

func open(t *testing.T, o Options) *Store {
	t.Helper()
	if len(o.Endpoints) == 0 && o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newLB(project string) *model.LoadBalancer {
	return &model.LoadBalancer{Base: model.Base{ID: model.NewID(), ProjectID: project, Name: "lb", AdminStateUp: true,
		ProvisioningStatus: model.Active, OperatingStatus: model.OpOnline, CreatedAt: model.Now()}, VIP: model.VIP{Address: "192.0.2.1"}}
}

func update(t *testing.T, s *Store, fn func(*Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), fn); err != nil {
		t.Fatal(err)
	}
}

func TestSmoke(t *testing.T) {
	s := open(t, Options{})
	lb := newLB("p")
	start := time.Now()
	update(t, s, func(tx *Tx) error { return tx.Create(lb) })
	if s.View().Tree(lb.ID) == nil {
		t.Fatal("not there")
	}
	t.Log(time.Since(start))
	var wg sync.WaitGroup
	var mu sync.Mutex
	won, lost := 0, 0
	for range 1000 {
		wg.Go(func() {
			err := s.Update(context.Background(), func(tx *Tx) error { return tx.LockForUpdate(lb.ID) })
			mu.Lock()
			defer mu.Unlock()
			var state *StateError
			switch {
			case err == nil:
				won++
			case errors.As(err, &state):
				lost++
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won != 1 || lost != 999 {
		t.Error(won, lost)
	}
	t.Log(time.Since(start))
	start = time.Now()
	const clients, each = 8, 250
	for range clients {
		wg.Go(func() {
			for range each {
				if err := s.Update(context.Background(), func(tx *Tx) error { return tx.Create(newLB("p")) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	d := time.Since(start)
	t.Log(fmt.Sprintf("%.0f/s", clients*each/d.Seconds()), s.View().Quota("p").Used, s.View().Len())
}
