package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// backupRestore makes a project, keeps it in a backup, deletes it, and has it again.
func backupRestore(t *testing.T, c *cloud) {
	client := c.client(t)
	file := filepath.Join(t.TempDir(), "cloud.age")
	client("project", "create", "kept")
	out := c.run("backup", "--images", "-o", file)
	t.Logf("the backup took %s\n%s", out.took, out.stderr)
	data, err := os.ReadFile(file)
	if err != nil || !strings.HasPrefix(string(data), "age-encryption.org/v1\n") {
		t.Fatalf("it is not encrypted: %v", err)
	}
	c.run("backup", "--verify", file)
	cut := filepath.Join(t.TempDir(), "cut.age")
	if err := os.WriteFile(cut, data[:len(data)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	c.fails(1, "is not a whole backup", "backup", "--verify", cut)
	c.fails(1, "is not a whole backup", "restore", "--yes", cut)
	c.fails(1, "updraft knows "+c.name+" already", "restore", "--state-only", file)
	client("project", "delete", "kept")
	c.run("exec", "controller1", "--", "sh", "-c", "rm /var/lib/updraft/glance/images/*")
	out = c.run("restore", "--yes", file)
	t.Logf("restoring took %s", out.took)
	out = c.run("apply")
	t.Logf("until services answered again it took %s", out.took)
	c.run("exec", "controller1", "--", "sh", "-c", "test $(ls /var/lib/updraft/glance/images | wc -l) -ge 3")
	if list := client("project", "list"); !strings.Contains(list, " kept ") {
		t.Errorf("the project is not back:\n%s", list)
	}
}
