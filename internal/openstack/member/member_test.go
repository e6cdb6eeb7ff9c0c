package member_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/member"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// world is a cloud of controllers, some of which are down, that forget each other.
type world struct {
	t     *testing.T
	down  []string
	left  []string // their members took leave before
	known map[string]member.Controller
	did   []string
	// objects is what the service says on controllers that are asked whether others may go.
	objects map[string]string
}

// controllers returns a cloud file with so many.
func controllers(n int) string {
	return strings.NewReplacer("count: 3", fmt.Sprintf("count: %d", n), "workers: 2", "storage: {instances: local, images: local}").Replace(stacktest.Large)
}

// services are one that leaves, forgets, ends and clears.
func services() []stack.Service {
	return []stack.Service{{Name: "raft", Leaving: stack.Leaving{
		Leave: "leave\n", End: "end\n", Clear: "clear\n",
		Object: func(d *stack.Deployment) string { return fmt.Sprintf("object %d\n", len(d.Spec.Controllers)) },
		Forget: func(_ *stack.Deployment, _ *spec.Host, address string) string { return "forget " + address },
	}}}
}

func (w *world) run(_ context.Context, host, script string) (string, error) {
	if slices.Contains(w.down, host) {
		return "", errors.New("no route to host")
	}
	if strings.Contains(script, "is-active") && slices.Contains(w.left, host) {
		return "left\n", nil
	}
	if strings.HasPrefix(script, "object ") {
		return w.objects[host], nil
	}
	for _, word := range []string{"leave", "end\n", "clear", "forget"} {
		if i := strings.Index(script, word); i >= 0 {
			line, _, _ := strings.Cut(script[i:], "\n")
			w.did = append(w.did, host+": "+line)
			return "", nil
		}
	}
	return "serves\n\x1e", nil
}

// executor is one for a file of n controllers, where the state knows m.
func (w *world) executor(n, m int) (*member.Executor, func(string) engine.Record) {
	w.known = map[string]member.Controller{}
	for _, c := range member.Controllers(stacktest.Deployment(w.t, controllers(m))) {
		w.known[c.Name] = c
	}
	d := stacktest.Deployment(w.t, controllers(n), services()...)
	e := status.Ensemble{
		Name: "raft", Ask: func(string) string { return "ask" },
		Read: func(s string) status.Member { return status.Member{Serves: s == "serves", State: "away"} },
	}
	x := &member.Executor{D: d, Clusters: []status.Ensemble{e}, Run: w.run, Known: func() map[string]member.Controller { return w.known }}
	return x, func(name string) engine.Record {
		return engine.Record{ID: "members/member:" + name, Kind: member.Kind, Key: name, Scope: member.Scope, Removal: w.known[name].Removal()}
	}
}

func TestAControllerIsTakenOutOnlyWhereAMajorityStays(t *testing.T) {
	for _, c := range []struct {
		name     string
		from, to int
		down     []string
		refused  string
		left     []string
	}{
		{"one of three, all up", 3, 2, nil, "", nil},
		{"two of three, one after the other", 3, 1, nil, "", nil},
		{"two of five", 5, 3, nil, "", nil},
		{"a dead one", 3, 2, []string{"controller3"}, "", nil},
		{"two dead ones of five", 5, 3, []string{"controller4", "controller5"}, "", nil},
		{"one while another is down", 3, 2, []string{"controller2"}, "no majority left: of the 2 that stay, 1 serve (controller2: no route to host)", nil},
		{"two of three while one of them is down", 3, 1, []string{"controller3"}, "", nil},
		{"of two, the one that is down", 2, 1, []string{"controller2"}, "no majority, without which nobody leaves: 1 of 2 serve (controller2: no route to host)", nil},
		{"two dead ones of three", 3, 1, []string{"controller2", "controller3"}, "1 of 3 serve", nil},
		{"three of five, and one that stays is down", 5, 2, []string{"controller1"}, "of the 2 that stay, 1 serve", nil},
		{"of two, one whose members left in a run that was cut off", 2, 1, nil, "", []string{"controller2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &world{t: t, down: c.down, left: c.left}
			x, rec := w.executor(c.to, c.from)
			err := x.Object(t.Context(), rec(fmt.Sprintf("controller%d", c.from)))
			if c.refused == "" && err != nil || c.refused != "" && (err == nil || !strings.Contains(err.Error(), c.refused)) {
				t.Errorf("refused %q, expected %q", err, c.refused)
			}
			if len(w.did) > 0 {
				t.Errorf("asking did %q", w.did)
			}
		})
	}
}

func TestAServiceMayObject(t *testing.T) {
	for _, says := range []string{"controller1", "controller3"} { // one that stays, the one that goes
		w := &world{t: t, objects: map[string]string{says: "the other copies\nare not whole\n"}}
		x, rec := w.executor(2, 3)
		err := x.Object(t.Context(), rec("controller3"))
		if want := says + ": the other copies; are not whole. Nothing was changed"; err == nil || err.Error() != want {
			t.Errorf("refused %q, expected %q", err, want)
		}
	}
}

func TestAControllerLeavesIsForgottenAndClears(t *testing.T) {
	w := &world{t: t}
	x, rec := w.executor(2, 3)
	if err := x.Remove(t.Context(), rec("controller3"), func(string) {}); err != nil {
		t.Fatal(err)
	}
	want := []string{"controller3: leave", "controller1: forget 10.88.0.13", "controller3: end", "controller3: clear"}
	if diff := cmp.Diff(want, w.did); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestADeadControllerIsForgottenByOneThatAnswers(t *testing.T) {
	w := &world{t: t, down: []string{"controller3", "controller1"}}
	x, rec := w.executor(2, 3)
	if err := x.Remove(t.Context(), rec("controller3"), func(string) {}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"controller2: forget 10.88.0.13"}; !slices.Equal(w.did, want) {
		t.Errorf("did %q", w.did)
	}
	w.down, w.did = []string{"controller1", "controller2"}, nil
	if err := x.Remove(t.Context(), rec("controller3"), func(string) {}); err == nil {
		t.Error("nobody forgot it, and that is well")
	}
	if want := []string{"controller3: leave", "controller3: end"}; !slices.Equal(w.did, want) {
		t.Errorf("that nobody forgot did %q", w.did)
	}
}

func TestWhoIsDeadIsForgottenBeforeAnyoneLeaves(t *testing.T) {
	w := &world{t: t, down: []string{"controller2"}}
	x, rec := w.executor(1, 3)
	if err := x.Remove(t.Context(), rec("controller3"), func(string) {}); err != nil {
		t.Fatal(err)
	}
	want := []string{"controller1: forget 10.88.0.12", "controller3: leave", "controller1: forget 10.88.0.13", "controller3: end", "controller3: clear"}
	if diff := cmp.Diff(want, w.did); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAllControllersCannotBeReplacedAtOnce(t *testing.T) {
	w := &world{t: t}
	x, _ := w.executor(3, 3)
	gone := member.Controller{Name: "old", Address: "10.88.0.99"}
	w.known = map[string]member.Controller{"old": gone}
	err := x.Object(t.Context(), engine.Record{ID: "members/member:old", Kind: member.Kind, Removal: gone.Removal()})
	if err == nil || !strings.Contains(err.Error(), "no controller would stay") {
		t.Errorf("%v", err)
	}
}
