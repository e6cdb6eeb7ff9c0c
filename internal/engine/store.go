package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Store keeps what updraft has made, durably. Package statedir keeps it in a
// local directory; storetest holds every implementation to this contract.
//
// A store is a fold over entries: [Store.Append] returns once the entries
// survive a crash, and [Store.Records] is the result of folding all of them. A
// half-written last entry is as if it had never been appended.
type Store interface {
	// Lock makes the caller the only writer until unlock is called or its
	// process ends, however it ends. If another one is, the error is a
	// [*HeldError].
	Lock(ctx context.Context, h Holder) (unlock func() error, err error)
	// Records returns what is recorded, by ID. The caller may keep the map.
	Records(ctx context.Context) (map[string]Record, error)
	// Append adds entries. Calls may come concurrently and share one sync.
	Append(ctx context.Context, entries ...Entry) error
	// Remove forgets everything of the cloud.
	Remove(ctx context.Context) error
}

// Op is what an entry says.
type Op string

// The operations.
const (
	OpIntend  Op = "intend"  // Record is about to be applied
	OpDone    Op = "done"    // Record is in sync
	OpFail    Op = "fail"    // applying ID failed
	OpRemove  Op = "remove"  // ID is about to be removed
	OpRemoved Op = "removed" // ID is gone, or forgotten
)

// Entry is one line of the journal.
type Entry struct {
	Time   time.Time    `json:"t"`
	Op     Op           `json:"op"`
	ID     string       `json:"id"`
	Record *Record      `json:"rec,omitempty"`
	Found  drift.Status `json:"found,omitempty"` // with OpIntend: what was there
	Err    string       `json:"err,omitempty"`
	// Acted are, with OpDone, the triggers that ID has acted on.
	Acted []string `json:"acted,omitempty"`
	// Owes are, with OpRemoved, the nodes that have still to act on the removal.
	Owes []string `json:"owes,omitempty"`
	// Idle says, with OpDone, that nothing had to be done after all.
	Idle bool `json:"idle,omitempty"`
}

// Fold applies an entry to records.
func Fold(records map[string]Record, e Entry) {
	switch e.Op {
	case OpIntend:
		r, old := *e.Record, records[e.ID]
		r.Made = old.Made || e.Found == drift.Absent
		r.Pending, r.Owes = true, r.Pokes
		if e.Found == drift.InSync {
			r.Owes = old.Owes // it acts on the change of another, or is only noted
		}
		records[e.ID] = r
	case OpDone, OpFail:
		if r, ok := records[e.ID]; ok {
			r.Pending = e.Op == OpFail
			if e.Idle {
				r.Owes = nil
			}
			records[e.ID] = r
		}
		for _, id := range e.Acted {
			settle(records, id, e.ID)
		}
	case OpRemoved:
		delete(records, e.ID)
		if len(e.Owes) > 0 {
			records[e.ID] = Record{ID: e.ID, Gone: true, Owes: e.Owes}
		}
	case OpRemove:
	}
}

// settle notes that a node has acted on the change of the one with the given ID.
func settle(records map[string]Record, id, acted string) {
	r, ok := records[id]
	if !ok || !slices.Contains(r.Owes, acted) {
		return
	}
	r.Owes = slices.DeleteFunc(slices.Clone(r.Owes), func(owed string) bool { return owed == acted })
	if records[id] = r; r.Gone && len(r.Owes) == 0 {
		delete(records, id)
	}
}

// Holder says who holds a lock.
type Holder struct {
	PID     int       `json:"pid"`
	User    string    `json:"user"`
	Host    string    `json:"host"`
	Command string    `json:"command"`
	Since   time.Time `json:"since"`
}

// HeldError means that another process is at work on the cloud.
type HeldError struct{ Holder Holder }

// Error says who, since when, and what to do.
func (e *HeldError) Error() string {
	h := e.Holder
	if h.PID == 0 {
		return "another updraft is at work on this cloud; wait for it to end"
	}
	return fmt.Sprintf("%q is at work on this cloud (pid %d, %s@%s, since %s); wait for it to end",
		h.Command, h.PID, h.User, h.Host, h.Since.Format(time.DateTime))
}
