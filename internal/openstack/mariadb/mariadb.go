// Package mariadb is the database of all services.
//
// One controller runs MariaDB alone; with more, Galera replicates it, and HAProxy
// sends all clients to one of them at a time. A server that runs alone does not
// load Galera's library, which costs memory and writes everything twice; its data
// directory is one that Galera can begin a cluster with, so that controllers can be
// added later: the first one is restarted as a cluster of one, and the others copy
// its data one after the other.
//
// Root is whoever is root on the controller, through the server's socket alone.
// All others sign in over TLS with a password of which the server, and the files
// on the host, only know the hash.
package mariadb

import (
	_ "embed"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strings"

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

// CheckUser is whom HAProxy signs in as to see whether a server works. It has no
// password, and may do nothing.
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
		Name: name, Build: build, Clusters: clusters, Looks: looks, Stores: stores, Sections: []string{section},
		Doc: "The database of all services (MariaDB), replicated by Galera when there is more than one controller.",
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
	if replicated(b.D) {
		watched = append(watched, b.Config("start.sh", startScript))
		run = append([]string{"bash", path.Join(dir, "start.sh"), data + "/data", peers(b.D, b.Host)}, run...)
	}
	b.Job(stack.Job{
		Name: "mariadb data directory", Image: image, User: user, Volumes: []container.Volume{{Source: data, Target: data}},
		Run:   []string{"sh", "-euc", initScript, "sh", data},
		Done:  "test -d " + data + "/data",
		Needs: []string{"directory:" + data},
	})
	b.Container(container.Resource{
		Name: name, Image: image, User: user, Exec: run, Volumes: volumes,
		RestartOn:   watched,
		Ready:       &container.Ready{Exec: query("SELECT 1"), Timeout: "5m"},
		StopTimeout: "60s",
	}, append(after, "command:mariadb data directory", "file:"+leaf)...)
	certificate(b, leaf)
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
// when it shows another than the file's, Galera included. Connections go on.
//
// Source: MariaDB's documentation, "FLUSH".
func certificate(b *stack.Builder, leaf string) {
	inside := func(c ...string) string { return stack.Inside(name, transport.Quote(c...)) }
	shown := query("SHOW STATUS LIKE 'Ssl_server_not_after'")
	shown[slices.Index(shown, "--skip-ssl")] = "--ssl"
	b.Add(configset.Item{
		Resource: &command.Resource{
			Name:   "mariadb certificate",
			Script: inside(query("FLUSH SSL")...),
			Unless: fmt.Sprintf(`test "$(%s | cut -f 2)" = "$(%s | cut -d = -f 2)"`,
				inside(append(shown, "--skip-ssl-verify-server-cert")...), inside("openssl", "x509", "-noout", "-enddate", "-in", leaf)),
		},
		Phase: engine.Start, Needs: []string{"container:" + name}, Triggers: []string{"file:" + leaf},
	})
}

// replicated reports whether there is more than one server.
func replicated(d *stack.Deployment) bool { return len(d.Spec.Controllers) > 1 }

// peers are the other servers, separated by commas.
func peers(d *stack.Deployment, h *spec.Host) string {
	others := slices.DeleteFunc(slices.Clone(d.Spec.Controllers), func(c *spec.Host) bool { return c == h })
	var out []string
	for _, c := range others {
		out = append(out, d.Address(c))
	}
	return strings.Join(out, ",")
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

// galera sets how the server replicates: over TLS, in which members show each
// other a certificate of the cloud's authority. Whole copies go by rsync through
// stunnel: with mariadb-backup they need an account whose password every member
// knows.
func galera(d *stack.Deployment, h *spec.Host, f *stack.INI) {
	var all []string
	for _, c := range d.Spec.Controllers {
		all = append(all, d.Address(c))
	}
	address, leaf := d.Address(h), stack.LeafFile(name)
	options := []string{
		"gmcast.listen_addr=ssl://" + stack.HostPort(netip.MustParseAddr(address).String(), galeraPort), "gcache.size=128M",
		"socket.ssl=yes", "socket.ssl_cert=" + leaf, "socket.ssl_key=" + leaf, "socket.ssl_ca=" + stack.CAFile,
	}
	// Of its own accord the script copies in plain where it finds no stunnel.
	f.Set("sst", "ssl-mode", "VERIFY_CA")
	f.SetAll(section,
		"binlog_format", "ROW",
		"default_storage_engine", "InnoDB",
		"innodb_autoinc_lock_mode", 2,
		"wsrep_on", "ON",
		"wsrep_provider", "/usr/lib/galera/libgalera_smm.so",
		"wsrep_cluster_name", d.Cloud.Name,
		"wsrep_cluster_address", "gcomm://"+strings.Join(all, ","),
		"wsrep_node_address", address,
		"wsrep_node_name", h.Name,
		"wsrep_sst_method", "rsync",
		"wsrep_slave_threads", max(1, d.Spec.Workers),
		"wsrep_provider_options", strings.Join(options, ";"),
	)
}
