package compile_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
)

// withControllers compiles the example with so many controllers, on local storage.
func withControllers(t *testing.T, n string) *compile.Output {
	t.Helper()
	text, err := os.ReadFile("../../examples/openstack-ha.yaml")
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), "    count: 3\n", "    count: "+n+"\n", 1)
	out, diags := compileText(t, "cloud.yaml", []byte(changed))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return out
}

func TestAControllerLeavesBeforeOthersChangeAndItsMachineGoes(t *testing.T) {
	w, s := enginetest.NewWorld(nil), statedir.Open(t.TempDir())
	apply := func(out *compile.Output) []string {
		t.Helper()
		w.Log = nil
		e := engine.New(out.Graph, s, w, nil, engine.Options{})
		p, err := e.Plan(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if r, err := e.Apply(t.Context(), p, nil); err != nil || r.Err() != nil {
			t.Fatal(err, r.Err())
		}
		return w.Log
	}
	apply(withControllers(t, "5"))
	log := apply(withControllers(t, "3"))
	at := func(what string) int {
		i := slices.IndexFunc(log, func(line string) bool { return line == "remove "+what })
		if i < 0 {
			t.Errorf("%s was not removed:\n%s", what, strings.Join(log, "\n"))
		}
		return i
	}
	left := max(at("members/member:controller4"), at("members/member:controller5"))
	for _, part := range []string{"mariadb", "etcd", "rabbitmq"} {
		if i := slices.IndexFunc(log, func(line string) bool { return strings.HasSuffix(line, "controller1/container:"+part) }); i >= 0 && i < left {
			t.Errorf("%s of controller1 was changed before the others had left", part)
		}
	}
	for _, gone := range []string{"controller4", "controller5"} {
		machine := at("machine:" + gone)
		if machine < left {
			t.Errorf("the machine of %s went before its members", gone)
		}
		if at("openstack/controller:"+gone) < machine {
			t.Errorf("what the API knows of %s went before its machine, which makes it anew", gone)
		}
	}
}
