// Package stats judges counts: do these answers come from the shares that were
// promised?
//
// It guarantees p-values with a relative error below 1e-9 over the range that
// tests use, and depends on nothing but the standard library. The test is
// Pearson's chi-square test of goodness of fit (Pearson 1900); its tail is the
// regularised incomplete gamma function [GammaQ].
package stats

import (
	"errors"
	"fmt"
	"math"
)

// MinExpected is the smallest expected count in every cell at which the
// chi-square distribution is a sound approximation (Cochran 1954).
const MinExpected = 5

// Errors of [GoodnessOfFit] that callers tell apart.
var (
	// ErrFewCells means that there is nothing to compare: fewer than two cells.
	ErrFewCells = errors.New("fewer than two cells")
	// ErrFewSamples means that an expected count is below [MinExpected].
	ErrFewSamples = errors.New("too few samples")
)

// Fit is the outcome of a test of goodness of fit.
type Fit struct {
	N         int       `json:"n"`
	Statistic float64   `json:"statistic"` // Pearson's X²
	DF        int       `json:"df"`        // degrees of freedom
	P         float64   `json:"p"`         // chance of a statistic at least this large if the weights are true
	Expected  []float64 `json:"expected"`  // count expected in each cell
}

// GoodnessOfFit tests whether counts were drawn with probabilities in
// proportion to weights; nil weights stand for equal ones. It refuses with
// [ErrFewCells] or [ErrFewSamples] where its answer would mean nothing.
func GoodnessOfFit(counts []int, weights []float64) (Fit, error) {
	if len(counts) < 2 {
		return Fit{}, ErrFewCells
	}
	shares, err := normalise(weights, len(counts))
	if err != nil {
		return Fit{}, err
	}
	fit := Fit{DF: len(counts) - 1, Expected: make([]float64, len(counts))}
	for _, c := range counts {
		if c < 0 {
			return Fit{}, fmt.Errorf("count %d is negative", c)
		}
		fit.N += c
	}
	for i, share := range shares {
		e := share * float64(fit.N)
		if e < MinExpected {
			return Fit{}, fmt.Errorf("%w: cell %d expects %.1f of %d, at least %d are needed", ErrFewSamples, i, e, fit.N, MinExpected)
		}
		diff := float64(counts[i]) - e
		fit.Expected[i] = e
		fit.Statistic += diff * diff / e
	}
	fit.P = ChiSquareP(fit.Statistic, fit.DF)
	return fit, nil
}

// normalise scales weights to a sum of one.
func normalise(weights []float64, n int) ([]float64, error) {
	shares := make([]float64, n)
	if weights == nil {
		for i := range shares {
			shares[i] = 1 / float64(n)
		}
		return shares, nil
	}
	if len(weights) != n {
		return nil, fmt.Errorf("%d weights for %d cells", len(weights), n)
	}
	sum := 0.0
	for _, w := range weights {
		if !(w > 0) || math.IsInf(w, 1) {
			return nil, fmt.Errorf("weight %g is not a positive number", w)
		}
		sum += w
	}
	for i, w := range weights {
		shares[i] = w / sum
	}
	return shares, nil
}

// Needed returns the smallest number of samples with which every cell expects
// at least [MinExpected].
func Needed(weights []float64) int {
	sum, least := 0.0, math.Inf(1)
	for _, w := range weights {
		sum += w
		least = min(least, w)
	}
	return int(math.Ceil(MinExpected*sum/least - 1e-9))
}

// ChiSquareP returns the probability that a chi-square variable with df degrees
// of freedom is at least x.
func ChiSquareP(x float64, df int) float64 {
	if df < 1 {
		return math.NaN()
	}
	return GammaQ(float64(df)/2, math.Max(x, 0)/2)
}

// ChiSquareCritical returns the x that a chi-square variable with df degrees of
// freedom exceeds with probability p, for 0 < p < 1, otherwise NaN.
func ChiSquareCritical(p float64, df int) float64 {
	if df < 1 || !(p > 0) || p >= 1 {
		return math.NaN()
	}
	lo, hi := 0.0, float64(df)+1
	for ChiSquareP(hi, df) > p {
		lo, hi = hi, hi*2
	}
	for range 200 {
		mid := (lo + hi) / 2
		if mid == lo || mid == hi {
			break
		}
		if ChiSquareP(mid, df) > p {
			lo = mid
		} else {
			hi = mid
		}
	}
	return (lo + hi) / 2
}

// Interval is a range of values.
type Interval struct {
	Low  float64 `json:"low"`
	High float64 `json:"high"`
}

// Wilson returns Wilson's score interval (Wilson 1927) for a share of which k
// of n samples were seen, at the given confidence, such as 0.95. Without
// samples nothing is known: 0 to 1.
func Wilson(k, n int, confidence float64) Interval {
	if n <= 0 {
		return Interval{0, 1}
	}
	z := math.Sqrt2 * math.Erfinv(confidence)
	f, m := float64(k)/float64(n), float64(n)
	centre := (f + z*z/(2*m)) / (1 + z*z/m)
	half := z / (1 + z*z/m) * math.Sqrt(f*(1-f)/m+z*z/(4*m*m))
	return Interval{max(0, centre-half), min(1, centre+half)}
}
