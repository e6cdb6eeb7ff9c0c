package mariadb

import (
	_ "embed"
	"net/netip"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/mariadb/guard"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// CheckPort is where a controller's guard tells HAProxy whether the database there
// may be written to, with more than one controller; CheckPath is what to ask for, and
// CheckFall how often that has to fail.
const (
	CheckPort = 3307
	CheckPath = guard.CheckPath
	CheckFall = guard.CheckFall
)

// runDir is where the guard leaves orders for the server, until the host is booted.
const runDir = "/run/" + name

const (
	guardProgram = stack.ProgramDir + "/updraft-guard"
	guardConfig  = "guard.json"
)

const guardUnit = "updraft-galera-guard.service"

//go:embed updraft-galera-guard.service
var guardUnitText string

// replicated reports whether there is more than one server.
func replicated(d *stack.Deployment) bool { return len(d.Spec.Controllers) > 1 }

// peers are the other servers, separated by commas.
func peers(d *stack.Deployment, h *spec.Host) string {
	var out []string
	for _, c := range d.Others(h) {
		out = append(out, d.Address(c))
	}
	return strings.Join(out, ",")
}

func orderFile() string { return path.Join(runDir, "begin") }

// watch adds the guard of a controller's server, and returns references to what the
// server needs of it: where there is no guard, HAProxy sends nobody to the server.
func watch(b *stack.Builder, leaf string) []string {
	run := b.Runtime(runDir)
	program := b.Program(guardProgram, b.D.GuardProgram)
	etcdLeaf := stack.LeafFile("etcd")
	config := guard.Config{
		Host: b.Host.Name, Listen: stack.HostPort(b.D.Address(b.Host), CheckPort), Leaf: leaf, CA: stack.CAFile, EtcdLeaf: etcdLeaf,
		Socket: stack.DatabaseSocket, Data: stack.DataDir(name) + "/data", PIDFile: path.Join(stack.RunRoot, name+".pid"), Order: orderFile(), Leaving: path.Join(runDir, "leaving"),
	}
	for _, h := range slices.Concat([]*spec.Host{b.Host}, b.D.Others(b.Host)) {
		config.Etcd = append(config.Etcd, "https://"+stack.HostPort(b.D.Address(h), stack.EtcdPort))
	}
	file := b.Config(guardConfig, config.Encode())
	watched := []string{program, file}
	needs := []string{run, "file:" + stack.CAFile, "file:" + leaf, "file:" + etcdLeaf}
	var triggers []string
	for _, f := range watched {
		needs, triggers = append(needs, "file:"+f), append(triggers, "file:"+f)
	}
	yes := true
	b.Add(configset.Item{Phase: engine.Start, Needs: needs, Triggers: triggers, Resource: &unit.Resource{
		Name: guardUnit, Content: stack.Header + strings.NewReplacer("@program@", program, "@config@", file).Replace(guardUnitText),
		Enabled: &yes, State: unit.Started, RestartOn: watched,
	}})
	return []string{"unit:" + guardUnit}
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
