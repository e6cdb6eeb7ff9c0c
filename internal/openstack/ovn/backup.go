package ovn

import (
	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// stores are both databases. Only the northbound one is put back: northd makes the
// southbound one of it, and what else is in that (which chassis there are, what they
// have learned) is about the hosts of its time.
//
// Source: ovsdb-client(1), "Testing Commands" (backup, restore).
func stores(*stack.Deployment) []backup.Store {
	var out []backup.Store
	for _, db := range databases() {
		s := backup.Store{Name: db.container() + ".db", Cluster: db.container()}
		s.Save = func(string) string {
			return stack.Inside(db.container(), transport.Quote("ovsdb-client", "--no-leader-only", "backup", "unix:"+db.socket(), db.schema))
		}
		if db.short == "nb" {
			s.Load = func(string) string { // ovsdb-client goes back and forth in what it reads
				restore := stack.Inside(db.container(), transport.Quote("ovsdb-client", "restore", "unix:"+db.socket(), db.schema))
				return `f=$(mktemp -p /var/tmp) && trap 'rm -f "$f"' EXIT && cat >"$f" && { ` + restore + `; } <"$f"`
			}
		}
		out = append(out, s)
	}
	return out
}
