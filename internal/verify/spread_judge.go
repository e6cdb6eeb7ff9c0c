package verify

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/stats"
)

// SpreadDetail is what a spread check counted and how it judged.
type SpreadDetail struct {
	Endpoint
	URL         string        `json:"url"`
	Requests    int           `json:"requests"` // sent
	Answers     int           `json:"answers"`  // that told who gave them
	Errors      int           `json:"errors"`
	FirstErrors []string      `json:"first_errors,omitempty"`
	Members     []MemberCount `json:"members"`
	// The test: Statistic is Pearson's chi-square with DF degrees of freedom;
	// P the chance that a balancer as declared gives one at least as large; at
	// Critical and beyond the hypothesis is rejected.
	Hypothesis string        `json:"hypothesis"`
	Statistic  float64       `json:"statistic"`
	DF         int           `json:"df"`
	P          float64       `json:"p"`
	Alpha      float64       `json:"alpha"`
	Critical   float64       `json:"critical"`
	Tested     bool          `json:"tested"` // false: the numbers of the test mean nothing
	Verdict    string        `json:"verdict"`
	Time       time.Duration `json:"time_ns"`
}

// MemberCount is how often one member answered.
type MemberCount struct {
	Name       string         `json:"name"`
	Count      int            `json:"count"`
	Weight     float64        `json:"weight"`
	Expected   float64        `json:"expected"`   // count, if the hypothesis holds
	Share      stats.Interval `json:"share"`      // 95 % confidence interval of its share
	Unexpected bool           `json:"unexpected"` // answered and was not declared
}

// Summary returns the verdict.
func (d SpreadDetail) Summary() string { return d.Verdict }

// judge draws the verdict. Plain faults (errors, strangers, silent members) are
// told before statistics, which would only say the same less clearly.
func (c *Spread) judge(seen *tally) (SpreadDetail, error) {
	d := c.describe(seen)
	if err := c.plainFaults(d); err != nil {
		d.Verdict = err.Error()
		return d, err
	}
	counts, weights := make([]int, len(d.Members)), make([]float64, len(d.Members))
	for i, m := range d.Members {
		counts[i], weights[i] = m.Count, m.Weight
	}
	fit, err := stats.GoodnessOfFit(counts, weights)
	if errors.Is(err, stats.ErrFewSamples) {
		err = failf("%d answers of %d members are too few for a verdict: at least %d are needed, so that each member expects %d",
			d.Answers, len(counts), stats.Needed(weights), stats.MinExpected)
	}
	if err != nil {
		d.Verdict = err.Error()
		return d, err
	}
	d.Tested, d.Statistic, d.DF, d.P = true, fit.Statistic, fit.DF, fit.P
	d.Critical = stats.ChiSquareCritical(c.Alpha, fit.DF)
	d.Verdict = verdict(d)
	if d.P < c.Alpha {
		return d, &Failure{Reason: d.Verdict, Statistical: true}
	}
	return d, nil
}

// describe fills in the counts: declared members in their order, then others
// by name.
func (c *Spread) describe(seen *tally) SpreadDetail {
	d := SpreadDetail{
		Endpoint: c.endpoint, URL: c.URL, Requests: c.Requests,
		Errors: seen.errors, FirstErrors: seen.first, Alpha: c.Alpha,
	}
	for _, n := range seen.counts {
		d.Answers += n
	}
	names := slices.Clone(c.members)
	for _, name := range slices.Sorted(maps.Keys(seen.counts)) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	weights, sum := c.weightsOf(names), 0.0
	for i := range names {
		if len(c.members) > 0 && i >= len(c.members) {
			weights[i] = 0
		}
		sum += weights[i]
	}
	for i, name := range names {
		n := seen.counts[name]
		d.Members = append(d.Members, MemberCount{
			Name: name, Count: n, Weight: weights[i],
			Expected:   weights[i] / sum * float64(d.Answers),
			Share:      stats.Wilson(n, d.Answers, 0.95),
			Unexpected: len(c.members) > 0 && i >= len(c.members),
		})
	}
	d.Hypothesis = hypothesis(d.Members)
	return d
}

// plainFaults tells what needs no statistics.
func (c *Spread) plainFaults(d SpreadDetail) error {
	if d.Errors > c.MaxErrors {
		return failf("%d of %d requests failed (%s), at most %d may", d.Errors, d.Requests, strings.Join(d.FirstErrors, "; "), c.MaxErrors)
	}
	var silent, strangers []string
	for _, m := range d.Members {
		switch {
		case m.Unexpected:
			strangers = append(strangers, m.Name)
		case m.Count == 0:
			silent = append(silent, m.Name)
		}
	}
	switch {
	case len(silent) > 0:
		return failf("%s answered none of %d requests", list(silent), d.Requests)
	case len(strangers) > 0:
		return failf("answers came from %s, who %s not declared as members", list(strangers), isAre(len(strangers)))
	}
	if f := c.tooFew(len(d.Members)); f != "" {
		return failf("answers came from %s: %s", list(names(d.Members)), f)
	}
	return nil
}

func names(ms []MemberCount) []string {
	out := make([]string, len(ms))
	for i, m := range ms {
		out[i] = m.Name
	}
	return out
}

// hypothesis states what is tested, without the strangers.
func hypothesis(ms []MemberCount) string {
	even := true
	var parts, who []string
	for _, m := range ms {
		if m.Unexpected {
			continue
		}
		even = even && m.Weight == ms[0].Weight
		parts = append(parts, strconv.FormatFloat(m.Weight, 'g', -1, 64))
		who = append(who, m.Name)
	}
	if even {
		return "each request goes to " + list(who) + " with equal chance"
	}
	return "requests go to " + list(who) + " as " + strings.Join(parts, ":")
}

// verdict states the hypothesis, the level and the result.
func verdict(d SpreadDetail) string {
	counts := make([]string, len(d.Members))
	for i, m := range d.Members {
		counts[i] = fmt.Sprintf("%s %d (expected %.4g)", m.Name, m.Count, m.Expected)
	}
	outcome, relation := "not rejected: the spread is as declared", "≥"
	if d.P < d.Alpha {
		outcome, relation = "rejected: the spread is not as declared", "<"
	}
	return fmt.Sprintf("%s. Hypothesis: %s. Counts: %s; chi-square %.4g, %s of freedom, p = %s %s alpha = %g. A balancer as declared fails this test once in %s runs",
		outcome, d.Hypothesis, list(counts), d.Statistic, degrees(d.DF), FormatP(d.P), relation, d.Alpha, oneIn(d.Alpha))
}

// FormatP renders a p-value for people: 0.37, 2.1e-64, or the bound below
// which a number cannot be told from zero.
func FormatP(p float64) string {
	switch {
	case p <= 0:
		return "0 (below 1e-308)"
	case p < 0.001:
		return strconv.FormatFloat(p, 'e', 1, 64)
	default:
		return strconv.FormatFloat(p, 'f', 3, 64)
	}
}

func oneIn(alpha float64) string {
	return strconv.FormatFloat(math.Round(1/alpha), 'f', -1, 64)
}

// list joins names as a sentence does, the first ten of them.
func list(names []string) string {
	const most = 10
	if n := len(names) - most; n > 0 {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", n)
	}
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}

func degrees(n int) string {
	if n == 1 {
		return "1 degree"
	}
	return fmt.Sprintf("%d degrees", n)
}

func isAre(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}
