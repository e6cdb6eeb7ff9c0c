// Package mariadb is the database of all services.
//
// One controller runs MariaDB alone; with more, Galera replicates it, and HAProxy
// sends all clients to one of them at a time. A server that runs alone does not
// load Galera's library, which costs memory and writes everything twice; its data
// directory is one that Galera can begin a cluster with, so that controllers can be
// added later: the first one is restarted as a cluster of one, and the others copy
// its data one after the other. A guard on each controller tells HAProxy whether the
// server there may be written to, and brings the cluster back where Galera does not
// (package guard).
//
// Root is whoever is root on the controller, through the server's socket alone.
// All others sign in over TLS with a password of which the server, and the files
// on the host, only know the hash.
package mariadb

import (
	_ "embed"
	"fmt"
	"path"
	"slices"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

const (
	name  = "mariadb"
	image = "infra"
	user  = "mysql"
	// section is the part of the configuration that the user may override.
	section = "mariadbd"
)

// CheckUser is whom HAProxy signs in as to see whether a server that is alone works.
// It has no password, and may do nothing.
const CheckUser = "haproxy"

// The memory that a server takes on top of its some 100 MiB, and the clients it
// has room for: every process of a service keeps a few connections.
const (
	bufferPool     = "128M"
	maxConnections = 1000
)

// Ports of Galera. The port for copies of the whole data is rsync's.
const galeraPort = 4567

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Build: build, Clusters: clusters, Looks: looks, Stores: stores, Sections: []string{section}, Leaving: leaving(),
		Doc: "The database of all services (MariaDB), replicated by Galera when there is more than one controller.",
	}
}

// leaving stops the server in order: Galera then does without it. Without its notes
// it would copy all were it to come back, whatever it thinks to have.
func leaving() stack.Leaving {
	return stack.Leaving{
		Leave: "systemctl stop mariadb\n",
		Clear: fmt.Sprintf("rm -f %[1]s/grastate.dat %[1]s/gvwstate.dat\n", stack.DataDir(name)+"/data"),
	}
}

//go:embed start.sh
var startScript string

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for i, h := range d.Spec.Controllers {
		b := d.On(h, name)
		var after []string
		if i > 0 {
			// A joiner copies from a member, which must not be asked by two.
			after = append(after, stack.OnHost(d.Spec.Controllers[i-1], "container:"+name))
		}
		server(b, after)
		if h == d.First() {
			accounts(b)
		}
		out = append(out, b.Items()...)
	}
	return out
}

// server adds a controller's server.
func server(b *stack.Builder, after []string) {
	dir := b.Dir(stack.ConfigDir(name), "", "0755")
	data := b.Data(user)
	// A server that copies its data to another looks for the common name that the
	// other's certificate has.
	leaf := b.Leaf(user, b.D.VIP().String(), name+"-"+b.Host.Name)
	watched := []string{b.Config("mariadb.cnf", config(b.D, b.Host))}
	volumes := []container.Volume{stack.Mount(dir, dir), {Source: data, Target: data}}
	run := []string{"mariadbd", "--defaults-file=" + path.Join(dir, "mariadb.cnf")}
	var enter, leave []string
	if replicated(b.D) {
		file := path.Join(dir, guardConfig)
		enter, leave = []string{guardProgram, "enter", file}, []string{guardProgram, "leave", file}
		watched = append(watched, b.Config("start.sh", startScript))
		volumes = append(volumes, stack.Mount(runDir, runDir))
		after = append(after, watch(b, leaf)...)
		role := "other"
		if b.Host == b.D.First() {
			role = "first"
			// It asks etcd before it begins. Where one controller becomes three, it goes on
			// as it was until that is there.
			after = append(after, "container:etcd")
		}
		start, begun := []string{"bash", path.Join(dir, "start.sh"), data + "/data", orderFile(), peers(b.D, b.Host), role}, b.Begun(leaf)[1:]
		after = append(after, "file:"+begun[0])
		run = slices.Concat(start, begun, run)
	}
	b.Job(stack.Job{
		Name: "mariadb data directory", Image: image, User: user, Volumes: []container.Volume{{Source: data, Target: data}},
		Run:   []string{"sh", "-euc", initScript, "sh", data},
		Done:  "test -d " + data + "/data",
		Needs: []string{"directory:" + data},
	})
	b.Container(container.Resource{
		Name: name, Image: image, User: user, Exec: run, Volumes: volumes,
		RestartOn: watched,
		// A thread for each connection would have an arena each, up to eight for each
		// core, and what one connection needed for a moment stays there: a third of
		// the server's memory. Source: mallopt(3).
		Env: map[string]string{"MALLOC_ARENA_MAX": "2"},
		// Of a member whether it is in the cluster, which may end while it runs.
		Ready:       &container.Ready{Exec: query("SELECT 1"), Always: replicated(b.D), Timeout: "5m"},
		StopTimeout: "60s", BeforeStart: enter, BeforeStop: leave,
	}, append(after, "command:mariadb data directory", "file:"+leaf, stack.Members)...)
	certificate(b, leaf)
	if !replicated(b.D) {
		leaveBehind(b, data+"/data")
	}
}

// leaveBehind adds the command by which a server forgets that it was in a cluster, when
// the other controllers were taken out of the cloud. What it writes from then on the
// position in its notes does not tell, by which another that comes back with the
// same notes would think that it has it all.
func leaveBehind(b *stack.Builder, data string) {
	b.Command(command.Resource{
		Name:   "mariadb alone",
		Script: fmt.Sprintf("rm -f %[1]s/gvwstate.dat %[1]s/grastate.dat", data),
		Unless: fmt.Sprintf("! test -e %s/grastate.dat", data),
	}, engine.Start, "container:"+name)
}

// initScript makes the system tables in a directory that gets its name when they
// are complete, so that one which was left in the middle is made anew.
const initScript = `rm -rf "$1/new"
mariadb-install-db --no-defaults --datadir="$1/new" --auth-root-authentication-method=socket --skip-test-db --skip-name-resolve
sync -f "$1/new"
mv -T "$1/new" "$1/data"
`

// query is the command line that asks the server something, in its container.
func query(sql string) []string {
	return []string{"mariadb", "--no-defaults", "--skip-ssl", "--socket=" + stack.DatabaseSocket, "--batch", "--skip-column-names", "--execute=" + sql}
}

// certificate adds the command that makes the server read its certificate again
// when it shows another than the file's, and the authorities when their file has
// changed, Galera included. Connections go on.
//
// Source: MariaDB's documentation, "FLUSH".
func certificate(b *stack.Builder, leaf string) {
	inside := func(c ...string) string { return stack.Inside(name, transport.Quote(c...)) }
	shown := query("SHOW STATUS LIKE 'Ssl_server_not_after'")
	shown[slices.Index(shown, "--skip-ssl")] = "--ssl"
	reads, believes := stack.Reread(name, patiently(inside(query("FLUSH SSL")...)), stack.CAFile)
	b.Add(configset.Item{
		Resource: &command.Resource{
			Name:   "mariadb certificate",
			Script: reads,
			Unless: fmt.Sprintf(`%s && test "$(%s | cut -f 2)" = "$(%s | cut -d = -f 2)"`, believes,
				inside(append(shown, "--skip-ssl-verify-server-cert")...), inside("openssl", "x509", "-noout", "-enddate", "-in", leaf)),
		},
		Phase: engine.Start, Needs: []string{"container:" + name}, Triggers: []string{"file:" + leaf, "file:" + stack.CAFile},
	})
}

// patiently is a command that is tried for a while: a member of Galera takes none for
// as long as it is in no primary component, which may also be for a moment after it has
// answered.
func patiently(c string) string {
	return "for i in $(seq 60); do if " + c + "; then break; fi; test $i -lt 60; sleep 1; done"
}

// config is the server's configuration.
//
// Source: MariaDB's documentation, "Server System Variables", "Galera Cluster
// System Variables".
func config(d *stack.Deployment, h *spec.Host) string {
	data, leaf := stack.DataDir(name), stack.LeafFile(name)
	f := &stack.INI{}
	f.SetAll(section,
		"datadir", data+"/data",
		"socket", stack.DatabaseSocket,
		"pid_file", data+"/mariadb.pid",
		"bind_address", d.Address(h),
		"port", stack.DatabasePort,
		"skip_name_resolve", "ON",
		"character_set_server", "utf8mb3",
		"collation_server", "utf8mb3_general_ci",
		"max_connections", maxConnections,
		"innodb_buffer_pool_size", bufferPool,
		"performance_schema", "OFF",
		// Since MariaDB 11.6.2 a change of a row that another transaction has changed since
		// this one began is refused (error 1020), where it was made before. Services have
		// that tried again only when it is called a deadlock: servers ended in ERROR for it.
		// Source: MariaDB's documentation, "innodb_snapshot_isolation"; nova bug 2116186.
		"innodb_snapshot_isolation", "OFF",
		"ssl_cert", leaf,
		"ssl_key", leaf,
		"ssl_ca", stack.CAFile,
		"tls_version", "TLSv1.2,TLSv1.3",
		// HAProxy's checks and ready probes are no attackers.
		"max_connect_errors", 1<<32-1,
	)
	if replicated(d) {
		galera(d, h, f)
	}
	stack.Override(d, name, f)
	return f.String()
}
