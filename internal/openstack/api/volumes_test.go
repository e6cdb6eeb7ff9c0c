package api_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
)

func TestCinderWithVolumesIsNotRemoved(t *testing.T) {
	w := newWorld(t, false)
	n := api.Node(&api.Volumes{})
	if !n.Guarded {
		t.Fatal("nobody is asked before it is removed")
	}
	rec := engine.Record{ID: n.ID, Kind: n.Kind, Key: n.Key, Scope: n.Scope, Guarded: true, Removal: n.Body.Removal()}
	if err := w.x.Object(t.Context(), rec); err != nil {
		t.Errorf("there is no such service: %v", err)
	}
	w.Register("cinder", "block-storage", "/block-storage")
	w.restart()
	if err := w.x.Object(t.Context(), rec); err != nil {
		t.Errorf("there are no volumes: %v", err)
	}
	w.AddVolume("data", "available")
	for what, ask := range map[string]func() error{
		"a plan": func() error { return w.x.Object(t.Context(), rec) }, "an apply": func() error { return w.x.Seal(t.Context(), rec) },
	} {
		if err := ask(); err == nil || !strings.Contains(err.Error(), "data (") || !strings.Contains(err.Error(), "available") {
			t.Errorf("%s says %v", what, err)
		}
	}
	if err := w.x.Remove(t.Context(), rec, nil); err != nil {
		t.Error(err)
	}
}
