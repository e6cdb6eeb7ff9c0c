package stats

import (
	"errors"
	"math"
	"math/rand/v2"
	"testing"
)

func near(got, want, relative float64) bool {
	return math.Abs(got-want) <= relative*math.Abs(want)
}

// TestChiSquareP compares with closed forms: for an even number of degrees of
// freedom 2m the tail is e^(-x/2) Σ (x/2)^k/k!, k < m (Abramowitz and Stegun
// 26.4.5); for one degree it is erfc(√(x/2)).
func TestChiSquarePAgreesWithClosedForms(t *testing.T) {
	for _, x := range []float64{0, 1e-6, 0.1, 0.5, 1, 2, 3.84, 7, 10.83, 20, 50, 120, 400, 1200} {
		if got, want := ChiSquareP(x, 1), math.Erfc(math.Sqrt(x/2)); !near(got, want, 1e-9) {
			t.Errorf("ChiSquareP(%g, 1) = %g, want %g", x, got, want)
		}
		for _, m := range []int{1, 2, 5, 10, 50} {
			sum, term := 0.0, 1.0
			for k := range m {
				sum += term
				term *= x / 2 / float64(k+1)
			}
			want := math.Exp(-x/2) * sum
			if got := ChiSquareP(x, 2*m); !near(got, want, 1e-9) {
				t.Errorf("ChiSquareP(%g, %d) = %.15g, want %.15g", x, 2*m, got, want)
			}
		}
	}
}

// TestChiSquareCritical holds the table of the NIST/SEMATECH e-Handbook of
// Statistical Methods, section 1.3.6.7.4.
func TestChiSquareCriticalAgreesWithTheNISTTable(t *testing.T) {
	table := []struct {
		df    int
		p     float64
		value float64
	}{
		{1, 0.10, 2.706}, {1, 0.05, 3.841}, {1, 0.01, 6.635}, {1, 0.001, 10.828},
		{2, 0.10, 4.605}, {2, 0.05, 5.991}, {2, 0.01, 9.210}, {2, 0.001, 13.816},
		{3, 0.10, 6.251}, {3, 0.05, 7.815}, {3, 0.01, 11.345}, {3, 0.001, 16.266},
		{4, 0.05, 9.488}, {5, 0.025, 12.833}, {9, 0.05, 16.919}, {10, 0.001, 29.588},
		{20, 0.05, 31.410}, {30, 0.01, 50.892}, {50, 0.001, 86.661}, {100, 0.05, 124.342},
		{100, 0.99, 70.065}, {1, 0.95, 0.004}, {10, 0.95, 3.940},
	}
	for _, row := range table {
		if got := ChiSquareCritical(row.p, row.df); math.Abs(got-row.value) > 0.0006 {
			t.Errorf("ChiSquareCritical(%g, %d) = %.4f, the table says %.3f", row.p, row.df, got, row.value)
		}
		if got := ChiSquareP(row.value, row.df); math.Abs(got-row.p) > 0.0006*math.Max(1, 1/row.value) {
			t.Errorf("ChiSquareP(%g, %d) = %.5f, the table says %g", row.value, row.df, got, row.p)
		}
	}
}

func TestNonsenseIsNaN(t *testing.T) {
	for name, got := range map[string]float64{
		"no degrees of freedom": ChiSquareP(1, 0),
		"negative x":            GammaQ(1, -1),
		"zero a":                GammaQ(0, 1),
		"NaN":                   GammaQ(math.NaN(), 1),
		"p of zero":             ChiSquareCritical(0, 1),
		"p of one":              ChiSquareCritical(1, 1),
	} {
		if !math.IsNaN(got) {
			t.Errorf("%s: %g, want NaN", name, got)
		}
	}
	if got := GammaQ(2, math.Inf(1)); got != 0 {
		t.Errorf("GammaQ(2, ∞) = %g, want 0", got)
	}
}

func TestGoodnessOfFit(t *testing.T) {
	tests := []struct {
		name    string
		counts  []int
		weights []float64
		stat    float64
		p       float64
		err     error
	}{
		{name: "even counts fit exactly", counts: []int{100, 100, 100}, stat: 0, p: 1},
		{name: "8:1:1 is not uniform", counts: []int{240, 30, 30}, stat: 294, p: math.Exp(-147)},
		{name: "8:1:1 fits its own weights", counts: []int{240, 30, 30}, weights: []float64{8, 1, 1}, stat: 0, p: 1},
		{name: "Mendel's peas (1866): 315, 108, 101, 32 against 9:3:3:1",
			counts: []int{315, 108, 101, 32}, weights: []float64{9, 3, 3, 1}, stat: 0.470024, p: 0.925426},
		{name: "one cell is nothing to compare", counts: []int{10}, err: ErrFewCells},
		{name: "an expected count below five", counts: []int{4, 4, 4}, err: ErrFewSamples},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fit, err := GoodnessOfFit(tt.counts, tt.weights)
			if !errors.Is(err, tt.err) {
				t.Fatalf("err = %v, want %v", err, tt.err)
			}
			if math.Abs(fit.Statistic-tt.stat) > 1e-5 || !near(fit.P, tt.p, 1e-5) {
				t.Errorf("X² = %g, p = %g; want %g and %g", fit.Statistic, fit.P, tt.stat, tt.p)
			}
		})
	}
}

func TestGoodnessOfFitRefusesBadInput(t *testing.T) {
	for name, f := range map[string]func() (Fit, error){
		"negative count":    func() (Fit, error) { return GoodnessOfFit([]int{-1, 50}, nil) },
		"zero weight":       func() (Fit, error) { return GoodnessOfFit([]int{50, 50}, []float64{0, 1}) },
		"NaN weight":        func() (Fit, error) { return GoodnessOfFit([]int{50, 50}, []float64{math.NaN(), 1}) },
		"number of weights": func() (Fit, error) { return GoodnessOfFit([]int{50, 50}, []float64{1}) },
	} {
		if _, err := f(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// TestFalseAlarms draws from a fair balancer many times: the share of p-values
// below alpha must be alpha within four standard errors, and a biased one must
// be found nearly always.
func TestFalseAlarmRateIsAlpha(t *testing.T) {
	const runs, n = 20_000, 300
	rng := rand.New(rand.NewPCG(1, 2))
	alarms := func(weights []float64, alpha float64) float64 {
		hits := 0
		for range runs {
			if fit, err := GoodnessOfFit(draw(rng, weights, n), nil); err == nil && fit.P < alpha {
				hits++
			}
		}
		return float64(hits) / runs
	}
	for _, alpha := range []float64{0.05, 0.01, 0.001} {
		got, tolerance := alarms([]float64{1, 1, 1}, alpha), 4*math.Sqrt(alpha*(1-alpha)/runs)
		if math.Abs(got-alpha) > tolerance+alpha*0.1 {
			t.Errorf("alpha %g: false alarms %g, tolerance %g", alpha, got, tolerance)
		}
	}
	if got := alarms([]float64{2, 1, 1}, 0.001); got < 0.97 {
		t.Errorf("a bias of 2:1:1 is found in %g of the runs", got)
	}
}

func draw(rng *rand.Rand, weights []float64, n int) []int {
	sum := 0.0
	for _, w := range weights {
		sum += w
	}
	counts := make([]int, len(weights))
	for range n {
		x, i := rng.Float64()*sum, 0
		for x >= weights[i] && i < len(weights)-1 {
			x -= weights[i]
			i++
		}
		counts[i]++
	}
	return counts
}

func TestWilson(t *testing.T) {
	// Newcombe (1998), Statistics in Medicine 17, table I: 81 of 263, 95 %.
	got := Wilson(81, 263, 0.95)
	if math.Abs(got.Low-0.2553) > 5e-5 || math.Abs(got.High-0.3662) > 5e-5 {
		t.Errorf("Wilson(81, 263) = %+v", got)
	}
	if got := Wilson(0, 0, 0.95); got != (Interval{0, 1}) {
		t.Errorf("without samples: %+v", got)
	}
	if got := Wilson(0, 20, 0.95); got.Low != 0 || math.Abs(got.High-0.1611) > 5e-5 {
		t.Errorf("Wilson(0, 20) = %+v", got)
	}
}

func TestNeeded(t *testing.T) {
	for _, tt := range []struct {
		weights []float64
		want    int
	}{{[]float64{1, 1, 1}, 15}, {[]float64{8, 1, 1}, 50}, {[]float64{0.5, 0.25, 0.25}, 20}} {
		if got := Needed(tt.weights); got != tt.want {
			t.Errorf("Needed(%v) = %d, want %d", tt.weights, got, tt.want)
		}
	}
}
