package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMistakesAreSaid(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "guard.json")
	if err := os.WriteFile(broken, []byte(`{"host": "a"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{
		"": "say the file", "/no/such": "/no/such", broken: "listen and etcd must be given",
		"hold": "say the file", "hold /no/such true": "/no/such", "hold " + broken + " true": "key and etcd must be given",
	} {
		if err := run(t.Context(), strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}
