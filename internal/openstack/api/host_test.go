package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
)

// hosts is a cloud with three hosts of servers, one of which is called like a part
// of another.
func hosts(t *testing.T) (w *world, provider string, rec engine.Record) {
	t.Helper()
	w = newWorld(t, false)
	w.AddHost("compute1")
	w.AddHost("compute22")
	provider = w.AddHost("compute2")
	n := api.Node(&api.Host{Name: "compute2", Provider: provider, Outlives: []string{"machine:compute2"}})
	if !n.Guarded || !slices.Equal(n.Outlives, []string{"machine:compute2"}) {
		t.Errorf("the node is %+v", n)
	}
	return w, provider, engine.Record{ID: n.ID, Kind: n.Kind, Key: n.Key, Scope: n.Scope, Guarded: true, Removal: n.Body.Removal()}
}

// known renders what the services know of the host.
func known(w *world, host string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(w.String(), "\n"), func(line string) bool {
		return !strings.Contains(line, `"`+host+`"`) || strings.HasPrefix(line, "servers")
	}), "\n")
}

func TestAHostIsForgottenWhenItHasGone(t *testing.T) {
	w, _, rec := hosts(t)
	for _, other := range []string{"compute1", "compute22"} {
		defer func(before string) {
			if now := known(w, other); now != before {
				t.Errorf("of another host is known:\n%s\nbefore:\n%s", now, before)
			}
		}(known(w, other))
	}
	if err := w.x.Object(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if err := w.x.Seal(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(known(w, "compute2"), "\n") + 1; n != 5 || !strings.Contains(known(w, "compute2"), `"status":"disabled"`) {
		t.Errorf("%d things are known:\n%s", n, known(w, "compute2"))
	}
	for range 2 {
		if err := w.x.Remove(t.Context(), rec, nil); err != nil {
			t.Fatal(err)
		}
		if left := known(w, "compute2"); left != "" {
			t.Fatalf("left:\n%s", left)
		}
	}
}

func TestForgettingAHostIsFinishedByTheNextRun(t *testing.T) {
	for k := 1; ; k++ {
		w, provider, rec := hosts(t)
		w.Claim(provider, "00000000-0000-4000-8000-00000000dead") // a migration's, which Nova leaves behind
		w.SetWhere("providers", "id", provider, map[string]any{"allocations": map[string]any{}})
		w.CutAfter(k)
		_ = w.x.Remove(t.Context(), rec, nil) // as far as it comes
		was := w.Mend()
		w.restart()
		if err := w.x.Remove(t.Context(), rec, nil); err != nil || known(w, "compute2") != "" {
			t.Fatalf("cut off after %d changes: %v, left:\n%s", k, err, known(w, "compute2"))
		}
		if !was {
			return
		}
	}
}

func TestAHostWithServersIsNotRemoved(t *testing.T) {
	for _, c := range []struct {
		reason string
		add    func(w *world, provider string)
		want   []string
	}{
		{"a server that runs there", func(w *world, _ string) {
			w.Add("servers", map[string]any{"name": "web", "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "compute2"})
		}, []string{"on compute2 there is a server: web (", ", ACTIVE)", "server delete", "server evacuate", "back into the cloud file"}},
		{"more of them than can be read", func(w *world, _ string) {
			for i := range 12 {
				w.Add("servers", map[string]any{"name": fmt.Sprint("web", i), "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "compute2"})
			}
		}, []string{"there are servers: web0 (", "web9 (", "), and 2 more. "}},
		{"one that the scheduler has sent on its way", func(w *world, provider string) {
			w.Claim(provider, w.Add("servers", map[string]any{"name": "coming", "status": "MIGRATING", "OS-EXT-SRV-ATTR:host": nil}))
		}, []string{"there is a server: coming (", ", MIGRATING)"}},
		{"one that was evacuated is elsewhere", func(w *world, provider string) {
			w.Claim(provider, w.Add("servers", map[string]any{"name": "moved", "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "compute1"}))
		}, nil},
		{"those of other hosts are theirs", func(w *world, _ string) {
			w.Add("servers", map[string]any{"name": "web", "status": "ACTIVE", "OS-EXT-SRV-ATTR:host": "compute22"})
		}, nil},
		{"what is set aside for nobody is nobody's", func(w *world, provider string) {
			w.Claim(provider, "00000000-0000-4000-8000-00000000dead")
		}, nil},
	} {
		t.Run(c.reason, func(t *testing.T) {
			w, provider, rec := hosts(t)
			c.add(w, provider)
			before := w.String()
			for name, ask := range map[string]func() error{
				"plan": func() error { return w.x.Object(t.Context(), rec) }, "apply": func() error { return w.x.Seal(t.Context(), rec) },
			} {
				err := ask()
				if (err != nil) != (c.want != nil) {
					t.Errorf("%s: %v", name, err)
				}
				for _, want := range c.want {
					if err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("%s does not say %q: %v", name, want, err)
					}
				}
			}
			if c.want != nil && w.String() != before {
				t.Errorf("the cloud was changed:\n%s\nbefore:\n%s", w, before)
			}
		})
	}
}

func TestASealedHostThatStaysTakesServersAgain(t *testing.T) {
	w, provider, rec := hosts(t)
	n := api.Node(&api.Host{Name: "compute2", Provider: provider})
	if r := w.observe(n)[0]; !r.Agrees() {
		t.Fatalf("%+v", r)
	}
	if err := w.x.Seal(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	w.restart()
	if r := w.observe(n)[0]; r.Status != drift.Differs {
		t.Fatalf("%+v", r)
	}
	w.mustApply(n)
	// What an operator has disabled stays so.
	w.SetWhere("compute_services", "host", "compute2", map[string]any{"status": "disabled", "disabled_reason": "a fan is broken"})
	w.restart()
	if r := w.observe(n)[0]; !r.Agrees() {
		t.Errorf("%+v", r)
	}
	if err := w.x.Seal(t.Context(), rec); err != nil || !strings.Contains(known(w, "compute2"), "a fan is broken") {
		t.Errorf("%v\n%s", err, known(w, "compute2"))
	}
}

func TestAHostThatHasJustDiedIsSealedThoughNovaWaitsForIt(t *testing.T) {
	w, _, rec := hosts(t)
	w.LoseAnswers(1)
	if err := w.x.Seal(t.Context(), rec); err != nil || !strings.Contains(known(w, "compute2"), `"status":"disabled"`) {
		t.Errorf("%v\n%s", err, known(w, "compute2"))
	}
}

func TestOfAHostThatNobodyKnowsThereIsNothingToRemove(t *testing.T) {
	w := newWorld(t, true) // Nova is not registered yet
	n := api.Node(&api.Host{Name: "compute2"})
	rec := engine.Record{ID: n.ID, Kind: n.Kind, Scope: n.Scope, Guarded: true, Removal: n.Body.Removal()}
	for name, err := range map[string]error{
		"object": w.x.Object(t.Context(), rec), "seal": w.x.Seal(t.Context(), rec), "remove": w.x.Remove(t.Context(), rec, nil),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.Down("identity", 503)
	w.restart()
	if err := w.x.Object(t.Context(), rec); err == nil || !strings.Contains(err.Error(), "cannot be seen") {
		t.Errorf("without an answer: %v", err)
	}
}
