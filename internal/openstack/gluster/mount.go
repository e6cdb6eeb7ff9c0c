package gluster

import (
	_ "embed"
	"fmt"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/resource/hosts"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
	"github.com/updraft-cloud/updraft/internal/transport"
)

func mountJob(volume string) string { return name + " mount " + volume }

//go:embed mount.service
var mountUnit string

//go:embed mount.sh
var mountProgram string

// mount adds what mounts a volume on a host, now and at each boot.
//
// It is a unit for the program that serves the mount, and no line in fstab: systemd
// never tries a mount again that failed, and after all hosts lost power computes are
// up before the copies are; nor would it notice that the program has died. What it
// starts with is in files that are read at a start alone. updraft never restarts it:
// servers' disks are open files of it.
func mount(b *stack.Builder, v volume) {
	d := b.D
	script := b.Config("mount.sh", mountProgram)
	known, servers := knownServers(d)
	b.Add(configset.Item{Phase: engine.Configure, Resource: known})
	conf := config(v.name + ".mount")
	b.Add(configset.Item{Phase: engine.Configure, Resource: &file.Resource{
		Path: conf, Content: stack.Header + "SERVERS=" + servers + "\n", Mode: "0644", Owner: "root", Group: "root",
	}})
	text := strings.NewReplacer("@volume@", v.name, "@target@", v.target, "@conf@", conf,
		"@before@", strings.Join(v.before, ".service ")+".service").Replace(mountUnit)
	u := unitPath(v.name)
	b.Add(configset.Item{Phase: engine.Configure, Resource: &file.Resource{
		Path: u, Content: stack.Header + text, Mode: "0644", Owner: "root", Group: "root",
	}})
	wants := path.Join(unitDir, "multi-user.target.wants", Unit(v.name))
	b.Add(configset.Item{Phase: engine.Configure, Resource: &symlink.Resource{Path: wants, Target: u}})
	owner, group := "0", "0"
	if v.user != "" {
		owner = fmt.Sprint(d.Release.UID(v.user))
		group = owner
	}
	arguments := transport.Quote(v.target, Unit(v.name), strings.TrimPrefix(v.mode, "0"), owner, group)
	needs := append(trust(b), "symlink:"+wants, "file:"+conf, "hosts:"+name, "directory:"+path.Dir(v.target), "file:"+script)
	b.Triggered(command.Resource{
		Name:   mountJob(v.name),
		Script: "bash " + script + " apply " + arguments, Unless: "bash " + script + " check " + arguments,
		// Of the copies it waits for none: two of them are enough, whichever.
	}, engine.Start, append(needs, stack.OnHost(d.First(), "command:"+jobName("volume", v.name))), "file:"+u)
}

// knownServers are the names by which clients ask for what a volume is, with all addresses
// for each, and the arguments that say so. As a mount outlives the controllers that it
// began with, it must learn of others: a client asks an address anew after each failure,
// one after the other, and reads the file again after the last. (Given addresses, it was
// seen to ask a controller that had left for good, and lost the copies that had moved.) At
// its start it asks each name once, so each begins with another controller.
//
// Source: gf_resolve_ip6 in libglusterfs; host.conf(5), "multi".
func knownServers(d *stack.Deployment) (*hosts.Resource, string) {
	r := &hosts.Resource{Name: name}
	var arguments []string
	bricks := d.Spec.Bricks()
	for i := range bricks {
		as := fmt.Sprintf("storage%d.updraft.internal", i+1)
		for k := range bricks {
			r.Entries = append(r.Entries, hosts.Entry{IP: address(d, bricks[(i+k)%len(bricks)]), Names: []string{as}})
		}
		arguments = append(arguments, "--volfile-server="+as)
	}
	return r, strings.Join(arguments, " ")
}

// unitDir is where units of the administrator are. The unit is a file there and no
// resource of that kind, as it would be restarted for each change.
const unitDir = "/etc/systemd/system"

func unitPath(volume string) string { return path.Join(unitDir, Unit(volume)) }
