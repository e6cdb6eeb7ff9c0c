package timeline

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what is drawn in full.
const (
	mostRows  = 150 // beyond this every lane is collapsed to one row
	mostLanes = 60  // beyond this the least interesting lanes become one
)

// lane is the steps of one scope, or of several that were drawn together.
type lane struct {
	name  string
	steps []placed
	rows  int
}

// placed is a step with its row in the lane.
type placed struct {
	Step
	row int
}

// lanes arranges the steps: one lane per scope, the deployer's first and then by
// name, with as many rows as steps overlap, unless that is too many to see.
func (t *Timeline) lanes() (out []lane, collapsed bool) {
	at := map[string]int{}
	keep := t.keptScopes()
	others := 0
	scopes := t.Scopes()
	slices.SortFunc(scopes, func(a, b Total) int { return natural(a.Name, b.Name) })
	for _, total := range scopes {
		if keep != nil && !keep[total.Name] {
			others++
			continue
		}
		at[total.Name] = len(out)
		out = append(out, lane{name: laneName(total.Name)})
	}
	if others > 0 {
		out = append(out, lane{name: fmt.Sprintf("%d others", others)})
	}
	for _, s := range t.Steps {
		i, ok := at[s.Scope]
		if !ok {
			i = len(out) - 1
		}
		out[i].steps = append(out[i].steps, placed{Step: s})
	}
	rows := 0
	for i := range out {
		out[i].pack()
		rows += out[i].rows
	}
	if collapsed = rows > mostRows; collapsed {
		for i := range out {
			out[i].collapse()
		}
	}
	return out, collapsed
}

// natural compares names so that web10 comes after web9.
func natural(a, b string) int {
	stemA, stemB := strings.TrimRight(a, "0123456789"), strings.TrimRight(b, "0123456789")
	if stemA != stemB {
		return cmp.Compare(a, b)
	}
	return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b))
}

func laneName(scope string) string {
	if scope == "" {
		return "deployer"
	}
	return scope
}

// keptScopes returns the scopes that get a lane of their own: those on the
// critical path first, then those that worked longest. Nil means all.
func (t *Timeline) keptScopes() map[string]bool {
	scopes := t.Scopes()
	if len(scopes) <= mostLanes {
		return nil
	}
	critical := map[string]bool{}
	for _, l := range t.Critical {
		critical[l.Scope] = true
	}
	slices.SortStableFunc(scopes, func(a, b Total) int {
		if critical[a.Name] != critical[b.Name] {
			if critical[a.Name] {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Work, a.Work)
	})
	keep := map[string]bool{}
	for _, s := range scopes[:mostLanes-1] {
		keep[s.Name] = true
	}
	return keep
}

// pack puts each step into the first row that is free at its start.
func (l *lane) pack() {
	var free []time.Time
	for i, s := range l.steps {
		row := slices.IndexFunc(free, func(end time.Time) bool { return !end.After(s.Start) })
		if row < 0 {
			row = len(free)
			free = append(free, time.Time{})
		}
		free[row] = s.End
		l.steps[i].row = row
	}
	l.rows = max(len(free), 1)
}

// collapse puts all steps into one row, long ones first so that short ones are
// drawn over them.
func (l *lane) collapse() {
	l.rows = 1
	for i := range l.steps {
		l.steps[i].row = 0
	}
	slices.SortStableFunc(l.steps, func(a, b placed) int { return cmp.Compare(b.Duration(), a.Duration()) })
}

// ticks returns round distances on the time axis, about n of them.
func ticks(d time.Duration, n int) []time.Duration {
	step := tickStep(d / time.Duration(n))
	var out []time.Duration
	for at := time.Duration(0); at <= d; at += step {
		out = append(out, at)
	}
	return out
}

// tickStep returns the smallest round duration of at least d.
func tickStep(d time.Duration) time.Duration {
	for unit := time.Microsecond; unit < 10*time.Second; unit *= 10 {
		for _, step := range []time.Duration{unit, 2 * unit, 5 * unit} {
			if step >= d {
				return step
			}
		}
	}
	for _, step := range []time.Duration{
		10 * time.Second, 15 * time.Second, 30 * time.Second,
		time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
		time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour,
	} {
		if step >= d {
			return step
		}
	}
	return max(d.Round(24*time.Hour), 24*time.Hour)
}
