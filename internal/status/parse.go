package status

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// errCut means that a host's answer has no end.
var errCut = errors.New("its answer was cut off")

// Parse reads what [Script] printed on a host that is up. at is this computer's
// time when the host was asked.
func Parse(h *Host, printed string, at time.Time) error {
	h.State, h.clusters = Up, map[string]string{}
	parts := sections(printed)
	if _, whole := parts["end"]; !whole {
		return errCut
	}
	for name, lines := range parts {
		switch name {
		case "host":
			h.figures(lines, at)
		case "disks":
			h.disks(lines)
		case "addresses":
			h.addresses = lines
		case "failed":
			h.Failed = lines
		case "containers":
			h.containers(lines)
		}
		if cluster, ok := strings.CutPrefix(name, "cluster "); ok {
			h.clusters[cluster] = strings.Join(lines, "\n")
		}
	}
	return nil
}

// sections cuts text at the lines that begin a part. Empty lines count only among
// containers, where they separate units.
func sections(printed string) map[string][]string {
	out := map[string][]string{}
	name := ""
	for line := range strings.Lines(printed) {
		line = strings.TrimRight(line, "\r\n")
		if next, ok := strings.CutPrefix(line, begin); ok {
			name = next
			out[name] = nil
			continue
		}
		if line != "" || name == "containers" {
			out[name] = append(out[name], line)
		}
	}
	return out
}

func (h *Host) figures(lines []string, at time.Time) {
	for _, line := range lines {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "now":
			h.Ahead = ahead(f[1], at)
		case "uptime":
			h.Uptime = time.Duration(number(f[1])) * time.Second
		case "load":
			h.Load, _ = strconv.ParseFloat(f[1], 64)
		case "cpus":
			h.CPUs = int(number(f[1]))
		case "memory": // a second line is more to the point
			h.Memory = Usage{number(f[1]), number(f[len(f)-1])}
		}
	}
}

// ahead is how far a clock is before this computer's. What the question itself
// took is not known, and is well below what matters.
func ahead(now string, at time.Time) time.Duration {
	seconds, err := strconv.ParseFloat(now, 64)
	if err != nil {
		return 0
	}
	return time.Unix(0, int64(seconds*float64(time.Second))).Sub(at).Round(time.Millisecond)
}

func number(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64) // 0 is what is not known
	return n
}

func (h *Host) disks(lines []string) {
	const kib = 1 << 10
	for _, line := range lines {
		f := strings.SplitN(line, " ", 3)
		if len(f) == 3 {
			h.Disks = append(h.Disks, Disk{f[2], Usage{number(f[0]) * kib, number(f[1]) * kib}})
		}
	}
}

// containers reads what systemctl show prints: lines NAME=VALUE, and an empty line
// between units.
func (h *Host) containers(lines []string) {
	unit := map[string]string{}
	flush := func() {
		if name, ok := strings.CutSuffix(unit["Id"], ".service"); ok {
			restarts := int(number(unit["NRestarts"]))
			h.Containers = append(h.Containers, Container{name, health(unit["ActiveState"], unit["SubState"]), restarts})
		}
		clear(unit)
	}
	for _, line := range lines {
		if line == "" {
			flush()
			continue
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			unit[key] = value
		}
	}
	flush()
	slices.SortFunc(h.Containers, func(a, b Container) int { return strings.Compare(a.Name, b.Name) })
}

// health is what systemd's states say of a container.
//
// Source: systemctl(1), "show"; systemd.service(5), "Restart=": between two starts
// a unit is activating (auto-restart).
func health(active, sub string) Health {
	switch {
	case active == "active" || active == "reloading":
		return Healthy
	case active == "activating" && sub == "auto-restart":
		return Restarting
	case active == "activating":
		return Unhealthy // it starts, and is not ready
	}
	return Stopped
}
