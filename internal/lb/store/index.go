package store

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// event is a change of one key.
type event struct {
	key     string // without the prefix
	value   model.Stored
	rev     int64
	created int64
	deleted bool
	fresh   bool // the key was not there before
}

// index holds the latest snapshot and makes the next.
type index struct {
	mu     sync.Mutex // of those who make the next
	master *Snapshot  // never shown to readers
	cur    atomic.Pointer[Snapshot]
	feeds  map[*Feed]struct{}
}

func newIndex() *index {
	x := &index{master: newSnapshot(), feeds: map[*Feed]struct{}{}}
	x.cur.Store(x.master.clone())
	return x
}

// apply takes in the changes up to a revision, which come in order. Changes that
// are known already are left out.
func (x *index) apply(rev int64, events []event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if rev > x.master.Rev {
		x.applyLocked(rev, events)
	}
}

// applyNext does so only if no revision is missing in between, and says whether.
func (x *index) applyNext(rev int64, events []event) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if rev != x.master.Rev+1 {
		return rev <= x.master.Rev
	}
	x.applyLocked(rev, events)
	return true
}

func (x *index) applyLocked(rev int64, events []event) {
	w := &writer{s: x.master, known: x.master.Rev, drafts: map[string]*draft{}, changed: map[model.Ref]struct{}{}}
	for _, e := range events {
		if e.rev > w.known {
			w.take(e)
		}
	}
	w.finish()
	x.master.Rev = rev
	x.publish(w.changed)
}

// replace puts another state in place of the present one, unless that has become
// newer while the other was read: nobody is shown less than what he wrote.
func (x *index) replace(s *Snapshot) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.Rev < x.master.Rev {
		return
	}
	changed := map[model.Ref]struct{}{}
	for _, from := range []*Snapshot{x.master, s} {
		from.trees.Ascend(func(t *Tree) bool {
			if o := x.master.Tree(t.LB.ID); o == nil || from == x.master || o.Rev != t.Rev {
				changed[model.Ref{Kind: model.KindLoadBalancer, ID: t.LB.ID}] = struct{}{}
			}
			return true
		})
	}
	x.master = s
	x.publish(changed)
}

func (x *index) publish(changed map[model.Ref]struct{}) {
	old := x.cur.Swap(x.master.clone())
	close(old.next)
	for f := range x.feeds {
		f.add(changed)
	}
}

// wait returns when the index has a revision.
func (x *index) wait(ctx context.Context, rev int64) (*Snapshot, error) {
	for {
		s := x.cur.Load()
		if s.Rev >= rev {
			return s, nil
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-s.next:
		}
	}
}

// writer changes a snapshot that nobody else sees.
type writer struct {
	s       *Snapshot
	known   int64
	drafts  map[string]*draft
	changed map[model.Ref]struct{}
}

func (w *writer) take(e event) {
	k := parseKey(e.key)
	switch {
	case k.kind == model.KindNone: // not an object
		if e.key == catalogKey {
			w.takeMisc(e)
		}
	case k.kind == model.KindLoadBalancer:
		d := w.draft(k.lb)
		if e.deleted {
			d.tree = Tree{}
			return
		}
		d.tree.LB, d.tree.Rev = e.value.(*model.LoadBalancer), e.rev
	case k.kind.IsChild():
		w.takeChild(k, e)
	default:
		w.takeMisc(e)
		w.changed[model.Ref{Kind: k.kind, ID: k.id}] = struct{}{}
	}
}

func (w *writer) takeMisc(e event) {
	if e.deleted {
		w.s.misc.Delete(entry{key: e.key})
		return
	}
	w.s.misc.ReplaceOrInsert(entry{e.key, e.rev, e.created, e.value})
}

func (w *writer) takeChild(k parsed, e event) {
	d := w.draft(k.lb)
	if e.deleted {
		d.remove(k.kind, k.id)
		w.s.homes.Delete(home{id: k.id})
		return
	}
	d.put(e.value, e.fresh)
	w.s.homes.ReplaceOrInsert(home{k.id, k.kind, k.lb})
}

func (w *writer) draft(lb string) *draft {
	d := w.drafts[lb]
	if d == nil {
		d = newDraft(w.s.Tree(lb))
		w.drafts[lb] = d
	}
	return d
}

// finish puts the trees in place.
func (w *writer) finish() {
	for id, d := range w.drafts {
		old := w.s.Tree(id)
		w.changed[model.Ref{Kind: model.KindLoadBalancer, ID: id}] = struct{}{}
		if old != nil {
			w.s.trees.Delete(old)
			w.s.byAge.Delete(old)
			w.s.byProject.Delete(old)
		}
		if d.tree.LB == nil {
			continue
		}
		t := d.freeze()
		w.s.trees.ReplaceOrInsert(t)
		w.s.byAge.ReplaceOrInsert(t)
		w.s.byProject.ReplaceOrInsert(t)
	}
}
