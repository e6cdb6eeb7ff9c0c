package ui

import "strings"

// lineDiff returns the lines removed ("- ") and added ("+ ") between two texts,
// with one line of context, by the longest common subsequence. Beyond 400 lines
// a side it says only how many there are: nobody reads more in a plan.
func lineDiff(a, b string) []string {
	if a == b || a == "" && b == "" {
		return nil
	}
	x, y := splitLines(a), splitLines(b)
	if len(x) > 400 || len(y) > 400 {
		return []string{"(too long to show)"}
	}
	return context(walk(x, y, table(x, y)), 1)
}

func splitLines(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(s, "\n"), "\n")
}

// table holds the length of the longest common subsequence of x[i:] and y[j:].
func table(x, y []string) [][]int {
	t := make([][]int, len(x)+1)
	for i := range t {
		t[i] = make([]int, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				t[i][j] = t[i+1][j+1] + 1
			} else {
				t[i][j] = max(t[i+1][j], t[i][j+1])
			}
		}
	}
	return t
}

func walk(x, y []string, t [][]int) []string {
	var out []string
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			out = append(out, "  "+x[i])
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && t[i+1][j] >= t[i][j+1]:
			out = append(out, "- "+x[i])
			i++
		default:
			out = append(out, "+ "+y[j])
			j++
		}
	}
	return out
}

// context keeps changed lines and n unchanged ones around them.
func context(lines []string, n int) []string {
	keep := make([]bool, len(lines))
	for i, l := range lines {
		if l[0] == ' ' {
			continue
		}
		for k := max(0, i-n); k <= min(len(lines)-1, i+n); k++ {
			keep[k] = true
		}
	}
	var out []string
	for i, l := range lines {
		switch {
		case keep[i]:
			out = append(out, l)
		case len(out) > 0 && out[len(out)-1] != "  …":
			out = append(out, "  …")
		}
	}
	return out
}
