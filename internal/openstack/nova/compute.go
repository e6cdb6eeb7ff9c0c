package nova

import (
	_ "embed"
	"fmt"
	"path"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/libvirt"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// compute adds nova-compute. It is root in its container, as it makes disks and
// gives them to QEMU. It ends without libvirt; a conductor it waits for.
func compute(b *stack.Builder) {
	d := b.D
	conf := b.Oslo("nova.conf", computeConfig(d, b.Host.Name, d.Address(b.Host)), name)
	kvm, qemu := b.Config("virt-kvm.conf", virtConfig("kvm")), b.Config("virt-qemu.conf", virtConfig("qemu"))
	program := b.Config("started.py", startedProgram)
	start := b.Config("compute.sh", startProgram(d.Spec.VirtType, program))
	files := []string{kvm, qemu, start, program}
	if d.Spec.Storage.Volumes != "" {
		files = append(files, b.Config("updraft_volumes.py", volumesModule))
	}
	volumes := libvirt.Shared(d)
	for _, f := range files {
		volumes = append(volumes, stack.Mount(f, f))
	}
	identity(b)
	b.Container(container.Resource{
		Name: "nova-compute", Image: image, Privileged: true, Exec: []string{"sh", "-eu", start},
		Volumes:   conf.Mounted(volumes...),
		Mounts:    libvirt.Mounts(d),
		RestartOn: conf.Watched(files...),
		After:     []string{libvirt.Container},
		Ready:     &container.Ready{Exec: []string{"test", "-e", started}, Timeout: stack.Patience},
	}, "container:"+libvirt.Container, "command:"+identityJob, stack.OnHost(d.First(), "container:nova-conductor"))
}

// volumesModule lies beside the program that runs nova-compute, where Python finds it.
//
//go:embed updraft_volumes.py
var volumesModule string

// Identity is the UUID by which Nova knows what a compute has, and Placement the
// compute.
func Identity(d *stack.Deployment, h *spec.Host) string {
	return stack.UUID("compute", d.Cloud.Name, h.Name)
}

const identityJob = "nova compute identity"

// identity adds the command that tells nova-compute who it is. Left to itself it
// makes an identity up when it first starts, and never starts again where that was
// lost with the disk. One that there is stays.
//
// Source: Nova's documentation, "Compute Node Identification".
func identity(b *stack.Builder) {
	at := path.Join(libvirt.ServersDir(), "compute_id")
	b.Command(command.Resource{
		Name: identityJob, Script: fmt.Sprintf("echo %[1]s >%[2]s.new\nmv %[2]s.new %[2]s\n", Identity(b.D, b.Host), at), Creates: at,
	}, engine.Configure, "directory:"+libvirt.ServersDir())
}

// startProgram starts nova-compute with what the host can run servers with. That
// is tried each time: /dev/kvm can be opened only where the processor and the
// kernel have it. (A shell that opens for reading and writing makes what is not
// there, so it is looked at before.)
func startProgram(virtType, program string) string {
	choice := "virt=" + virtType + "\n"
	if virtType == "auto" {
		choice = "virt=qemu\nif test -c /dev/kvm && (: <>/dev/kvm) 2>/dev/null; then virt=kvm; fi\n"
	}
	return stack.Header + choice + "exec python3 " + program + " nova-compute " + started + " --config-file /etc/nova/nova.conf \\\n" +
		"\t--config-file " + stack.ConfigDir(name) + "/virt-$virt.conf --config-dir /etc/nova/nova.conf.d\n"
}

// virtConfig is what differs between servers on the processor and emulated ones.
// An emulated firmware takes a while for each PCIe port, and there is one per
// network card and disk that could still be plugged in.
func virtConfig(kind string) string {
	var f stack.INI
	f.Set("libvirt", "virt_type", kind)
	if kind == "qemu" {
		f.SetAll("libvirt", "cpu_mode", "none", "num_pcie_ports", 8)
	}
	return f.String()
}

// How long, in seconds, a server waits for Neutron to plug its network; then it fails
// rather than starts without one. With several controllers it starts: for a minute after
// one has died, what OVN tells of some ports is given to that one (Neutron's ring of
// workers takes so long to forget it), while OVN itself has plugged the network.
const (
	vifTimeout       = 120
	vifTimeoutOfMany = 45
)

func computeConfig(d *stack.Deployment, host, address string) *stack.INI {
	f := common(d, address)
	f.SetAll("DEFAULT",
		// The name by which OVN knows the host, too.
		"host", host,
		"compute_driver", "libvirt.LibvirtDriver",
		"vif_plugging_timeout", vifTimeout,
		// What ran when the power went runs again when it is back.
		"resume_guests_state_on_host_boot", true,
	)
	if len(d.Spec.Controllers) > 1 {
		f.SetAll("DEFAULT", "vif_plugging_timeout", vifTimeoutOfMany, "vif_plugging_is_fatal", false)
	}
	f.SetAll("libvirt",
		"hw_machine_type", "x86_64=q35",
		// How servers move while they run; see package libvirt. A server that writes
		// faster than the network sends is slowed down rather than never moved.
		"live_migration_scheme", "tls",
		"live_migration_with_native_tls", true,
		"live_migration_inbound_addr", address,
		"live_migration_permit_auto_converge", true,
	)
	f.SetAll("vnc", "server_listen", address, "server_proxyclient_address", address)
	f.Set("os_vif_ovs", "ovsdb_connection", "unix:/run/openvswitch/db.sock")
	return f
}
