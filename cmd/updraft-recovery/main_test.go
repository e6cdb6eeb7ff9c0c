package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMistakesOnTheCommandLineAreSaid(t *testing.T) {
	for line, want := range map[string]string{
		"":                        "say watch or guard",
		"look":                    "say watch or guard",
		"guard":                   "guard needs the addresses",
		"watch /x":                "watch needs the authorities",
		"watch -ca /x":            "watch needs the authorities",
		"watch -ca /x /no/such":   "/no/such",
		"watch -no-such /no/more": "no-such",
	} {
		if err := run(t.Context(), t.Output(), strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}

func TestAllServersAreKilledAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"updraft-server-x-1.scope", "updraft-server-x-2.scope", "libpod-3.scope"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name, "cgroup.kill"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := killAll(filepath.Join(dir, filepath.Base(servers))); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"updraft-server-x-1.scope": "1", "updraft-server-x-2.scope": "1", "libpod-3.scope": ""} {
		got, err := os.ReadFile(filepath.Join(dir, name, "cgroup.kill"))
		if err != nil || string(got) != want {
			t.Errorf("%s: %q %v, want %q", name, got, err, want)
		}
	}
}

func TestWhatWasEndedIsRemembered(t *testing.T) {
	file := filepath.Join(t.TempDir(), "run", "ended")
	for _, yes := range []bool{true, true, false} {
		if err := remember(file, yes); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(file); (err == nil) != yes {
			t.Errorf("after %t: %v", yes, err)
		}
	}
}
