package store

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// TestTheCostOfATransactionIsLinear makes more and more in one transaction: all
// writers share a goroutine, and wait for it. What is allocated is a measure of it
// that does not depend on how busy the computer is.
func TestTheCostOfATransactionIsLinear(t *testing.T) {
	for name, make := range map[string]func(tx *Tx, lb *model.LoadBalancer, n int) error{
		"members": func(tx *Tx, lb *model.LoadBalancer, n int) error {
			p := pool(lb.ID)
			err := tx.Create(p)
			for i := 0; i < n && err == nil; i++ {
				m := memberOf(p, 1)
				m.Address = fmt.Sprintf("10.0.%d.%d", i>>8, i&255)
				err = tx.Create(m)
			}
			return err
		},
		"pools and listeners": func(tx *Tx, lb *model.LoadBalancer, n int) error {
			for i := range n {
				p, l := pool(lb.ID), listener(lb.ID, model.ProtocolHTTP, i+1)
				l.DefaultPoolID = p.ID
				if err := tx.Create(p); err != nil {
					return err
				}
				if err := tx.Create(l); err != nil {
					return err
				}
			}
			return nil
		},
		"policies": func(tx *Tx, lb *model.LoadBalancer, n int) error {
			l := listener(lb.ID, model.ProtocolHTTP, 80)
			err := tx.Create(l)
			for i := 0; i < n && err == nil; i++ {
				err = tx.Create(policy(l, i+1))
			}
			return err
		},
	} {
		few, many := cost(t, make, 500), cost(t, make, 4000)
		if many > 16*few { // of eight times as many; with their square it would be 64
			t.Errorf("%s: 500 take %d kB, 4000 take %d kB", name, few>>10, many>>10)
		}
	}
}

// cost is how much a transaction allocates.
func cost(t *testing.T, make func(tx *Tx, lb *model.LoadBalancer, n int) error, n int) uint64 {
	t.Helper()
	lb := newLB("p")
	tx := newTx(newSnapshot(), newOverlay(), QuotaPolicy{})
	if err := tx.Create(lb); err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := make(tx, lb, n); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
