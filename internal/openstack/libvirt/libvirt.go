// Package libvirt runs servers on computes: libvirtd, and the QEMU processes that
// it starts.
//
// Servers outlive libvirtd. What a container starts dies with its unit, so a hook
// moves each QEMU into a scope of the host's systemd, below machine.slice, where
// "systemctl restart libvirtd" does not reach it; the new libvirtd finds it by
// what is in /run/libvirt and /var/lib/libvirt.
//
// QEMU runs as libvirt-qemu, which may use /dev/kvm and owns the disks of its
// server, and nothing else.
//
// Servers move while they run. One libvirtd tells the other by TLS, and QEMU sends
// memory and disks to QEMU by TLS of its own; both sides show a certificate of the
// cloud's authority (docs/adr/0015-migration.md).
package libvirt

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/gluster"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/file"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const (
	name = "libvirt"
	// Container is the name of libvirtd's container.
	Container = "libvirtd"
	user      = "libvirt-qemu"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "Runs servers on computes (libvirt and QEMU).", Build: build}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Computes {
		b := d.On(h, name)
		config := b.Dir(stack.ConfigDir(name), "", "0755")
		data := b.Dir(stack.DataDir(name), "", "0711")
		definitions := b.Dir(stack.DataDir(name)+"-definitions", "", "0700")
		b.Dir(ServersDir(), "", "0711")
		disks := mounted(d)
		if !slices.Contains(shared(d), gluster.Instances) {
			disks = append(disks, "directory:"+b.Dir(gluster.Target(gluster.Instances), "", "0711"))
		}
		daemon := b.Config("libvirtd.conf", daemonConfig(d, h))
		qemu := b.Config("qemu.conf", qemuConfig(d.Address(h)))
		told, proofs := proofs(b)
		start := b.Config("start.sh", startProgram)
		hook := hook(b)
		run := b.Runtime("/run/libvirt", "/run/openvswitch")
		b.Container(container.Resource{
			Name: Container, Image: "openstack", Exec: []string{"sh", "-eu", start, proofDir()},
			Privileged: true, PIDHost: true, Cgroups: "split",
			Volumes: append(Shared(d),
				container.Volume{Source: definitions, Target: "/etc/libvirt/qemu"},
				stack.Mount(daemon, "/etc/libvirt/libvirtd.conf"), stack.Mount(qemu, "/etc/libvirt/qemu.conf"),
				stack.Mount(hook, "/etc/libvirt/hooks/qemu"), stack.Mount(config, config)),
			Mounts:    Mounts(d),
			RestartOn: []string{daemon, qemu, start, hook},
			ReloadOn:  told,
			Reload:    []string{"virt-admin", "server-update-tls", "libvirtd"},
			Ready:     &container.Ready{Unix: "/run/libvirt/libvirt-sock"},
		}, slices.Concat(proofs, []string{run, "directory:" + data, "directory:" + definitions}, disks)...)
		out = append(out, b.Items()...)
	}
	return out
}

// ServersDir is where Nova keeps servers' disks on a host.
func ServersDir() string { return stack.DataDir("nova") }

// Shared are the volumes that libvirtd and nova-compute see alike: disks and
// sockets of servers, and devices (libvirt makes terminals that Nova reads).
//
// A file system that is mounted below the servers' directory anew, as its program
// has died, shows in running containers as well.
func Shared(d *stack.Deployment) []container.Volume {
	out := []container.Volume{
		{Source: "/dev", Target: "/dev"},
		{Source: "/run/libvirt", Target: "/run/libvirt"},
		{Source: "/run/openvswitch", Target: "/run/openvswitch"},
		{Source: stack.DataDir(name), Target: path.Join("/var/lib", name)},
	}
	servers := container.Volume{Source: ServersDir(), Target: "/var/lib/nova"}
	for _, v := range shared(d) {
		above := path.Dir(gluster.Target(v))
		if above == servers.Source {
			servers.Options = "rslave"
			continue
		}
		out = append(out, container.Volume{Source: above, Target: path.Join("/var/lib", path.Base(above)), Options: "rslave"})
	}
	return append(out, servers)
}

// shared are the volumes of GlusterFS that servers' disks are on.
func shared(d *stack.Deployment) []string {
	var out []string
	if d.Spec.Storage.Instances == spec.StorageGluster {
		out = append(out, gluster.Instances)
	}
	if d.Spec.Storage.Volumes == spec.StorageGluster {
		out = append(out, gluster.Volumes)
	}
	return out
}

// Mounts are the mount points without which neither of the two may start.
func Mounts(d *stack.Deployment) []string {
	var out []string
	for _, v := range shared(d) {
		out = append(out, gluster.Target(v))
	}
	return out
}

// mounted are references to them.
func mounted(d *stack.Deployment) []string {
	var out []string
	for _, v := range shared(d) {
		out = append(out, gluster.Mounted(v))
	}
	return out
}

// daemonConfig lets only root in, and the libvirtd of other computes. The identity
// of a host is its own: machines that are clones, or containers of one computer, have
// the same by their firmware, and libvirt refuses to migrate from a host to itself.
//
// Source: the comments of libvirtd.conf.
func daemonConfig(d *stack.Deployment, h *spec.Host) string {
	return fmt.Sprintf(`%[1]sunix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
unix_sock_admin_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
listen_tls = 1
listen_tcp = 0
listen_addr = "%[2]s"
auth_tls = "none"
cert_file = "%[3]s"
key_file = "%[3]s"
ca_file = "%[4]s"
tls_allowed_dn_list = ["CN=%[5]s-*"]
host_uuid = "%[6]s"
log_outputs = "3:stderr"
`, stack.Header, d.Address(h), stack.LeafFile(name), authority(), name, stack.UUID("host", d.Cloud.Name, h.Name))
}

// qemuConfig keeps libvirt from what a container has not got: cgroups, name
// spaces and security labels of the host. Logs are plain files, as there is no
// virtlogd.
//
// Source: the comments of qemu.conf.
func qemuConfig(address string) string {
	return fmt.Sprintf(`%[1]suser = "%[2]s"
group = "%[2]s"
dynamic_ownership = 1
remember_owner = 0
security_driver = "none"
namespaces = []
cgroup_controllers = []
stdio_handler = "file"
max_core = 0
migration_address = "%[3]s"
migrate_tls_x509_cert_dir = "%[4]s"
migrate_tls_x509_verify = 1
`, stack.Header, user, address, proofDir())
}

// startProgram is given the directory of proofs. It gives QEMU's user the group that has /dev/kvm on this host, whose
// number the image cannot know.
const startProgram = stack.Header + `if test -c /dev/kvm; then
	gid=$(stat --format=%g /dev/kvm)
	sed -i "s/^kvm:.*/kvm:x:$gid:` + user + `/" /etc/group
fi
# Where libvirt looks for what it shows to others, and libvirtd, whatever its
# configuration says, when it is told to read that again.
mkdir -p /etc/pki/CA /etc/pki/libvirt/private
ln -sf "$1/server-cert.pem" /etc/pki/libvirt/servercert.pem
ln -sf "$1/server-key.pem" /etc/pki/libvirt/private/serverkey.pem
ln -sf "$1/ca-cert.pem" /etc/pki/CA/cacert.pem
ln -sf "$1/client-cert.pem" /etc/pki/libvirt/clientcert.pem
ln -sf "$1/client-key.pem" /etc/pki/libvirt/private/clientkey.pem
exec libvirtd --listen
`

// hookProgram is called by libvirt as "qemu DOMAIN OPERATION …". A server that
// could not be moved runs all the same; it would end with libvirtd.
//
// Sources: libvirt's "Hooks for specific system management";
// org.freedesktop.systemd1(5), StartTransientUnit.
//
// A scope that is ordered after the mount of its disks ends before that does when
// the host goes down.
const hookProgram = `#!/bin/sh
` + stack.Header + `test "$2" = started || exit 0
pid=$(cat "/run/libvirt/qemu/$1.pid")
nsenter --target 1 --mount -- busctl --quiet call org.freedesktop.systemd1 /org/freedesktop/systemd1 \
	org.freedesktop.systemd1.Manager StartTransientUnit 'ssa(sv)a(sa(sv))' \
	"updraft-server-$1-$pid.scope" fail \
	@count@ Description s "Server $1" PIDs au 1 "$pid" Slice s machine.slice CollectMode s inactive-or-failed@after@ \
	0 </dev/null || echo "updraft: $1 stays in libvirtd's unit" >&2
exit 0
`

func hook(b *stack.Builder) string {
	p := path.Join(stack.ConfigDir(name), "hook")
	count, after := "4", ""
	if all := shared(b.D); len(all) > 0 {
		count, after = "5", fmt.Sprintf(" After as %d", len(all))
		for _, v := range all {
			after += " " + gluster.Unit(v)
		}
	}
	text := strings.NewReplacer("@count@", count, "@after@", after).Replace(hookProgram)
	b.Add(configset.Item{
		Resource: &file.Resource{Path: p, Content: text, Mode: "0755", Owner: "root", Group: "root"}, Phase: engine.Configure,
	})
	return p
}
