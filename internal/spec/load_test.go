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

func TestIncludesAreReadFromDiskRelativeToTheIncludingFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cloud.yaml", "version: 1\ncloud: x\ninclude: [parts/networks.yaml]\ngroups: {web: {count: 2}}\n")
	write("parts/networks.yaml", "include: [more.yaml]\nnetworks: {mgmt: {cidr: 10.88.0.0/24}}\n")
	write("parts/more.yaml", "domain: more.example\ncloud: other\n")
	path := filepath.Join(dir, "cloud.yaml")
	c, faults := Load(path, Options{})
	if len(faults) > 0 {
		t.Fatal(faults.Error())
	}
	if c.Name != "x" || c.Domain != "more.example" || len(c.Files) != 3 || c.Files[0] != path || c.Networks[0].Pos.File != filepath.Join(dir, "parts/networks.yaml") {
		t.Errorf("%+v", c)
	}
	before := c.Digest
	write("parts/more.yaml", "domain: other.example\n")
	if c, _ = Load(path, Options{}); c.Digest == before {
		t.Error("the digest does not cover included files")
	}
}

func TestDevicesAndDirectoriesAreNotIncluded(t *testing.T) {
	for _, name := range []string{"/dev/zero", t.TempDir()} {
		_, faults := Parse("cloud.yaml", []byte("version: 1\ncloud: x\ninclude: ["+name+"]\ngroups: {}\n"), Options{})
		if len(faults) != 1 || faults[0].Summary != "cannot include "+name+": it is not a regular file" {
			t.Errorf("%s: %v", name, faults.Error())
		}
	}
}

func TestSettingsArePartOfTheDigest(t *testing.T) {
	digest := func(set ...string) string {
		c, faults := Parse("cloud.yaml", Starter("x"), Options{Set: set})
		if faults.HasErrors() {
			t.Fatal(faults.Error())
		}
		return c.Digest
	}
	plain, again := digest(), digest()
	if plain != again || digest("count=3") == plain || digest("count=3") == digest("count=4") {
		t.Error("the digest does not follow from file and settings")
	}
}
