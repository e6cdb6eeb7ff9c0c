package status

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
)

// Text writes the report for people: what is wrong first.
func Text(w io.Writer, r *Report, color bool) error {
	t := &text{r: r, color: color}
	t.head()
	t.problems()
	t.hosts()
	t.clusters()
	t.vips()
	t.services()
	t.certificates()
	t.capacity()
	_, err := io.WriteString(w, t.b.String())
	return err
}

type text struct {
	b     strings.Builder
	r     *Report
	color bool
}

func (t *text) paint(code, s string) string {
	if !t.color {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

const red, green, bold = "31", "32", "1"

func (t *text) head() {
	what := t.paint(green, "all is well")
	switch n := len(t.r.Problems); n {
	case 0:
	case 1:
		what = t.paint(red, "1 problem")
	default:
		what = t.paint(red, strconv.Itoa(n)+" problems")
	}
	fmt.Fprintf(&t.b, "%s: %s (%s, in %s)\n", t.paint(bold, t.r.Cloud), what, t.r.At.UTC().Format("2006-01-02 15:04:05 UTC"), t.r.Took.Round(10*time.Millisecond))
}

// problems puts each on a line of its own, and what to do below it; then what is
// under way.
func (t *text) problems() {
	for _, p := range t.r.Problems {
		fmt.Fprintf(&t.b, "\n  %s %s\n      %s\n", t.paint(red, "!"), clean(p.What), clean(p.Mend))
	}
	for _, p := range t.r.Notes {
		fmt.Fprintf(&t.b, "\n  - %s\n      %s\n", clean(p.What), clean(p.Mend))
	}
}

// table writes aligned columns. Colours would spoil the alignment.
func (t *text) table(rows [][]string) {
	if len(rows) <= 1 {
		return
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	_ = w.Flush() // to memory
	fmt.Fprintf(&t.b, "\n")
	for i, line := range slices.Collect(strings.Lines(b.String())) {
		line = strings.TrimRight(line, " \n")
		if i == 0 {
			line = t.paint(bold, line)
		}
		fmt.Fprintln(&t.b, line)
	}
}

func (t *text) hosts() {
	rows := [][]string{{"HOST", "ADDRESS", "STATE", "UP", "LOAD", "MEMORY", "DISK", "CONTAINERS", "AS THE FILE SAYS"}}
	for i := range t.r.Hosts {
		rows = append(rows, row(&t.r.Hosts[i]))
	}
	t.table(rows)
}

func row(h *Host) []string {
	state := string(h.State)
	if h.Maintenance {
		state += " (maintenance)"
	}
	out := []string{h.Name, h.Address, state}
	if h.State != Up {
		return append(out, "-", "-", "-", "-", "-", agreement(h))
	}
	return append(out, age(h.Uptime), fmt.Sprintf("%.1f of %d", h.Load, h.CPUs), bytesOf(h.Memory), bytesOf(fullest(h.Disks)), containers(h.Containers), agreement(h))
}

func agreement(h *Host) string {
	switch {
	case h.Maintenance:
		return "left alone"
	case h.Differ < 0:
		return "not known"
	case h.State != Up:
		return "-"
	case h.Differ > 0:
		return fmt.Sprintf("%d of %d differ", h.Differ, h.Resources)
	}
	return "yes"
}

func fullest(disks []Disk) Usage {
	if len(disks) == 0 {
		return Usage{}
	}
	return slices.MaxFunc(disks, func(a, b Disk) int { return int(1000 * (a.Share() - b.Share())) }).Usage
}

func containers(all []Container) string {
	if len(all) == 0 {
		return "-"
	}
	well := 0
	for _, c := range all {
		if c.Health == Healthy {
			well++
		}
	}
	if well == len(all) {
		return fmt.Sprintf("%d healthy", well)
	}
	return fmt.Sprintf("%d of %d healthy", well, len(all))
}

func (t *text) clusters() {
	rows := [][]string{{"CLUSTER", "SERVING", "QUORUM", "MEMBERS"}}
	for _, c := range t.r.Clusters {
		serving := 0
		var members []string
		for _, m := range c.Members {
			if m.Serves {
				serving++
			}
			members = append(members, m.Host+" "+m.State)
		}
		quorum := "yes"
		if !c.Quorum {
			quorum = "NO"
		}
		rows = append(rows, []string{c.Name, fmt.Sprintf("%d of %d", serving, len(c.Members)), quorum, clean(strings.Join(members, ", "))})
	}
	t.table(rows)
}

func (t *text) vips() {
	rows := [][]string{{"VIRTUAL ADDRESS", "", "HELD BY"}}
	for _, v := range t.r.VIPs {
		holder := "nobody"
		if len(v.Holders) > 0 {
			holder = strings.Join(v.Holders, " and ")
		}
		rows = append(rows, []string{v.Name, v.Address, holder})
	}
	t.table(rows)
}

// services has one line for each kind: a cloud has as many agents as computes.
func (t *text) services() {
	type kind struct {
		name              string
		up, all           int
		down, switchedOff []string
	}
	var kinds []*kind
	for _, s := range t.r.Services {
		i := slices.IndexFunc(kinds, func(k *kind) bool { return k.name == s.Name })
		if i < 0 {
			i = len(kinds)
			kinds = append(kinds, &kind{name: s.Name})
		}
		k := kinds[i]
		k.all++
		switch {
		case s.Disabled:
			k.switchedOff = append(k.switchedOff, s.Host)
		case s.Up:
			k.up++
		default:
			k.down = append(k.down, s.Host)
		}
	}
	rows := [][]string{{"SERVICE", "UP", ""}}
	for _, k := range kinds {
		var notes []string
		if len(k.down) > 0 {
			notes = append(notes, "down on "+strings.Join(k.down, ", "))
		}
		if len(k.switchedOff) > 0 {
			notes = append(notes, "switched off on "+strings.Join(k.switchedOff, ", "))
		}
		rows = append(rows, []string{clean(k.name), fmt.Sprintf("%d of %d", k.up, k.all), clean(strings.Join(notes, "; "))})
	}
	t.table(rows)
}

func (t *text) certificates() {
	if len(t.r.Certificates) == 0 {
		return
	}
	c := t.r.Certificates[0]
	fmt.Fprintf(&t.b, "\nOf %d certificates %s ends first: on %s, in %d days.\n", len(t.r.Certificates), c.Name, c.Ends.UTC().Format(time.DateOnly), int(c.Ends.Sub(t.r.At).Hours()/24))
}

func (t *text) capacity() {
	c := t.r.Capacity
	if c == nil {
		return
	}
	fmt.Fprintf(&t.b, "Servers: %d, on hypervisors: %d, with %d of %d vCPUs, %s of memory, %s of disk.\n",
		c.Servers, c.Hypervisors, c.VCPUs.Used, c.VCPUs.Total, bytesOf(c.Memory), bytesOf(c.Disk))
}

func age(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	}
	return fmt.Sprintf("%ds", int(d.Seconds()))
}

// bytesOf is a usage in GiB, or in MiB when it is less than one.
func bytesOf(u Usage) string {
	const mib, gib = 1 << 20, 1 << 30
	if u.Total < gib {
		return fmt.Sprintf("%d of %d MiB", u.Used/mib, u.Total/mib)
	}
	return fmt.Sprintf("%.1f of %.1f GiB", float64(u.Used)/gib, float64(u.Total)/gib)
}

// clean keeps what hosts and services said on one line and from playing with the
// terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
