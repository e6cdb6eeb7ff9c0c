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
	return stack.Service{Name: name, Doc: "Virtual networks: databases and northd on controllers, ovn-controller on computes (OVN).", Build: build, Clusters: clusters, Looks: looks, Stores: stores}
}

//go:embed database.sh
var databaseScript string

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
	data   string
	leaf   string
	needs  []string
}

func (c *controller) build() {
	c.Dir(stack.ConfigDir(name), "", "0755")
	c.script = c.Config("database.sh", databaseScript)
	c.leaf = c.Leaf("")
	c.data = c.Data("")
	c.needs = []string{c.Runtime(run), "directory:" + c.data, "file:" + c.leaf}
	for _, db := range databases() {
		c.file(db)
		c.server(db)
		if c.Host == c.D.First() {
			c.convert(db)
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
	if c.before != nil {
		job.Needs = append(job.Needs, stack.OnHost(c.before, "container:"+db.container()))
	}
	c.Job(job)
}

func (db database) job() string { return "ovn " + db.short + " database" }

// server adds a member. It is ready when it belongs to a cluster that has a
// leader.
//
// Source: ovsdb-server(1), ovsdb(7).
func (c *controller) server(db database) {
	status := transport.Quote("ovs-appctl", "-t", db.control(), "cluster/status", db.schema)
	c.Container(container.Resource{
		Name: db.container(), Image: image, Volumes: c.volumes(),
		Exec: append(proof("ovsdb-server"), "--remote=punix:"+db.socket(),
			"--remote=p"+stack.OVNListen(c.D.Address(c.Host), db.port), "--unixctl="+db.control(), c.path(db)),
		Ready: &container.Ready{Exec: []string{
			"sh", "-c", status + " | awk '/^Status: cluster member/ { in_it = 1 } /^Leader: unknown/ { in_it = 0 } END { exit !in_it }'",
		}},
	}, append([]string{"command:" + db.job()}, c.needs...)...)
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
