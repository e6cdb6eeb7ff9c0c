// Package ovn is the network between servers: OVN's databases and northd on
// controllers, ovn-controller on computes.
//
// The databases are clusters (RAFT) from the start, with one controller of one
// member: a cluster grows by members that join, whereas a database that is none
// has to be stopped and converted first. A member's file is made once, by a job
// that either begins the cluster or joins it, and the server then only opens what
// is there: a server that made a file of its own where one was lost would begin a
// second cluster beside the first.
package ovn

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

const (
	name  = "ovn"
	image = "openstack"
	run   = "/run/ovn"
)

// database is one of the two.
type database struct {
	short, schema string
	// port is for clients, raft for the other members.
	port, raft int
}

func databases() []database {
	return []database{
		{"nb", "OVN_Northbound", stack.OVNNorthPort, 6643},
		{"sb", "OVN_Southbound", stack.OVNSouthPort, 6644},
	}
}

func (db database) container() string { return "ovn-" + db.short }
func (db database) socket() string    { return path.Join(run, "ovn"+db.short+"_db.sock") }
func (db database) control() string   { return path.Join(run, "ovn"+db.short+"_db.ctl") }
func (db database) model() string     { return "/usr/share/ovn/ovn-" + db.short + ".ovsschema" }

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "Virtual networks: databases and northd on controllers, ovn-controller on computes (OVN).", Build: build, Clusters: clusters, Looks: looks, Stores: stores, Leaving: leaving()}
}

//go:embed database.sh
var databaseScript string

//go:embed server.sh
var serverScript string

//go:embed members.sh
var membersScript string

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for i, h := range d.Spec.Controllers {
		c := &controller{Builder: d.On(h, name)}
		if i > 0 {
			c.before = d.Spec.Controllers[i-1]
		}
		c.build()
		out = append(out, c.Items()...)
	}
	for _, h := range d.Spec.Computes {
		b := d.On(h, name)
		chassis(b)
		out = append(out, b.Items()...)
	}
	return out
}

// controller builds one controller's part.
type controller struct {
	*stack.Builder
	before *spec.Host // whose servers are there before this one's join
	script string
	start  string
	data   string
	leaf   string
	needs  []string
}

func (c *controller) build() {
	c.Dir(stack.ConfigDir(name), "", "0755")
	c.script = c.Config("database.sh", databaseScript)
	c.start = c.Config("server.sh", serverScript)
	c.leaf = c.Leaf("")
	c.data = c.Data("")
	c.needs = []string{c.Runtime(run), "directory:" + c.data, "file:" + c.leaf}
	for _, db := range databases() {
		c.file(db)
		c.server(db)
		if c.Host == c.D.First() {
			c.convert(db)
			c.members(db)
		}
	}
	c.northd()
}

// volumes are those of all containers on controllers.
func (c *controller) volumes() []container.Volume {
	return []container.Volume{{Source: run, Target: run}, {Source: c.data, Target: c.data}, leafVolume()}
}

// leafVolume is the directory of the certificate.
func leafVolume() container.Volume {
	return stack.Mount(stack.ConfigDir(name), stack.ConfigDir(name))
}

// proof begins the command line of a program of OVN's: what it shows to others,
// and that they have to show one of the same authority. The files are looked at
// again whenever the program has something to do.
//
// Source: ovsdb-server(1), "Public Key Infrastructure Options".
func proof(program string) []string {
	leaf := stack.LeafFile(name)
	return []string{program, "-vconsole:info", "-vsyslog:off", "--private-key=" + leaf, "--certificate=" + leaf, "--ca-cert=" + stack.CAFile}
}

func (c *controller) path(db database) string { return path.Join(c.data, db.short+".db") }

// file adds the job that makes a member's file.
func (c *controller) file(db database) {
	member := func(h *spec.Host) string { return stack.OVNRemote(c.D.Address(h), db.raft) }
	others := []string{}
	for _, h := range c.D.Spec.Controllers {
		if h != c.Host {
			others = append(others, member(h))
		}
	}
	role := "join"
	if c.before == nil {
		role = "begin"
	}
	job := stack.Job{
		Name: db.job(), Image: image, Volumes: append(c.volumes(), stack.Mount(c.script, c.script)),
		Run:   append([]string{"bash", c.script, c.path(db), role, db.schema, db.model(), member(c.Host)}, others...),
		Done:  "test -s " + c.path(db),
		Needs: append([]string{"file:" + c.script}, c.needs...),
	}
	if len(others) > 0 {
		job.Needs = append(job.Needs, "container:etcd")
	}
	if c.before != nil {
		job.Needs = append(job.Needs, stack.OnHost(c.before, "container:"+db.container()))
	}
	if len(others) == 0 || role == "join" {
		c.Job(job)
		return
	}
	c.Script(job, command.Resource{Script: fmt.Sprintf(beginScript, c.path(db), stack.BegunOnHost(c.D, c.Host)), Unless: job.Done})
}

// beginScript has the first controller begin a cluster only where etcd knows that
// there never was one: after a power cut of all, a first controller with a new disk
// would be up before the others, and they would find themselves in another cluster.
const beginScript = `rm -f %[1]s.begun
known=0
%[2]s || known=$?
case $known in
0) touch %[1]s.begun ;;
1) ;;
*)
	echo 'no majority of etcd says whether this cloud has a network already' >&2
	exit 1
	;;
esac
` + stack.RunJob + "\n"

func (db database) job() string { return "ovn " + db.short + " database" }

// server adds a member, which does not start with the file of another cluster. It is
// ready when it belongs to a cluster that has a leader.
//
// Source: ovsdb-server(1), ovsdb(7).
func (c *controller) server(db database) {
	status := transport.Quote("ovs-appctl", "-t", db.control(), "cluster/status", db.schema)
	// A file, and no arguments: who belongs to the cluster may change without a restart.
	others, needs := path.Join(stack.ConfigDir(name), db.short+".others"), c.needs
	var at strings.Builder
	for _, h := range c.D.Others(c.Host) {
		at.WriteString(stack.OVNRemote(c.D.Address(h), db.port) + "\n")
	}
	if at.Len() > 0 {
		needs = append(slices.Clone(needs), "file:"+c.Config(db.short+".others", at.String()))
	}
	c.Container(container.Resource{
		Name: db.container(), Image: image, Volumes: c.volumes(),
		Exec: slices.Concat([]string{"bash", c.start, c.path(db), db.schema, c.leaf, stack.CAFile, others},
			proof("ovsdb-server"), []string{
				"--remote=punix:" + db.socket(),
				"--remote=p" + stack.OVNListen(c.D.Address(c.Host), db.port), "--unixctl=" + db.control(), c.path(db),
			}),
		Ready: &container.Ready{Always: len(c.D.Spec.Controllers) > 1, Exec: []string{
			"sh", "-c", status + " | awk '/^Status: cluster member/ { in_it = 1 } /^Leader: unknown/ { in_it = 0 } END { exit !in_it }'",
		}},
	}, append([]string{"command:" + db.job(), "file:" + c.start, stack.Members}, needs...)...)
}

// convert adds the command that brings the database to the schema of the image,
// when a newer image came.
//
// Source: ovsdb-client(1), "convert".
func (c *controller) convert(db database) {
	inside := func(script string) string { return stack.Inside(db.container(), transport.Quote("sh", "-euc", script)) }
	c.Command(command.Resource{
		Name: "ovn " + db.short + " schema",
		Run:  []string{"sh", "-euc", inside(fmt.Sprintf("ovsdb-client convert unix:%s %s", db.socket(), db.model()))},
		Unless: inside(fmt.Sprintf(`test "$(ovsdb-client --no-leader-only get-schema-version unix:%s %s)" = "$(ovsdb-tool schema-version %s)"`,
			db.socket(), db.schema, db.model())),
	}, engine.Start, "container:"+db.container())
}

// members adds the command that has the cluster forget members which are none any
// more: of controllers that were made anew, once they have joined, and of those that
// were taken out.
func (c *controller) members(db database) {
	others := c.D.Others(c.Host)
	if len(others) == 0 {
		return
	}
	inside := func(mode string) string {
		words := []string{"bash", c.Config("members.sh", membersScript), mode, db.control(), db.schema, fmt.Sprint(db.port), stack.LeafFile(name), stack.CAFile}
		for _, h := range c.D.Spec.Controllers {
			words = append(words, stack.OVNRemote(c.D.Address(h), db.raft))
		}
		return stack.Inside(db.container(), transport.Quote(words...))
	}
	needs := []string{"container:" + db.container(), "file:" + path.Join(stack.ConfigDir(name), "members.sh")}
	var joined []string
	for _, h := range others {
		joined = append(joined, stack.OnHost(h, "command:"+db.job()))
		needs = append(needs, stack.OnHost(h, "container:"+db.container()))
	}
	c.Triggered(command.Resource{Name: "ovn " + db.short + " members", Script: inside("apply"), Unless: inside("check")}, engine.Start, needs, joined...)
}

// northd adds the program that turns logical networks into flows. One of them
// works, the others wait for its lock.
func (c *controller) northd() {
	control := path.Join(run, "ovn-northd.ctl")
	var needs []string
	for _, db := range databases() {
		needs = append(needs, "container:"+db.container(), stack.OnHost(c.D.First(), "command:ovn "+db.short+" schema"))
	}
	c.Container(container.Resource{
		Name: "ovn-northd", Image: image, Volumes: c.volumes(),
		Exec:  append(proof("ovn-northd"), "--unixctl="+control, "--ovnnb-db="+stack.OVNNorth(c.D), "--ovnsb-db="+stack.OVNSouth(c.D)),
		After: []string{"ovn-nb", "ovn-sb"},
		Ready: &container.Ready{Exec: []string{"ovs-appctl", "-t", control, "status"}},
	}, needs...)
}

// chassis adds ovn-controller on a compute. What it has to know is in Open
// vSwitch's database (package openvswitch).
//
// When it is stopped by systemd it leaves the flows in place, so that servers'
// traffic goes on while it is restarted.
//
// With a southbound database into which no northd has written yet it ends by a
// segmentation fault (OVN 25.03), some moments after it has connected.
func chassis(b *stack.Builder) {
	control := path.Join(run, "ovn-controller.ctl")
	runtime := b.Runtime(run)
	b.Dir(stack.ConfigDir(name), "", "0755")
	leaf := b.Leaf("")
	b.Container(container.Resource{
		Name: "ovn-controller", Image: image, Privileged: true,
		Volumes: []container.Volume{{Source: run, Target: run}, {Source: "/run/openvswitch", Target: "/run/openvswitch"}, leafVolume()},
		Exec:    append(proof("ovn-controller"), "--unixctl="+control, "unix:/run/openvswitch/db.sock"),
		After:   []string{"ovs-vswitchd"},
		Ready:   &container.Ready{Exec: []string{"sh", "-c", `test "$(ovs-appctl -t ` + control + ` connection-status)" = connected`}},
	}, runtime, "file:"+leaf, "command:openvswitch settings", "command:openvswitch bridges", "container:ovs-vswitchd",
		stack.OnHost(b.D.First(), "container:ovn-sb"), stack.OnHost(b.D.First(), "container:ovn-northd"))
}
