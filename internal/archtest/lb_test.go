package archtest

import (
	"slices"
	"strings"
	"testing"
)

// lbParts lists the parts of the load-balancing service: which of the others a
// part may import, and why not more. A part is the first folder below
// internal/lb.
var lbParts = map[string]struct {
	reason string
	parts  []string
}{
	"model":   {"what is stored, as plain values", nil},
	"store":   {"keeps the model and knows nobody who uses it", []string{"model"}},
	"amphora": {"from the model to configurations, purely", []string{"model"}},
	"agent":   {"runs beside the traffic: small, and blind to the store", []string{"model", "amphora"}},
	"driver":  {"the outside world behind small interfaces", []string{"model", "amphora", "agent"}},
	"api":     {"answers clients and leaves the work to controllers", []string{"model", "store", "driver", "auth"}},
	"auth":    {"who asks and whether they may, for the API and whoever serves it", nil},
	"control": {"makes the world as the store says, and asks agents through their client", []string{"model", "store", "driver", "amphora", "agent"}},
	"serve":   {"the one place where the parts are put together", []string{"model", "store", "driver", "amphora", "api", "auth", "control"}},
}

// lbMayUse are updraft's other packages that the load-balancing service may
// import: it stands on its own, without the engine and what that deploys.
var lbMayUse = []string{"addr", "diag", "graph", "netdump", "netns", "proc", "retry", "secret", "stats", "timeline"}

func TestTheLoadBalancerStandsAlone(t *testing.T) {
	for _, f := range goFiles(t) {
		rest, ok := strings.CutPrefix(f.path, "internal/lb/")
		if !ok || strings.HasSuffix(f.path, "_test.go") {
			continue
		}
		part := top(rest)
		rule, ok := lbParts[part]
		if !ok {
			t.Errorf("%s: part %s of the load-balancing service is not listed; list it with a reason", f.path, part)
			continue
		}
		for _, imp := range imports(t, f) {
			if other, ok := strings.CutPrefix(imp, module+"internal/lb/"); ok {
				if o := top(other); o != part && !slices.Contains(rule.parts, o) {
					t.Errorf("%s imports %s: %s", f.path, imp, rule.reason)
				}
			} else if other, ok := strings.CutPrefix(imp, module+"internal/"); ok && !slices.Contains(lbMayUse, top(other)) {
				t.Errorf("%s imports %s: the load-balancing service stands on its own", f.path, imp)
			}
		}
	}
}
