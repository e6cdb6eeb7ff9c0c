package stack_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/resource/command"
)

// release knows the heads of no database when unknown is set.
type release struct {
	stacktest.Release
	unknown bool
}

func (r release) Head(db string) []string {
	if r.unknown {
		return nil
	}
	return []string{"b2", "a1"}
}

// schema returns the job that syncs the database "shop".
func schema(t *testing.T, unknown bool) *command.Resource {
	t.Helper()
	d := stacktest.Deployment(t, stacktest.Small)
	d.Release = release{unknown: unknown}
	b := d.On(d.First(), "shop")
	ref := b.Schema(stack.Schema{Job: stack.Job{Image: "openstack", User: "nova", Run: []string{"shop-manage", "sync"}}, Database: "shop", Witness: "orders"})
	if ref != "command:shop schema" {
		t.Errorf("the reference is %s", ref)
	}
	return b.Items()[0].Resource.(*command.Resource)
}

// database stands for MariaDB behind nsenter: it answers by the query, and keeps
// what it was asked to change.
const database = `#!/bin/sh
for last; do :; done
case "$last" in
*information_schema*) cat "$DIR/tables" ;;
*EXISTS*) cat "$DIR/rows" ;;
*"SHOW CREATE"*) printf 'shop\tCREATE DATABASE shop\n' ;;
*"DROP DATABASE"*) echo dropped >>"$DIR/log" ;;
*version_num*) cat "$DIR/versions" ;;
*) echo "made by $(cat)" >>"$DIR/log"; : >"$DIR/broken.cured" ;;
esac
`

// podman runs the sync: it fails on what an interrupted one has left behind.
const podman = `#!/bin/sh
test "$1" = run || exit 1
echo sync >>"$DIR/log"
test ! -e "$DIR/broken" || test -e "$DIR/broken.cured"
`

func TestAnInterruptedFirstSyncIsCuredAndNothingElse(t *testing.T) {
	for name, c := range map[string]struct {
		tables, rows  string // "" for a database that does not answer
		broken, fails bool
		want          string
	}{
		"a sync that works is all":               {"0", "", false, false, "sync\n"},
		"without the witness it is made anew":    {"0", "", true, false, "sync\ndropped\nmade by CREATE DATABASE shop\nsync\n"},
		"with an empty witness it is made anew":  {"1", "0", true, false, "sync\ndropped\nmade by CREATE DATABASE shop\nsync\n"},
		"with rows in the witness it is left":    {"1", "1", true, true, "sync\n"},
		"what cannot be asked is left":           {"", "", true, true, "sync\n"},
		"a witness that cannot be read is no no": {"1", "", true, true, "sync\n"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "nsenter", database, 0o755)
			write(t, dir, "podman", podman, 0o755)
			write(t, dir, "timeout", "#!/bin/sh\nshift\nexec \"$@\"\n", 0o755)
			write(t, dir, "tables", c.tables, 0o644)
			write(t, dir, "rows", c.rows, 0o644)
			write(t, dir, "pid", "1", 0o644)
			if c.broken {
				write(t, dir, "broken", "", 0o644)
			}
			script := strings.ReplaceAll(schema(t, false).Script, stack.RunRoot+"/mariadb.pid", dir+"/pid")
			err := shell(t, dir, "-euc", script)
			if (err != nil) != c.fails {
				t.Errorf("it ended with %v", err)
			}
			got, _ := os.ReadFile(filepath.Join(dir, "log"))
			if diff := cmp.Diff(c.want, string(got)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestASchemaIsDoneWhenItHasTheHeads(t *testing.T) {
	for name, c := range map[string]struct {
		unknown  bool
		versions string
		note     string
		want     bool
	}{
		"all heads":                           {false, "a1\nb2\n", "", true},
		"one of two heads":                    {false, "a1\n", "", false},
		"no table, no answer":                 {false, "", "", false},
		"unknown heads, as noted":             {true, "a1\n", "localhost/updraft/openstack:test a1 ", true},
		"unknown heads, noted by other image": {true, "a1\n", "localhost/updraft/openstack:old a1 ", false},
		"unknown heads, no note":              {true, "a1\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "nsenter", database, 0o755)
			write(t, dir, "versions", c.versions, 0o644)
			write(t, dir, "pid", "1", 0o644)
			if c.note != "" {
				write(t, dir, "schema-shop", c.note, 0o644)
			}
			guard := strings.NewReplacer(stack.RunRoot+"/mariadb.pid", dir+"/pid", stack.DataRoot+"/schema-shop", dir+"/schema-shop").Replace(schema(t, c.unknown).Unless)
			if got := shell(t, dir, "-c", guard) == nil; got != c.want {
				t.Errorf("done is %v, want %v: %s", got, c.want, guard)
			}
		})
	}
}

func write(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// shell runs text with the programs in dir before those of the system.
func shell(t *testing.T, dir, flags, text string) error {
	t.Helper()
	c := exec.CommandContext(t.Context(), "/bin/sh", flags, text)
	c.Env = []string{"PATH=" + dir + ":/usr/bin:/bin", "DIR=" + dir}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Logf("%v: %s", err, out)
	}
	return err
}
