package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/keystone/keyring"
)

func TestMistakesOnTheCommandLineAreSaid(t *testing.T) {
	for line, want := range map[string]string{
		"":                        "say apply or check",
		"rotate":                  "say apply or check",
		"apply":                   "apply needs the file",
		"check a b":               "check needs the file",
		"apply -at noon /x":       "noon",
		"check /no/such":          "/no/such",
		"apply -no-such /no/more": "no-such",
	} {
		if err := run(t.Output(), strings.Fields(line)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", line, err, want)
		}
	}
}

func TestARotationIsSaidWithItsTimes(t *testing.T) {
	dir := t.TempDir()
	r := keyring.Repository{
		Name: "keystone-fernet", Dir: filepath.Join(dir, "keys"), Group: os.Getgid(), Period: 86400, Keep: 3600,
		Masters: []string{strings.Repeat("A", 43) + "=", strings.Repeat("B", 42) + "A="},
	}
	file := filepath.Join(dir, "keys.json")
	if err := os.WriteFile(file, []byte(keyring.Config{Repositories: []keyring.Repository{r}}.Encode()), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(r.Dir, 0o750); err != nil {
		t.Fatal(err)
	}
	const evening, morning = "2026-11-21T20:00:00Z", "2026-11-22T08:00:00Z"
	do := func(line ...string) (string, error) {
		var out strings.Builder
		err := run(&out, append(line, file))
		return out.String(), err
	}
	if _, err := do("check", "-at", evening); err == nil {
		t.Error("there are no keys, and the check is content")
	}
	const said = "keystone-fernet: the primary key is that of 2026-11-21T00:00:00Z, the next one's turn comes at 2026-11-22T00:00:00Z\n"
	for _, want := range []string{said, ""} {
		if got, err := do("apply", "-at", evening); got != want || err != nil {
			t.Errorf("apply says %q, %v, want %q", got, err, want)
		}
	}
	if _, err := do("check", "-at", evening); err != nil {
		t.Error(err)
	}
	if _, err := do("check", "-at", morning); err == nil || !strings.Contains(err.Error(), "since 2026-11-22T00:00:00Z") {
		t.Errorf("the next morning: %v", err)
	}
}
