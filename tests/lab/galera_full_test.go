package lab_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// room is what the member with a small disk has: its tables, Galera's cache of
// 128 MiB, and some more.
const room = "700m"

// write stores rows of a megabyte, each as often as it takes, and fails when that does
// not end. It returns how long the slowest took.
func (m *member) write(from, to int) (slowest time.Duration, err error) {
	ctx, stop := context.WithTimeout(m.b.t.Context(), 3*time.Minute)
	defer stop()
	for n := from; n < to; n++ {
		q := fmt.Sprintf("INSERT IGNORE INTO updraft.big VALUES (%d, REPEAT('x', 1000000))", n)
		words := transport.Quote("root", "mariadb", "--no-defaults", "--skip-ssl", "--socket=/var/lib/updraft/mariadb/mariadb.sock", "--execute="+q)
		for began := time.Now(); ; {
			out, err := m.command(ctx, controllerRoot+words).CombinedOutput()
			if slowest = max(slowest, time.Since(began)); err == nil {
				break
			}
			if ctx.Err() != nil {
				return slowest, fmt.Errorf("row %d: %w: %s", n, err, lastLines(string(out)))
			}
		}
	}
	return slowest, nil
}

// TestAFullDiskIsOneMembersTrouble fills the disk of a member while it is one of two
// that could give a third its data.
func TestAFullDiskIsOneMembersTrouble(t *testing.T) {
	all := trio(t)
	a, full, c := all[0], all[1], all[2]
	disk := filepath.Join(full.b.dir, full.name, "var", "mariadb")
	small := transport.Quote("mount", "-t", "tmpfs", "-o", "size="+room, "tmpfs", disk)
	if out, err := full.b.run("-euc", small); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	full.as("root", "chown", "mysql:", "/var/lib/updraft/mariadb")
	raise(t, all)
	a.query("CREATE TABLE IF NOT EXISTS updraft.big (n INT PRIMARY KEY, x LONGTEXT)")
	insert(t, 1, a, all...)

	// Nothing is left on the disk, and the third comes back with an empty one.
	full.as("mysql", "sh", "-c", "cat /dev/zero >/var/lib/updraft/mariadb/ballast; true")
	c.cut()
	if out, err := c.b.run("-euc", transport.Quote("rm", "-rf", filepath.Join(c.b.dir, c.name, "var", "mariadb", "data"))); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	c.as("mysql", "mkdir", "/var/lib/updraft/mariadb/data")
	c.power()
	// When the full one dies before the third is back, one of three is left, which
	// must take nothing until then.
	slowest, err := a.write(0, 60)
	if err != nil {
		t.Errorf("the others do not take writes: %v", err)
	}
	t.Logf("60 MB were written; the slowest of them took %s", slowest.Round(100*time.Millisecond))
	c.eventually("serves with all data", c.serves)
	insert(t, 2, a, a, c)
	t.Logf("the full one serves: %v", full.serves())

	// There is room again.
	full.as("mysql", "rm", "/var/lib/updraft/mariadb/ballast")
	full.eventually("serves when there is room", full.serves)
	insert(t, 3, a, all...)
	for _, m := range all {
		if n := m.query("SELECT COUNT(*) FROM updraft.big"); n != "60" {
			t.Errorf("%s has %s of 60 rows", m.name, n)
		}
	}
}
