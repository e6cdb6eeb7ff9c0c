// Package neutron is the network service: networks, routers and ports as tenants
// see them, which it writes into OVN's northbound database (ML2/OVN). There are no
// agents but one: on computes, what answers servers that ask for their metadata.
//
// Networks of the cloud file that are external become flat physical networks under
// the same names.
package neutron

import (
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/container"
)

const (
	name     = "neutron"
	image    = "openstack"
	port     = 9696
	stateDir = "/var/lib/neutron"
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{
		Name: name, Doc: "Networks (Neutron with ML2/OVN), and metadata for servers on computes.", Build: build, User: name,
		Databases: []stack.Database{{Name: name, User: name}},
		Endpoints: []stack.Endpoint{{Service: name, Type: "network", Port: port, Check: "/", Status: "200"}},
		Sections:  sections(), Options: options,
	}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Controllers {
		b := d.On(h, name)
		server(b)
		out = append(out, b.Items()...)
	}
	for _, h := range d.Spec.Computes {
		b := d.On(h, name)
		agent(b)
		out = append(out, b.Items()...)
	}
	return out
}

// server adds the API with its workers. It waits for its schema and for OVN's
// northbound and southbound databases of its own controller, without which it
// ends.
func server(b *stack.Builder) {
	d := b.D
	conf := b.Oslo("neutron.conf", serverConfig(d), name)
	leaf := b.Leaf(name)
	schema := stack.OnHost(d.First(), "command:neutron schema")
	if b.Host == d.First() {
		job := stack.Job{Image: image, User: name, Run: withConfig("neutron-db-manage", "upgrade", "heads"), Volumes: conf.Volumes, Needs: conf.Needs()}
		schema = b.Schema(stack.Schema{Job: job, Database: name, Witness: "standardattributes"})
	}
	b.Serving(port, container.Resource{
		Name: "neutron-server", Image: image, User: name, Exec: withConfig("neutron-server"),
		Volumes: conf.Mounted(leafVolume()), RestartOn: conf.Paths,
		Ready: &container.Ready{HTTP: "http://" + stack.HostPort(stack.Local, port) + "/", Status: []int{200}, Timeout: stack.Patience},
	}, schema, "file:"+leaf, "container:ovn-nb", "container:ovn-sb")
}

// withConfig is a program that is told of its configuration: left to themselves,
// distributions' programs add packaged files of settings, which come last.
func withConfig(program string, args ...string) []string {
	return append([]string{program, "--config-file", "/etc/neutron/neutron.conf", "--config-dir", "/etc/neutron/neutron.conf.d"}, args...)
}

// common is what the server and the agent are told.
func common(d *stack.Deployment) *stack.INI {
	var f stack.INI
	stack.Logging(&f)
	f.Set("DEFAULT", "state_path", stateDir)
	stack.Messaging(d, &f)
	stack.Locks(&f, path.Join(stateDir, "locks"))
	f.SetAll("ovn", "ovn_sb_connection", stack.OVNSouth(d), "ovn_metadata_enabled", true)
	proof(&f, "ovn_sb")
	return &f
}

// proof sets what Neutron shows to one of OVN's databases, and whom it believes
// there. The files are read again for each connection.
func proof(f *stack.INI, database string) {
	leaf := stack.LeafFile(name)
	f.SetAll("ovn", database+"_private_key", leaf, database+"_certificate", leaf, database+"_ca_cert", stack.CAFile)
}

// leafVolume is the directory of the certificate.
func leafVolume() container.Volume {
	return stack.Mount(stack.ConfigDir(name), stack.ConfigDir(name))
}

// serverConfig holds ML2's settings, too: with one file there is one order in
// which settings override each other.
func serverConfig(d *stack.Deployment) *stack.INI {
	f := common(d)
	f.SetAll("DEFAULT",
		"bind_host", stack.Local,
		"bind_port", port,
		"core_plugin", "ml2",
		"service_plugins", "ovn-router,segments",
		"auth_strategy", "keystone",
		"api_workers", d.Spec.Workers,
		// With OVN nobody calls: its agents have OVN's databases. A worker would
		// wait for nothing, with some 30 MiB.
		"rpc_workers", 0,
		"rpc_state_report_workers", 0,
		"dhcp_agent_notification", false,
		"notify_nova_on_port_status_changes", true,
		"notify_nova_on_port_data_changes", true,
	)
	stack.DatabaseSection(d, f, "database", name, name)
	stack.Authtoken(d, f, name)
	stack.Client(d, f, "nova", name)
	stack.Client(d, f, "placement", name)
	ml2(d, f)
	stack.API(f)
	return f
}

func ml2(d *stack.Deployment, f *stack.INI) {
	f.SetAll("ml2",
		"mechanism_drivers", "ovn",
		"extension_drivers", "port_security",
		"type_drivers", "local,flat,vlan,geneve",
		"tenant_network_types", "geneve",
		"overlay_ip_version", 4,
	)
	// 38 is what OVN's own options add to a Geneve header, in bytes.
	f.SetAll("ml2_type_geneve", "vni_ranges", "1:65536", "max_header_size", 38)
	f.Set("ml2_type_flat", "flat_networks", strings.Join(d.Spec.External, ","))
	f.Set("ml2_type_vlan", "network_vlan_ranges", strings.Join(d.Spec.External, ","))
	f.Set("securitygroup", "enable_security_group", true)
	f.SetAll("ovn",
		"ovn_nb_connection", stack.OVNNorth(d),
		"ovn_l3_scheduler", "leastloaded",
		"enable_distributed_floating_ip", true,
		"ovn_emit_need_to_frag", true,
	)
	proof(f, "ovn_nb")
}
