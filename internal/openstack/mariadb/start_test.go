package mariadb

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestAServerBeginsOnlyWhereNobodyDid(t *testing.T) {
	const never, last, other = "", "seqno: 7\nsafe_to_bootstrap: 1\n", "seqno: 7\nsafe_to_bootstrap: 0\n"
	for _, c := range []struct {
		name, role, state, known string
		begins                   bool
	}{
		{"the first of a new cloud", "first", never, "1", true},
		{"the first, with a new disk, of a cloud that has begun", "first", never, "0", false},
		{"another of a new cloud", "other", never, "1", false},
		{"another with a new disk", "other", never, "0", false},
		{"who left last in order", "other", last, "0", true},
		{"who did not leave last", "first", other, "1", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			begun := filepath.Join(dir, "begun.sh")
			if err := os.WriteFile(begun, []byte("exit "+c.known+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.state != "" {
				if err := os.WriteFile(filepath.Join(dir, "grastate.dat"), []byte(c.state), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			// Nothing listens for Galera at the other's address.
			out, err := exec.Command("bash", "start.sh", dir, filepath.Join(dir, "order"), "127.0.0.1", c.role, begun, "leaf", "ca", "urls", "echo", "started").CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			if begins := strings.Contains(string(out), "started --wsrep-new-cluster"); begins != c.begins {
				t.Errorf("begins: %v\n%s", begins, out)
			}
		})
	}
}
