package timeline

import (
	"fmt"
	"html"
	"io"
	"strings"
	"time"
)

// Measures of the drawing, in user units (pixels at full size).
const (
	width      = 1200.0
	gutter     = 132.0 // for lane names
	rightEdge  = 16.0
	axisRoom   = 26.0
	laneGap    = 6.0
	legendRoom = 30.0
	charWidth  = 6.2 // of the 10.5 px label font, on average
)

// phaseClasses are the phases that have a colour of their own.
var phaseClasses = map[string]bool{
	"provision": true, "prepare": true, "build": true, "install": true,
	"configure": true, "start": true, "verify": true,
}

// CSS is the style of a [Timeline.Fragment], for light and dark surroundings.
const CSS = `.tl{font:10.5px system-ui,sans-serif;--ink:#1c2430;--soft:#66707f;--grid:#e3e7ec;--band:#f6f8fa;--paper:#fff;--on:#fff;--bad:#d13438;--provision:#5b6fd0;--prepare:#2f8f83;--build:#b67a1d;--install:#8563bf;--configure:#3b82c4;--start:#4d9a45;--verify:#c2578b;--other:#7b8794}
@media (prefers-color-scheme:dark){.tl{--ink:#e4e8ee;--soft:#97a1b0;--grid:#2a323d;--band:#161c24;--paper:#0e131a;--on:#0e131a;--bad:#e5575b;--provision:#7f91e6;--prepare:#47b0a2;--build:#d59b3f;--install:#a587dc;--configure:#5ea2e0;--start:#6bbb62;--verify:#dd7cab;--other:#8a95a3}}
.tl text{fill:var(--ink)}.tl .ax{fill:var(--soft)}.tl .ln{font-weight:600;text-anchor:end}
.tl .g{stroke:var(--grid)}.tl .b{fill:var(--band)}.tl .in{fill:var(--on);pointer-events:none}
.tl .cp{fill:none;stroke:var(--ink);stroke-width:1.2;stroke-dasharray:3 2;opacity:.55}
.tl .s{fill:var(--other)}.tl .provision{fill:var(--provision)}.tl .prepare{fill:var(--prepare)}.tl .build{fill:var(--build)}.tl .install{fill:var(--install)}.tl .configure{fill:var(--configure)}.tl .start{fill:var(--start)}.tl .verify{fill:var(--verify)}
.tl .dim{stroke:var(--paper);stroke-width:.6}.tl .c{stroke:var(--ink);stroke-width:1.6;opacity:1}.tl .bad{fill:var(--bad)}
.tl .key{fill:none;pointer-events:none}.tl .s:hover{opacity:.75}
`

// SVG writes the drawing as a file of its own.
func (t *Timeline) SVG(w io.Writer) error {
	_, err := io.WriteString(w, t.draw("<style>"+CSS+"</style>", ` xmlns="http://www.w3.org/2000/svg"`))
	return err
}

// Fragment returns the drawing as an element of an HTML page that holds [CSS].
// All text in it is escaped.
func (t *Timeline) Fragment() string { return t.draw("", "") }

// canvas collects the elements of one drawing.
type canvas struct {
	strings.Builder
	start  time.Time
	scale  float64 // user units per nanosecond
	rowH   float64
	dim    bool
	onPath map[string]bool
	middle map[string][3]float64 // of steps on the path: left, right and middle height
}

func (t *Timeline) draw(style, namespace string) string {
	lanes, collapsed := t.lanes()
	c := &canvas{start: t.Start, dim: collapsed, onPath: map[string]bool{}, middle: map[string][3]float64{}}
	for _, l := range t.Critical {
		c.onPath[l.ID] = true
	}
	rows := 0
	for _, l := range lanes {
		rows += l.rows
	}
	c.rowH = rowHeight(rows)
	c.scale = (width - gutter - rightEdge) / float64(max(t.Duration(), 1))
	height := axisRoom + float64(rows)*c.rowH + float64(len(lanes))*laneGap + legendRoom
	fmt.Fprintf(c, `<svg%s class="tl" viewBox="0 0 %g %.1f" width="100%%" role="img" aria-label="timeline of %d steps">%s`,
		namespace, width, height, len(t.Steps), style)
	c.axis(t.Duration(), height)
	y := axisRoom
	for i, l := range lanes {
		y = c.lane(l, y, i%2 == 0)
	}
	c.path(t.Critical)
	c.legend(t.Phases(), height-8)
	c.WriteString("</svg>\n")
	return c.String()
}

// legend names the colours, and the outline of the critical path.
func (c *canvas) legend(phases []Total, y float64) {
	x := gutter
	entry := func(class, name string) {
		fmt.Fprintf(c, `<rect class="s %s" x="%.1f" y="%.1f" width="10" height="10" rx="2"/><text class="ax" x="%.1f" y="%.1f">%s</text>`,
			class, x, y-9, x+15, y, esc(name))
		x += 15 + float64(len(name))*charWidth + 18
	}
	for _, p := range phases {
		if phaseClasses[p.Name] {
			entry(p.Name, p.Name)
		}
	}
	entry("c key", "critical path")
}

// rowHeight makes few rows comfortable and many rows fit.
func rowHeight(rows int) float64 {
	switch {
	case rows <= 40:
		return 18
	case rows <= 80:
		return 14
	default:
		return 11
	}
}

func (c *canvas) x(at time.Time) float64 { return gutter + float64(at.Sub(c.start))*c.scale }

func (c *canvas) axis(d time.Duration, height float64) {
	for _, tick := range ticks(d, 10) {
		x := c.x(c.start.Add(tick))
		fmt.Fprintf(c, `<line class="g" x1="%.1f" x2="%.1f" y1="18" y2="%.1f"/><text class="ax" x="%.1f" y="12" text-anchor="middle">%s</text>`,
			x, x, height-legendRoom, x, Short(tick))
	}
}

func (c *canvas) lane(l lane, y float64, band bool) float64 {
	h := float64(l.rows)*c.rowH + laneGap
	if band {
		fmt.Fprintf(c, `<rect class="b" x="0" y="%.1f" width="%g" height="%.1f" fill-opacity=".6"/>`, y, width, h)
	}
	fmt.Fprintf(c, `<text class="ln" x="%g" y="%.1f">%s</text>`, gutter-8, y+h/2+4, esc(cut(l.name, 18)))
	for _, s := range l.steps {
		c.step(s, y+laneGap/2+float64(s.row)*c.rowH)
	}
	return y + h
}

func (c *canvas) step(s placed, y float64) {
	x, w := c.x(s.Start), max(float64(s.Duration())*c.scale, 1.2)
	class := "s"
	if phaseClasses[s.Phase] {
		class += " " + s.Phase
	}
	if s.Status == "failed" {
		class += " bad"
	}
	switch {
	case c.onPath[s.ID]:
		c.middle[s.ID] = [3]float64{x, x + w, y + c.rowH/2 - 1}
	case c.dim:
		class += " dim"
	}
	fmt.Fprintf(c, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"><title>%s</title></rect>`,
		class, x, y, w, c.rowH-2, esc(title(s.Step, c.start)))
	if fits := int((w - 8) / charWidth); fits >= 6 && c.rowH >= 14 && !c.dim {
		fmt.Fprintf(c, `<text class="in" x="%.1f" y="%.1f">%s</text>`, x+4, y+c.rowH/2+2.7, esc(cut(local(s.Step), fits)))
	}
}

// path outlines the steps of the critical path and joins them by dashed lines,
// over all else.
func (c *canvas) path(links []Link) {
	for _, l := range links {
		m := c.middle[l.ID]
		fmt.Fprintf(c, `<rect class="c key" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"/>`,
			m[0], m[2]-c.rowH/2+1, m[1]-m[0], c.rowH-2)
	}
	for i := 1; i < len(links); i++ {
		from, ok1 := c.middle[links[i-1].ID]
		to, ok2 := c.middle[links[i].ID]
		if ok1 && ok2 {
			fmt.Fprintf(c, `<path class="cp" d="M%.1f %.1fV%.1fH%.1f"/>`, from[1], from[2], to[2], to[0])
		}
	}
}

func title(s Step, start time.Time) string {
	out := fmt.Sprintf("%s\n%s, began at +%s", s.ID, Short(s.Duration()), Short(s.Start.Sub(start)))
	for _, extra := range []string{s.Phase, s.Status} {
		if extra != "" {
			out += "\n" + extra
		}
	}
	return out
}

// local returns the ID without the scope that the lane shows already.
func local(s Step) string {
	return strings.TrimPrefix(s.ID, s.Scope+"/")
}

func cut(s string, most int) string {
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}

// esc escapes text for XML and HTML, keeping line ends.
func esc(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = html.EscapeString(printable(l))
	}
	return strings.Join(lines, "\n")
}
