package report

import (
	"fmt"
	"html"
	"math"
	"strings"

	"github.com/updraft-cloud/updraft/internal/verify"
)

// plotCSS is the style of the plots; its colours are those of the page.
const plotCSS = `.plot{font:12px system-ui,sans-serif;max-width:720px}.plot text{fill:var(--ink)}.plot .soft{fill:var(--soft)}
.plot .bar{fill:var(--blue)}.plot .odd{fill:var(--bad)}.plot .exp{stroke:var(--ink);stroke-width:2}.plot .ci{stroke:var(--ink);stroke-width:1.2;opacity:.75}.plot .grid{stroke:var(--rule)}
`

// Measures of a plot in user units.
const (
	plotWidth  = 720.0
	plotLeft   = 150.0
	plotRight  = 96.0
	plotTop    = 22.0
	barHeight  = 20.0
	barPitch   = 32.0
	mostBars   = 40
	labelChars = 20
)

// plot draws the counts as bars. Each has a line where it is expected and a
// whisker for the 95 % confidence interval of its share.
func plot(d verify.SpreadDetail) string {
	members := d.Members[:min(len(d.Members), mostBars)]
	most := 1.0
	for _, m := range members {
		most = max(most, float64(m.Count), m.Expected, m.Share.High*float64(d.Answers))
	}
	step := niceStep(most / 5)
	scale := (plotWidth - plotLeft - plotRight) / (math.Ceil(most/step) * step)
	height := plotTop + float64(len(members))*barPitch + 26

	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="plot" viewBox="0 0 %g %g" width="100%%" role="img" aria-label="answers of each member">`, plotWidth, height)
	for v := 0.0; v <= most+step; v += step {
		if x := plotLeft + v*scale; x <= plotWidth-plotRight+1 {
			fmt.Fprintf(&b, `<line class="grid" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/><text class="soft" x="%.1f" y="12" text-anchor="middle">%g</text>`,
				x, x, plotTop-4, height-26, x, v)
		}
	}
	for i, m := range members {
		bar(&b, m, d.Answers, plotTop+float64(i)*barPitch, scale)
	}
	legend(&b, height-6)
	b.WriteString("</svg>\n")
	return b.String()
}

func bar(b *strings.Builder, m verify.MemberCount, n int, y, scale float64) {
	class := "bar"
	if e := m.Expected / float64(max(n, 1)); m.Unexpected || e < m.Share.Low || e > m.Share.High {
		class = "odd"
	}
	middle := y + barHeight/2
	low, high := plotLeft+m.Share.Low*float64(n)*scale, plotLeft+m.Share.High*float64(n)*scale
	fmt.Fprintf(b, `<text x="%g" y="%g" text-anchor="end">%s</text>`, plotLeft-8, middle+4, html.EscapeString(clean(cut(m.Name))))
	fmt.Fprintf(b, `<rect class="%s" x="%g" y="%g" width="%.1f" height="%g" rx="2"><title>%d of %d answers</title></rect>`,
		class, plotLeft, y, float64(m.Count)*scale, barHeight, m.Count, n)
	fmt.Fprintf(b, `<path class="ci" fill="none" d="M%.1f %gV%gM%.1f %gH%.1fM%.1f %gV%g"/>`,
		low, middle-4, middle+4, low, middle, high, high, middle-4, middle+4)
	if !m.Unexpected {
		x := plotLeft + m.Expected*scale
		fmt.Fprintf(b, `<line class="exp" x1="%.1f" x2="%.1f" y1="%g" y2="%g"/>`, x, x, y-4, y+barHeight+4)
	}
	fmt.Fprintf(b, `<text x="%g" y="%g">%d<tspan class="soft" dx="6">%.1f %%</tspan></text>`,
		plotWidth-plotRight+10, middle+4, m.Count, 100*float64(m.Count)/float64(max(n, 1)))
}

func legend(b *strings.Builder, y float64) {
	fmt.Fprintf(b, `<line class="exp" x1="%g" x2="%g" y1="%g" y2="%g"/><text class="soft" x="%g" y="%g">expected</text>`,
		plotLeft+1, plotLeft+1, y-11, y+1, plotLeft+8, y)
	x := plotLeft + 80
	fmt.Fprintf(b, `<path class="ci" fill="none" d="M%g %gV%gM%g %gH%gM%g %gV%g"/><text class="soft" x="%g" y="%g">95 %% confidence interval of the share</text>`,
		x, y-9, y-1, x, y-5, x+18, x+18, y-9, y-1, x+25, y)
}

// niceStep returns the smallest 1, 2 or 5 times a power of ten of at least v.
func niceStep(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(max(v, 1))))
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= v {
			return m * unit
		}
	}
	return 10 * unit
}

func cut(s string) string {
	r := []rune(s)
	if len(r) <= labelChars {
		return s
	}
	return string(r[:labelChars-1]) + "…"
}
