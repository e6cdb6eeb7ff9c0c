package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// loadPage is how many keys are read at a time. Many, since etcd counts all that
// follow for each page.
const loadPage = 10_000

// load reads everything at one revision.
func (s *Store) load(ctx context.Context) (*Snapshot, error) {
	snap := newSnapshot()
	w := &writer{s: snap, drafts: map[string]*draft{}, changed: map[model.Ref]struct{}{}}
	rev, err := s.scan(ctx, func(_ int64, kv keyValue) error {
		if e, ok := s.eventOf(kv, false); ok {
			e.fresh = true // each key is there once
			w.take(e)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read what is stored: %w", err)
	}
	w.finish()
	snap.Rev = rev
	return snap, nil
}

func (s *Store) keyValueOf(kv *mvccpb.KeyValue) keyValue {
	return keyValue{string(kv.Key[len(s.prefix):]), kv.Value, kv.ModRevision, kv.CreateRevision}
}

// eventOf reads a change. What cannot be read is left out and said, so that one
// damaged record takes nothing else along; Check reports it.
func (s *Store) eventOf(kv keyValue, deleted bool) (event, bool) {
	e := event{key: kv.key, rev: kv.mod, created: kv.new, deleted: deleted, fresh: kv.mod == kv.new}
	if k := parseKey(e.key); !deleted && k.kind != model.KindNone {
		v, err := decode(k.kind, kv.value)
		if err != nil {
			s.log.Error("a record of the store is damaged and left out", "key", kv.key, "error", err)
			return e, false
		}
		e.value = v
	}
	return e, true
}

// follow keeps the index up to date until the context ends.
func (s *Store) follow(ctx context.Context) {
	said := false
	for ctx.Err() == nil {
		before := s.View().Rev
		err := s.followOnce(ctx)
		said = said && before == s.View().Rev
		if errors.Is(err, rpctypes.ErrCompacted) {
			s.log.Warn("the store's history was compacted away; reading everything anew")
			err = s.reload(ctx)
		}
		if err != nil && ctx.Err() == nil {
			if !said {
				s.log.Warn("the store's changes are not heard at present", "error", err)
				said = true
			}
			pause(ctx, s.opts.RetryInterval)
		}
	}
}

func (s *Store) reload(ctx context.Context) error {
	snap, err := s.load(ctx)
	if err != nil {
		return err
	}
	s.index.replace(snap)
	return nil
}

func (s *Store) followOnce(ctx context.Context) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	ch := s.client.Watch(ctx, s.prefix, clientv3.WithPrefix(), clientv3.WithRev(s.index.cur.Load().Rev+1))
	for resp := range ch {
		if err := resp.Err(); err != nil {
			return err
		}
		s.hear(resp)
	}
	return errors.New("the watch ended")
}

func (s *Store) hear(resp clientv3.WatchResponse) {
	if len(resp.Events) == 0 {
		return
	}
	known := s.index.cur.Load().Rev
	last := resp.Events[len(resp.Events)-1].Kv.ModRevision
	if last <= known {
		return // our own, applied when it was written
	}
	events := make([]event, 0, len(resp.Events))
	for _, ev := range resp.Events {
		if ev.Kv.ModRevision <= known {
			continue
		}
		if e, ok := s.eventOf(s.keyValueOf(ev.Kv), ev.Type == clientv3.EventTypeDelete); ok {
			events = append(events, e)
		}
	}
	s.index.apply(last, events)
}

// pause waits, or less when the context ends.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
