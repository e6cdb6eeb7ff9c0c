package maintain

import (
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/engine"
)

// StopOrder are the units of a host's containers and of updraft's own programs, what
// needs others first. The virtual address goes before all: clients are elsewhere then.
// Mounts stay.
func StopOrder(g *engine.Graph, host string) []string {
	var out []string
	for _, n := range slices.Backward(g.Order()) {
		switch {
		case n.Scope != host:
		case n.Kind == "container":
			out = append(out, n.Key+".service")
		case n.Kind == "unit" && strings.HasPrefix(n.Key, "updraft-") && strings.HasSuffix(n.Key, ".service") && isService(n):
			out = append(out, n.Key)
		}
	}
	slices.SortStableFunc(out, func(a, b string) int {
		first := func(u string) int {
			if u == "keepalived.service" {
				return 0
			}
			return 1
		}
		return first(a) - first(b)
	})
	return out
}

// isService reports whether a unit does something that can be missed for a while.
// What mounts file systems is in use by servers, and the registry by other hosts.
func isService(n *engine.Node) bool {
	return !strings.HasPrefix(n.Key, "updraft-mount-") && !strings.HasPrefix(n.Key, "updraft-registry")
}
