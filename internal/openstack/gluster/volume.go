package gluster

import (
	_ "embed"
	"fmt"
	"path"
	"slices"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// The volumes.
const (
	Instances = "instances"
	Images    = "images"
	Volumes   = "volumes"
)

// volume is one of them: who mounts it where, and whose its top is.
type volume struct {
	name       string
	clients    []*spec.Host
	target     string
	user, mode string
	// before are containers that write there.
	before  []string
	options []any // pairs of option and value
}

// volumes are those that the cloud has.
func volumes(o *spec.OpenStack) []volume {
	var out []volume
	if o.Storage.Instances == spec.StorageGluster {
		out = append(out, volume{
			name: Instances, clients: o.Computes, target: Target(Instances), mode: "0711",
			before: []string{"libvirtd", "nova-compute"}, options: diskOptions(),
		})
	}
	if o.Storage.Images == spec.StorageGluster {
		out = append(out, volume{
			name: Images, clients: o.Controllers, target: Target(Images), user: "glance", mode: "0750", before: []string{"glance"},
		})
	}
	if o.Storage.Volumes == spec.StorageGluster {
		out = append(out, volume{
			name: Volumes, clients: slices.Concat(o.Controllers, o.Computes), target: Target(Volumes), mode: "0711",
			before: []string{"cinder-volume", "libvirtd", "nova-compute"}, options: diskOptions(),
		})
	}
	return out
}

// Target is where a volume is mounted.
func Target(volume string) string {
	service := map[string]string{Instances: "nova", Images: "glance", Volumes: "cinder"}[volume]
	return path.Join(stack.DataDir(service), volume)
}

// Mounted is the reference of a volume's mount on a host that has it.
func Mounted(volume string) string { return "command:" + mountJob(volume) }

// Unit is the unit of systemd that keeps a volume mounted.
func Unit(volume string) string { return "updraft-mount-" + volume + ".service" }

// deadPeer is after how many seconds of silence the other end of a connection is
// taken for dead (by pings, up to twice as long; by TCP, where something was sent).
// Until then whoever writes waits: upstream's 42 s are longer than
// the 30 s after which guests give up on a disk. It is also how long the locks of a
// dead compute's disks keep its servers from starting elsewhere.
const deadPeer = 10

// lookAgain is after how many seconds a copy looks for what to heal when nothing told
// it to, as after a power cut of those that were writing. Looking costs little, and
// upstream's 600 s are long to be without a second good copy.
const lookAgain = 30

// options are those of a volume.
//
// With client quorum two of three copies must take a write. There is no quorum of
// servers: it protects no data beyond that, and has glusterd stop good copies when two
// other glusterds restart.
//
// Source: GlusterFS's administrator's guide, "Tuning Volume Options".
func options(d *stack.Deployment, v volume) []string {
	f := &stack.INI{}
	allowed := slices.Concat(d.Spec.Bricks(), v.clients)
	slices.SortFunc(allowed, func(a, b *spec.Host) int { return slices.Index(d.Hosts(), a) - slices.Index(d.Hosts(), b) })
	allowed = slices.Compact(allowed)
	f.SetAll(v.name,
		"auth.allow", words(allowed, ",", func(h *spec.Host) string { return address(d, h) }),
		"auth.ssl-allow", words(allowed, ",", subject),
		"client.ssl", "on",
		"server.ssl", "on",
		"cluster.quorum-type", "auto",
		"cluster.heal-timeout", lookAgain,
		"network.ping-timeout", deadPeer,
		"client.tcp-user-timeout", deadPeer,
		"client.keepalive-time", deadPeer/2,
		"client.keepalive-interval", 1,
		"client.keepalive-count", deadPeer/2,
		"server.tcp-user-timeout", deadPeer,
		"server.keepalive-time", deadPeer/2,
		"server.keepalive-interval", 1,
		"server.keepalive-count", deadPeer/2,
	)
	f.SetAll(v.name, v.options...)
	stack.Override(d, name, f)
	return f.Lines(v.name)
}

// diskOptions are for large files that are written in their middle: cut into pieces,
// of which only those are healed that differ, and past all caches but the guest's
// own, so that a server that is migrated finds what it wrote.
//
// Source: the group of options "virt" that comes with GlusterFS.
func diskOptions() []any {
	return []any{
		"features.shard", "on",
		"cluster.data-self-heal-algorithm", "full",
		"cluster.locking-scheme", "granular",
		"cluster.choose-local", "off",
		"network.remote-dio", "disable",
		"performance.strict-o-direct", "on",
		"performance.quick-read", "off",
		"performance.read-ahead", "off",
		"performance.io-cache", "off",
	}
}

//go:embed storage.sh
var program string

// dataDir is where controllers keep their copies.
func dataDir() string { return stack.DataDir(name) }

// serve adds what makes a host hold copies.
func serve(b *stack.Builder) {
	d := b.D
	daemon(b)
	script := b.Config("storage.sh", program)
	conf := b.Config("storage.conf", settings(d, b.Host))
	b.Dir(dataDir(), "", "0755")
	needs := append(trust(b), "unit:"+server, "file:"+script, "file:"+conf)
	// What a check reads may be written in the same run, after it was asked.
	add := func(what, volume, timeout string, needs []string, triggers ...string) {
		b.Triggered(job(what, volume, timeout), engine.Start, needs, triggers...)
	}
	add("pool", "", "", needs, "file:"+conf)
	add("meet", "", "", everywhere(d, "pool", ""), everywhere(d, "pool", "")...)
	for _, v := range volumes(d.Spec) {
		b.Add(configset.Item{
			Resource: &directory.Resource{Path: path.Join(dataDir(), v.name), Mode: "0755", Owner: "root", Group: "root"},
			Phase:    engine.Configure,
		})
		file := config(v.name + ".options")
		b.Config(v.name+".options", lines(options(d, v)))
		if b.Host == d.First() {
			needs := append(everywhere(d, "meet", "directory:"+path.Join(dataDir(), v.name)), "file:"+file)
			add("volume", v.name, healTimeout, needs, "file:"+conf, "file:"+file)
		}
		made := stack.OnHost(d.First(), "command:"+jobName("volume", v.name))
		add("brick", v.name, "", []string{made, "command:" + jobName("meet", ""), "file:" + file}, made)
		add("heal", v.name, healTimeout, everywhere(d, "brick", "", v.name), append(everywhere(d, "brick", "", v.name), made)...)
	}
}

// healTimeout is how long an "up" waits for copies to become whole, also between two
// that move to other servers. Healing goes on whether it waits or not.
const healTimeout = "30m"

// everywhere are references of a job on all hosts with copies, and of one thing
// more, if any.
func everywhere(d *stack.Deployment, what, more string, volume ...string) []string {
	var out []string
	for _, h := range d.Spec.Bricks() {
		out = append(out, stack.OnHost(h, "command:"+jobName(what, volume...)))
		if more != "" {
			out = append(out, stack.OnHost(h, more))
		}
	}
	return out
}

func jobName(what string, volume ...string) string {
	out := name + " " + what
	for _, v := range volume {
		if v != "" {
			out += " " + v
		}
	}
	return out
}

// job is what the program does, and how it says whether that is done.
func job(what, volume, timeout string) command.Resource {
	return command.Resource{
		Name: jobName(what, volume), Script: shell(what, "apply", volume), Unless: shell(what, "check", volume), Timeout: timeout,
	}
}

func shell(what, mode, volume string) string {
	text := "bash " + config("storage.sh") + " " + what + " " + mode
	if volume != "" {
		text += " " + volume
	}
	return text
}

// settings tell the program who is who.
func settings(d *stack.Deployment, h *spec.Host) string {
	uuid := func(h *spec.Host) string { return stack.UUID(name, d.Cloud.Name, h.Name) }
	others := slices.DeleteFunc(slices.Clone(d.Spec.Bricks()), func(o *spec.Host) bool { return o == h })
	return stack.Header + fmt.Sprintf("uuid=%s\naddress=%s\npeers='%s'\nbricks='%s'\nroot=%s\n",
		uuid(h), address(d, h),
		words(others, " ", func(h *spec.Host) string { return address(d, h) + "=" + uuid(h) }),
		words(d.Spec.Bricks(), " ", func(h *spec.Host) string { return address(d, h) }),
		dataDir())
}

func lines(all []string) string {
	var out string
	for _, l := range all {
		out += l + "\n"
	}
	return out
}

// Whole returns shell text, for any of the hosts of [spec.OpenStack.Bricks], that
// succeeds when all three copies of all volumes are served and none lacks anything:
// only then may a host with copies be taken down in order. With a copy that is not
// whole, the next host to go takes the only good one with it.
//
// It asks all copies, which takes a second; it says no, and what is missing, after
// ten.
func Whole() string { return shell("whole", "check", "") }
