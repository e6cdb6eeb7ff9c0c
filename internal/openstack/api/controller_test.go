package api_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
)

func TestAControllersServicesAreForgottenWhenItHasGone(t *testing.T) {
	w := newWorld(t, false)
	w.AddHost("compute1")
	for _, host := range []string{"controller1", "controller3"} {
		for _, binary := range []string{"nova-conductor", "nova-scheduler"} {
			w.Add("compute_services", map[string]any{"binary": binary, "host": host, "state": "down", "status": "enabled"})
		}
	}
	before := known(w, "controller1") + known(w, "compute1")
	n := api.Node(&api.Controller{Name: "controller3", Outlives: []string{"machine:controller3"}})
	rec := engine.Record{ID: n.ID, Kind: n.Kind, Key: n.Key, Scope: n.Scope, Guarded: n.Guarded, Removal: n.Body.Removal()}
	if strings.Count(known(w, "controller3"), "\n") != 1 {
		t.Fatalf("known is:\n%s", known(w, "controller3"))
	}
	for range 2 {
		if err := w.x.Object(t.Context(), rec); err != nil {
			t.Fatal(err)
		}
		if err := w.x.Remove(t.Context(), rec, nil); err != nil {
			t.Fatal(err)
		}
		if left := known(w, "controller3"); left != "" {
			t.Fatalf("left:\n%s", left)
		}
	}
	if after := known(w, "controller1") + known(w, "compute1"); after != before {
		t.Errorf("of others is known:\n%s\nbefore:\n%s", after, before)
	}
}
