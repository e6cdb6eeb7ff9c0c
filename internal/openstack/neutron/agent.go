package neutron

import (
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

// agent adds the metadata agent of a compute. It makes a network namespace with a
// proxy for each network that has servers on the host; namespaces are mounted
// below /run/netns of the host, so that they outlive the container.
func agent(b *stack.Builder) {
	conf := b.Oslo("neutron.conf", agentConfig(b.D), name)
	leaf := b.Leaf(name)
	data := b.Data(name)
	run := b.Runtime("/run/netns", "/run/openvswitch")
	b.Container(container.Resource{
		Name: "ovn-metadata", Image: image, Privileged: true, Exec: withConfig("neutron-ovn-metadata-agent"),
		Volumes: conf.Mounted(
			leafVolume(),
			container.Volume{Source: "/run/netns", Target: "/run/netns", Options: "rshared"},
			container.Volume{Source: "/run/openvswitch", Target: "/run/openvswitch"},
			container.Volume{Source: data, Target: stateDir},
		),
		RestartOn: conf.Paths,
	}, run, "file:"+leaf, "directory:"+data, "container:ovn-controller")
}

func agentConfig(d *stack.Deployment) *stack.INI {
	f := common(d)
	f.SetAll("DEFAULT",
		"nova_metadata_protocol", "https",
		"nova_metadata_host", d.VIP(),
		"nova_metadata_port", stack.MetadataPort,
		"auth_ca_cert", stack.CAFile,
		"metadata_proxy_shared_secret", d.Secrets.Password(stack.SecretMetadata),
		// The agent itself answers; a worker of its own would be another 110 MiB.
		"metadata_workers", 0,
	)
	f.Set("ovs", "ovsdb_connection", "unix:/run/openvswitch/db.sock")
	// It is root already.
	f.SetAll("agent", "root_helper", "", "root_helper_daemon", "")
	return f
}
