package control

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// vaultRecords begins the names of records in the store.
const vaultRecords = "vault/"

// storeVault keeps records in the store, each with a number of its own, because
// the revision of a record is not seen.
type storeVault struct{ store *store.Store }

type numbered struct {
	Number int64  `json:"number"`
	Data   []byte `json:"data"`
}

// StoreVault returns the vault that all controllers of a store share.
func StoreVault(s *store.Store) Vault { return storeVault{s} }

func (v storeVault) Get(_ context.Context, name string) ([]byte, int64, error) {
	n, err := readNumbered(v.store.View().Record(vaultRecords + name))
	return n.Data, n.Number, err
}

func readNumbered(r *model.Record) (n numbered, err error) {
	if r == nil {
		return n, nil
	}
	if err := json.Unmarshal(r.Data, &n); err != nil {
		return n, fmt.Errorf("cannot read the record %s: %w", r.Name, err)
	}
	return n, nil
}

func (v storeVault) Put(ctx context.Context, name string, data []byte, revision int64) error {
	return v.store.Update(ctx, func(tx *store.Tx) error {
		old, err := readNumbered(tx.Record(vaultRecords + name))
		if err != nil {
			return err
		}
		if old.Number != revision {
			return ErrLost
		}
		text, err := json.Marshal(numbered{revision + 1, data})
		if err != nil {
			return err
		}
		return tx.Put(&model.Record{Name: vaultRecords + name, Data: text})
	})
}

// serviceRecord has the id of the service: what belongs to it elsewhere is known
// by that.
const serviceRecord = "service/id"

// ServiceID returns the id of a store's service, which is made once.
func ServiceID(ctx context.Context, s *store.Store) (string, error) {
	if r := s.View().Record(serviceRecord); r != nil {
		return string(r.Data), nil
	}
	id := model.NewID()
	err := s.Update(ctx, func(tx *store.Tx) error {
		if r := tx.Record(serviceRecord); r != nil {
			id = string(r.Data)
			return nil
		}
		return tx.Put(&model.Record{Name: serviceRecord, Data: []byte(id)})
	})
	return id, err
}

// receiverClaims begins the names of claims that say where heartbeats are taken.
const receiverClaims = "receiver/"

// Receivers returns where agents shall send their heartbeats: to all controllers
// that are alive, and to own.
func Receivers(snap *store.Snapshot, own string) []string {
	out := []string{own}
	for _, c := range snap.Claims(receiverClaims) {
		out = append(out, strings.TrimPrefix(c.Name, receiverClaims))
	}
	slices.Sort(out)
	return slices.Compact(out)
}
