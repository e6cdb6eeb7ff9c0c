package spec

import (
	"fmt"
	"slices"
	"strings"
)

// Closest returns the candidate that name is most likely a misspelling of, or
// the empty string when none is near.
func Closest(name string, candidates []string) string {
	const (
		longest = 64   // nothing longer is a misspelt name
		most    = 2000 // among more than these, something is near by chance
	)
	if len(name) < 2 || len(name) > longest || len(candidates) > most {
		return ""
	}
	best, bestDistance := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if len(c) > longest || abs(len(c)-len(name)) >= bestDistance {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// DidYouMean returns a mend for a diagnostic: the closest candidate, else the
// list of all when it is short.
func DidYouMean(name string, candidates []string) string {
	if c := Closest(name, candidates); c != "" {
		return fmt.Sprintf("did you mean %q?", c)
	}
	const readable = 12
	if len(candidates) == 0 || len(candidates) > readable {
		return ""
	}
	sorted := slices.Sorted(slices.Values(candidates))
	return "there is " + strings.Join(slices.Compact(sorted), ", ")
}

// distance is the number of single edits, with neighbours swapped as one edit
// (optimal string alignment).
func distance(a, b string) int {
	older, old := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range old {
		old[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(old[j]+1, row[j-1]+1, old[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], older[j-2]+1)
			}
		}
		older, old = old, row
	}
	return old[len(b)]
}

func abs(n int) int { return max(n, -n) }
