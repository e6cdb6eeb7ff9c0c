package stats

import "math"

const (
	// gammaTolerance ends the series and the continued fraction: a term this
	// much smaller than the sum no longer changes it.
	gammaTolerance = 1e-16
	// gammaTerms bounds both. The number needed grows with the square root of
	// a: 100,000 suffice for a million degrees of freedom.
	gammaTerms = 100_000
)

// GammaQ returns the regularised upper incomplete gamma function
// Q(a, x) = Γ(a, x) / Γ(a), for a > 0 and x ≥ 0, otherwise NaN.
//
// Left of x = a+1 the series of NIST DLMF 8.11.4 converges fast, right of it
// the continued fraction of DLMF 8.9.2, evaluated by Lentz's method. Small
// values of Q come from the fraction directly and so keep their relative
// accuracy down to the smallest numbers.
func GammaQ(a, x float64) float64 {
	switch {
	case !(a > 0) || !(x >= 0) || math.IsInf(a, 1):
		return math.NaN()
	case x == 0:
		return 1
	case math.IsInf(x, 1):
		return 0
	case x < a+1:
		return 1 - gammaSeries(a, x)
	default:
		return gammaFraction(a, x)
	}
}

// gammaFactor is x^a e^-x / Γ(a), the factor in front of both expansions.
func gammaFactor(a, x float64) float64 {
	lg, _ := math.Lgamma(a)
	return math.Exp(a*math.Log(x) - x - lg)
}

func gammaSeries(a, x float64) float64 {
	term := 1 / a
	sum := term
	for n := 1; n <= gammaTerms; n++ {
		term *= x / (a + float64(n))
		sum += term
		if term < sum*gammaTolerance {
			break
		}
	}
	return sum * gammaFactor(a, x)
}

func gammaFraction(a, x float64) float64 {
	const tiny = 1e-300 // stands in for a zero denominator
	b := x + 1 - a
	c, d := 1/tiny, 1/b
	h := d
	for n := 1; n <= gammaTerms; n++ {
		an := -float64(n) * (float64(n) - a)
		b += 2
		d = nonZero(an*d+b, tiny)
		c = nonZero(b+an/c, tiny)
		d = 1 / d
		step := d * c
		h *= step
		if math.Abs(step-1) < gammaTolerance*10 {
			break
		}
	}
	return h * gammaFactor(a, x)
}

func nonZero(v, tiny float64) float64 {
	if math.Abs(v) < tiny {
		return tiny
	}
	return v
}
