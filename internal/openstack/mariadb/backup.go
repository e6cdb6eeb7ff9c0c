package mariadb

import (
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/backup"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// stores are the databases of all services as one dump: one snapshot of InnoDB, so
// that they agree with each other. Accounts are not in it: they follow from the
// cloud's secrets.
//
// Source: mariadb-dump(1), "--single-transaction".
func stores(d *stack.Deployment) []backup.Store {
	var databases []string
	for _, s := range d.Services {
		for _, db := range s.Databases {
			if !slices.Contains(databases, db.Name) {
				databases = append(databases, db.Name)
			}
		}
	}
	return []backup.Store{{
		Name: "mariadb.sql.gz", Cluster: clusters(d)[0].Name,
		Save: func(string) string { return bash(dump(d, databases)) },
		Load: func(string) string {
			return bash("gzip -dc | { " + stack.Inside(name, transport.Quote(client()...)) + "; }")
		},
	}}
}

// bash runs a script of which every part has to succeed.
func bash(script string) string { return transport.Quote("bash", "-o", "pipefail", "-ec", script) }

// client signs in as root, and runs what it reads.
func client() []string {
	return []string{"mariadb", "--no-defaults", "--skip-ssl", "--socket=" + stack.DatabaseSocket, "--batch", "--max-allowed-packet=1G"}
}

// dump is the shell text of a dump. A server of several leaves the flow control of
// the others meanwhile, so that clients wait for nothing.
//
// Source: Galera's documentation, "wsrep_desync".
func dump(d *stack.Deployment, databases []string) string {
	words := append([]string{
		"mariadb-dump", "--no-defaults", "--skip-ssl", "--socket=" + stack.DatabaseSocket,
		"--single-transaction", "--quick", "--routines", "--triggers", "--hex-blob", "--add-drop-database", "--max-allowed-packet=1G", "--databases",
	}, databases...)
	text := "{ " + stack.Inside(name, transport.Quote(words...)) + "; } | gzip -1"
	if !replicated(d) {
		return text
	}
	set := func(to string) string {
		return stack.Inside(name, transport.Quote(query("SET GLOBAL wsrep_desync = "+to)...))
	}
	return strings.Join([]string{
		fmt.Sprintf("back() { %s; }", set("OFF")), "trap back EXIT", "trap 'exit 1' HUP INT TERM PIPE", set("ON"), text,
	}, "\n")
}
