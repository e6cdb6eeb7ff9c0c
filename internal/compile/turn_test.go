package compile_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/openstack/maintain"
)

// replicated compiles the example with three controllers and all optional services.
func replicated(t *testing.T) *compile.Output {
	t.Helper()
	text, err := os.ReadFile("../../examples/openstack-ha.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "services: [masakari]", "services: [heat, masakari]", 1)
	out, diags := compileText(t, "cloud.yaml", []byte(changed))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return out
}

func TestControllersAreChangedOneAfterTheOther(t *testing.T) {
	for _, tt := range []struct {
		rule    string
		changed func(n *engine.Node) bool
		hosts   []string
	}{
		{"an option of Nova", func(n *engine.Node) bool { return strings.HasPrefix(n.Key, "/etc/updraft/nova/") },
			[]string{"controller1", "controller2", "controller3"}},
		{"the authority, for which etcd restarts", func(n *engine.Node) bool { return n.Key == "/etc/updraft/authority/ca.pem" },
			[]string{"controller1", "controller2", "controller3"}},
		{"the database's configuration", func(n *engine.Node) bool { return n.Key == "/etc/updraft/mariadb/mariadb.cnf" },
			[]string{"controller1", "controller2", "controller3"}},
		{"what only computes have", func(n *engine.Node) bool { return strings.HasPrefix(n.Key, "/etc/updraft/libvirt/") }, nil},
	} {
		t.Run(tt.rule, func(t *testing.T) {
			g := replicated(t).Graph
			w, s := enginetest.NewWorld(nil), statedir.Open(t.TempDir())
			e := engine.New(g, s, w, nil, engine.Options{})
			p, err := e.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(p.Turns) > 0 {
				t.Errorf("the first run has turns: %+v", p.Turns)
			}
			if r, err := e.Apply(t.Context(), p, nil); err != nil || r.Err() != nil {
				t.Fatal(err, r.Err())
			}
			for _, n := range g.Nodes() {
				if n.Kind == "file" && tt.changed(n) {
					w.Set(n.ID, "old")
				}
			}
			if p, err = e.Plan(t.Context()); err != nil {
				t.Fatal(err)
			}
			var hosts []string
			for _, turn := range p.Turns {
				hosts = append(hosts, turn.Scope)
			}
			if diff := cmp.Diff(tt.hosts, hosts); diff != "" {
				t.Errorf("turns (-want +got):\n%s\n%s", diff, steps(p))
			}
			if r, err := e.Apply(t.Context(), p, nil); err != nil || r.Err() != nil || len(r.Blocked) > 0 {
				t.Fatal(err, r)
			}
		})
	}
}

// steps lists steps by turn.
func steps(p *engine.Plan) string {
	var out []string
	for i := range p.Steps {
		if s := &p.Steps[i]; s.Turn > 0 {
			out = append(out, fmt.Sprintf("%d %s %v", s.Turn, s.ID, s.Because))
		}
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

func TestAControllerStopsFromTheAddressDownToItsClusters(t *testing.T) {
	units := maintain.StopOrder(replicated(t).Graph, "controller1")
	at := func(unit string) int {
		i := slices.Index(units, unit+".service")
		if i < 0 {
			t.Fatalf("%s does not stop: %q", unit, units)
		}
		return i
	}
	last := -1
	for _, unit := range []string{"keepalived", "nova-api", "neutron-server", "keystone", "horizon", "mariadb", "haproxy", "etcd"} {
		if at(unit) < last {
			t.Errorf("%s is stopped too early: %q", unit, units)
		}
		last = at(unit)
	}
	for _, unit := range units {
		if strings.Contains(unit, "mount") || strings.Contains(unit, "registry") {
			t.Errorf("%s stops", unit)
		}
	}
}
