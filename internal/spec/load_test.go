package spec

import (
	"os"
	"path/filepath"
	"testing"
)

func TestExamplesAreWithoutFault(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, path := range files {
		c, faults := Load(path, Options{})
		if len(faults) > 0 {
			t.Errorf("%s:\n%v", path, faults.Error())
		}
		if c != nil && len(c.Files) != 1 {
			t.Errorf("%s: files %v", path, c.Files)
		}
	}
}

func TestStarterIsWithoutFault(t *testing.T) {
	for _, name := range []string{"hello", "my-cloud", "Not A Name"} {
		c, faults := Parse("cloud.yaml", Starter(name), Options{Set: []string{"count=5"}})
		if len(faults) > 0 {
			t.Fatalf("%s:\n%v", name, faults.Error())
		}
		if len(c.Hosts) != 5 {
			t.Errorf("%s: %d hosts, want 5 of --set count=5", name, len(c.Hosts))
		}
	}
}

func TestMissingFileSaysHowToWriteOne(t *testing.T) {
	_, faults := Load(filepath.Join(t.TempDir(), "cloud.yaml"), Options{})
	if len(faults) != 1 || faults[0].Mend != "updraft init writes one" {
		t.Errorf("%v", faults)
	}
}

func TestTooLargeAFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	if err := os.WriteFile(path, make([]byte, maxBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	_, faults := Load(path, Options{})
	if len(faults) != 1 || faults[0].Summary != "cannot read the cloud file: it is larger than 10 MiB" {
		t.Errorf("%v", faults)
	}
}
