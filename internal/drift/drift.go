// Package drift is the vocabulary in which an observation is told: does a thing
// exist, and in what does it differ from what is wanted.
//
// A report holds only differences. What agrees is not carried, so observing a
// converged fleet costs next to nothing to transmit and to keep.
package drift

import (
	"cmp"
	"slices"
)

// Status is the outcome of comparing one resource with the world.
type Status uint8

// The statuses. Unknown is the zero value: nothing was observed.
const (
	Unknown Status = iota
	InSync         // exists and agrees in everything managed
	Absent         // does not exist
	Differs        // exists and differs in the listed changes
)

var statusNames = [...]string{"unknown", "in-sync", "absent", "differs"}

// String returns the status's name.
func (s Status) String() string {
	if int(s) < len(statusNames) {
		return statusNames[s]
	}
	return "invalid"
}

// Change is one attribute that differs. Values are for people; a change of a
// sensitive resource carries no values.
type Change struct {
	Attr string `json:"attr"`
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Text and NewText carry the old and new text of a small text file, so
	// that a plan can show a diff. They are left empty otherwise.
	Text    string `json:"text,omitempty"`
	NewText string `json:"new_text,omitempty"`
}

// Report is what an observation found.
type Report struct {
	Status  Status   `json:"s"`
	Changes []Change `json:"c,omitempty"`
	// Shut says that what lies behind the thing (the resources of a machine that
	// is off) cannot be observed until the thing agrees.
	Shut bool `json:"shut,omitempty"`
	// Err says why this one resource could not be observed; Status is then Unknown.
	Err string `json:"e,omitempty"`
	// Notes are remarks for people that are not differences.
	Notes []string `json:"n,omitempty"`
}

// Agrees reports whether nothing is to be done.
func (r Report) Agrees() bool { return r.Status == InSync }

// Has reports whether the named attribute differs, or the thing is absent.
func (r Report) Has(attr string) bool {
	return r.Status == Absent || slices.ContainsFunc(r.Changes, func(c Change) bool { return c.Attr == attr })
}

// WithoutValues returns the report of a sensitive thing: which attributes differ,
// and nothing of their values.
func (r Report) WithoutValues() Report {
	changes := make([]Change, len(r.Changes))
	for i, c := range r.Changes {
		changes[i] = Change{Attr: c.Attr}
	}
	r.Changes = changes
	return r
}

// Missing returns the report of a thing that does not exist.
func Missing() Report { return Report{Status: Absent} }

// Builder collects differences of a thing that exists.
type Builder struct{ changes []Change }

// Want notes a difference if got and want are not the same.
func (b *Builder) Want(attr, got, want string) {
	if got != want {
		b.changes = append(b.changes, Change{Attr: attr, From: got, To: want})
	}
}

// Add notes a difference.
func (b *Builder) Add(c Change) { b.changes = append(b.changes, c) }

// Report returns InSync when nothing differed, otherwise Differs with the
// changes in the order of their attributes' names.
func (b *Builder) Report() Report {
	if len(b.changes) == 0 {
		return Report{Status: InSync}
	}
	slices.SortStableFunc(b.changes, func(x, y Change) int { return cmp.Compare(x.Attr, y.Attr) })
	return Report{Status: Differs, Changes: b.changes}
}
