package work

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/spec"
)

func TestW100Is100Things(t *testing.T) {
	w := W100()
	if w.Count() != 100 {
		t.Errorf("there are %d things", w.Count())
	}
	for _, f := range w.Files[:60] {
		if len(f.Content) != 1000 || !strings.Contains(f.Content, Host) {
			t.Errorf("%s has %d bytes, with the host's name: %v", f.Path, len(f.Content), strings.Contains(f.Content, Host))
		}
	}
}

func TestCloudFileIsValidAndHoldsTheWork(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cloud.yaml")
	c := Cloud{Name: "bench", CIDR: "10.89.64.0/22", Hosts: 20, Control: true, Packages: "jq", Work: W100()}
	if err := os.WriteFile(path, []byte(c.File()), 0o600); err != nil {
		t.Fatal(err)
	}
	cloud, diags := spec.Load(path, spec.Options{})
	if diags.HasErrors() {
		t.Fatal(diags.Error())
	}
	if len(cloud.Hosts) != 21 || len(cloud.Host("h20").Resources) != 100 || len(cloud.Host("ctl").Resources) != 0 {
		t.Errorf("%d hosts, %d things on h20, %d on ctl", len(cloud.Hosts), len(cloud.Host("h20").Resources), len(cloud.Host("ctl").Resources))
	}
}

func TestEveryToolIsToldOfEveryThing(t *testing.T) {
	w := W100()
	for tool, text := range map[string]string{
		"check": w.Check("h1"), "ansible": w.Playbook(), "cfengine": w.Policy(), "puppet": w.Manifest(), "updraft": Cloud{Work: w}.File(),
	} {
		names := append(append([]string{}, w.Dirs...), w.Packages...)
		for _, f := range w.Files {
			names = append(names, f.Path)
		}
		for _, u := range w.Users {
			names = append(names, u.Name)
		}
		for _, u := range w.Units {
			names = append(names, strings.TrimSuffix(u, ".service"))
		}
		for _, n := range names {
			if !strings.Contains(text, n) {
				t.Errorf("%s knows nothing of %s", tool, n)
			}
		}
		if strings.Contains(text, Host) {
			t.Errorf("%s leaves %s in place", tool, Host)
		}
	}
}

// TestCheckTellsAHostThatIsNotAsWanted runs the script on this computer, which
// has none of the files.
func TestCheckTellsAHostThatIsNotAsWanted(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "sh")
	cmd.Stdin = strings.NewReader(W100().Check("h1"))
	out, err := cmd.CombinedOutput()
	if err == nil || strings.TrimSpace(string(out)) != "files differ" {
		t.Errorf("got %v, %q", err, out)
	}
}
