// Package timeline shows where the time of a run went: which steps ran when and
// where, and which chain of them the run could not have been faster than.
//
// It guarantees the same output for the same steps, whatever their order, and
// output that needs nothing else: SVG and HTML without scripts or foreign
// files, safe for any text in a step. It knows nothing of the engine: a [Step]
// is all it looks at.
package timeline

import (
	"cmp"
	"slices"
	"time"
)

// Step is one piece of work.
type Step struct {
	ID     string
	Phase  string // colours it, such as "install"
	Scope  string // the lane it is in: a host; empty for the deployer
	Start  time.Time
	End    time.Time // zero when it did not come to its end
	Needs  []string  // IDs of steps that had to end first; unknown ones are ignored
	Status string    // "failed" is shown in red; anything else as it is
}

// Duration is how long the step took.
func (s Step) Duration() time.Duration { return s.End.Sub(s.Start) }

// Link is a step on the critical path.
type Link struct {
	Step
	// Wait is the time between the end of the link before it (or the start of
	// the run) and its own start: it was ready and had no free slot, or waited
	// for something that is not a step.
	Wait time.Duration
}

// Timeline is a run seen as a whole.
type Timeline struct {
	Start, End time.Time
	Steps      []Step // by start, then ID
	// Critical is the chain of steps, first to last, that ends with the last
	// step of the run, where each waited for the one before it.
	Critical []Link
}

// New orders the steps and finds the critical path. Steps that never started
// are left out; one that did not end is taken to last as long as the run.
func New(steps []Step) *Timeline {
	t := &Timeline{}
	for _, s := range steps {
		if s.Start.IsZero() {
			continue
		}
		if t.Start.IsZero() || s.Start.Before(t.Start) {
			t.Start = s.Start
		}
		for _, at := range []time.Time{s.Start, s.End} {
			if at.After(t.End) {
				t.End = at
			}
		}
		t.Steps = append(t.Steps, s)
	}
	for i := range t.Steps {
		if t.Steps[i].End.Before(t.Steps[i].Start) {
			t.Steps[i].End = t.End
		}
	}
	slices.SortFunc(t.Steps, func(a, b Step) int {
		return cmp.Or(a.Start.Compare(b.Start), cmp.Compare(a.ID, b.ID))
	})
	t.Critical = criticalPath(t.Steps, t.Start)
	return t
}

// criticalPath walks back from the step that ended last, each time to that
// need which ended last: the one the step had to wait for.
func criticalPath(steps []Step, start time.Time) []Link {
	byID := make(map[string]Step, len(steps))
	var last Step
	for _, s := range steps {
		byID[s.ID] = s
		if s.End.After(last.End) {
			last = s
		}
	}
	var path []Link
	seen := map[string]bool{}
	for s, ok := last, len(steps) > 0; ok && !seen[s.ID]; {
		seen[s.ID] = true
		before, has := lastNeed(s, byID)
		since := start
		if has {
			since = before.End
		}
		path = append(path, Link{s, max(0, s.Start.Sub(since))})
		s, ok = before, has
	}
	slices.Reverse(path)
	return path
}

func lastNeed(s Step, byID map[string]Step) (last Step, ok bool) {
	for _, id := range s.Needs {
		if n, known := byID[id]; known && id != s.ID && (!ok || n.End.After(last.End)) {
			last, ok = n, true
		}
	}
	return last, ok
}

// Duration is how long the run took.
func (t *Timeline) Duration() time.Duration { return t.End.Sub(t.Start) }

// Slowest returns the n steps that took longest.
func (t *Timeline) Slowest(n int) []Step {
	out := slices.Clone(t.Steps)
	slices.SortStableFunc(out, func(a, b Step) int { return cmp.Compare(b.Duration(), a.Duration()) })
	return out[:min(n, len(out))]
}

// Total sums up the steps of one phase or scope.
type Total struct {
	Name  string
	Steps int
	Work  time.Duration // of all steps, added up
	Wall  time.Duration // in which at least one of them ran
}

// Phases sums up by phase, in the order in which they began.
func (t *Timeline) Phases() []Total {
	return totals(t.Steps, func(s Step) string { return s.Phase })
}

// Scopes sums up by scope, in the order in which they began.
func (t *Timeline) Scopes() []Total {
	return totals(t.Steps, func(s Step) string { return s.Scope })
}

// totals relies on steps being ordered by their start.
func totals(steps []Step, key func(Step) string) []Total {
	var out []Total
	until := map[string]time.Time{}
	at := map[string]int{}
	for _, s := range steps {
		k := key(s)
		i, ok := at[k]
		if !ok {
			i = len(out)
			at[k] = i
			out = append(out, Total{Name: k})
		}
		out[i].Steps++
		out[i].Work += s.Duration()
		from := s.Start
		if until[k].After(from) {
			from = until[k]
		}
		if s.End.After(from) {
			out[i].Wall += s.End.Sub(from)
			until[k] = s.End
		}
	}
	return out
}
