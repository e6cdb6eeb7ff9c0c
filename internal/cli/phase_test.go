package cli

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/secret"
)

func TestEachRunOfTheWholeEndsOnePhaseAndSaysWhatIsNext(t *testing.T) {
	a, _, errs := talker()
	dir := t.TempDir()
	opts := secret.Options{Cloud: "web", Dir: dir, Identity: secret.Identity{Path: filepath.Join(dir, secret.IdentityName)}}
	open := func() *secret.Store {
		t.Helper()
		store, err := secret.Open(opts)
		if err != nil {
			t.Fatal(err)
		}
		return store
	}
	store := open()
	store.CA()
	if err := store.Rotate(secret.CAName); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, want := range [][]string{
		{"Done: phase 1 of 3", "Next: phase 2 of 3", "needs the new ca.pem"}, {"Done: phase 2 of 3", "Next: phase 3 of 3"}, {"Done: phase 3 of 3"}, nil,
	} {
		errs.Reset()
		if err := (&session{a: a, vault: open()}).endPhase(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, text := range want {
			if !strings.Contains(errs.String(), text) {
				t.Errorf("%q is missing in %q", text, errs)
			}
		}
		if n := strings.Count(errs.String(), "phase"); n > 2*len(want) || want == nil && errs.Len() > 0 {
			t.Errorf("it says %q", errs)
		}
	}
	if err := (&session{a: a}).endPhase(t.Context()); err != nil {
		t.Errorf("a cloud without secrets: %v", err)
	}
	other, stale := open(), open()
	other.Password("x")
	if err := stale.Rotate(secret.CAName); err != nil {
		t.Fatal(err)
	}
	if err := other.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := (&session{a: a, vault: stale}).endPhase(t.Context()); err == nil || !strings.Contains(err.Error(), "cannot be noted") {
		t.Errorf("another updraft has saved since: %v", err)
	}
}
