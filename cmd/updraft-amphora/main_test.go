package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMistakesAreSaid(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "boot.json")
	if err := os.WriteFile(broken, []byte(`{"AmphoraID": "a"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for line, want := range map[string]string{"": "no such file", "--config /no/such": "/no/such", "--config " + broken: "must be given", "--no": "not defined"} {
		if err := run(t.Context(), strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}
