package verify

import (
	"fmt"
	"time"
)

// Status is the outcome of a check.
type Status string

// The outcomes. Only Passed is good.
const (
	Passed  Status = "passed"
	Failed  Status = "failed"  // the cloud is not as declared
	Errored Status = "error"   // it could not be found out
	Skipped Status = "skipped" // it was not tried
)

// Result is what came out of one check.
type Result struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	From   string `json:"from"`
	Status Status `json:"status"`
	// Reason says why the check did not pass, or what was found if it did.
	Reason string `json:"reason,omitempty"`
	// Detail is a struct of the kind's own, such as [SpreadDetail].
	Detail   any           `json:"detail,omitempty"`
	Start    time.Time     `json:"start"`
	Duration time.Duration `json:"duration_ns"` // all tries and the pauses between them
	Tries    int           `json:"tries"`
}

// Report is the outcome of a run.
type Report struct {
	Cloud       string        `json:"cloud"`
	Start       time.Time     `json:"start"`
	Duration    time.Duration `json:"duration_ns"`
	Interrupted bool          `json:"interrupted,omitempty"`
	Results     []Result      `json:"results"` // in the order of declaration
}

// Counts is how many checks had which outcome.
type Counts struct {
	Passed  int `json:"passed"`
	Failed  int `json:"failed"`
	Errors  int `json:"errors"`
	Skipped int `json:"skipped"`
}

// Counts counts the outcomes.
func (r Report) Counts() Counts {
	var c Counts
	for _, res := range r.Results {
		switch res.Status {
		case Passed:
			c.Passed++
		case Failed:
			c.Failed++
		case Errored:
			c.Errors++
		default:
			c.Skipped++
		}
	}
	return c
}

// Total returns the number of checks.
func (c Counts) Total() int { return c.Passed + c.Failed + c.Errors + c.Skipped }

// String renders "7 checks: 5 passed, 1 failed, 1 skipped".
func (c Counts) String() string {
	s := fmt.Sprintf("%d checks: %d passed", c.Total(), c.Passed)
	if c.Total() == 1 {
		s = fmt.Sprintf("1 check: %d passed", c.Passed)
	}
	for _, part := range []struct {
		n    int
		what string
	}{{c.Failed, "failed"}, {c.Errors, "could not be carried out"}, {c.Skipped, "skipped"}} {
		if part.n > 0 {
			s += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return s
}

// OK reports whether the run was finished and every check passed.
func (r Report) OK() bool {
	return !r.Interrupted && r.Counts().Passed == len(r.Results)
}
