// Package openvswitch is the switch on computes.
//
// Whether the kernel switches packets or Open vSwitch does so itself is observed
// each time it starts: the kernel's part where the kernel has it, the userspace
// datapath otherwise. The bridges that take NICs over are made by a script that a
// unit runs whenever Open vSwitch was started, at boot, too; what it has to do it
// sees from the host.
package openvswitch

import (
	_ "embed"
	"fmt"
	"net/netip"
	"path"
	"strings"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/kernelmodule"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

const (
	name  = "openvswitch"
	image = "openstack"
	run   = "/run/openvswitch"
	// bridgesUnit runs the script that makes bridges.
	bridgesUnit = "updraft-bridges.service"
	// TunnelBridge has the NIC of the tenants' tunnels, with the userspace
	// datapath.
	TunnelBridge = "br-data"
)

// The scripts.
var (
	//go:embed vswitchd.sh
	vswitchdScript string
	//go:embed bridges.sh
	bridgesScript string
)

// Service returns the service.
func Service() stack.Service {
	return stack.Service{Name: name, Doc: "The switch on computes (Open vSwitch), in the kernel where that has it.", Build: build, Looks: looks}
}

func build(d *stack.Deployment) []stack.Item {
	var out []stack.Item
	for _, h := range d.Spec.Computes {
		b := d.On(h, name)
		dir := b.Dir(stack.ConfigDir(name), "", "0755")
		runtime := b.Runtime(run)
		database(b, runtime)
		settings(b)
		daemon(b, dir, runtime)
		bridges(b)
		out = append(out, b.Items()...)
	}
	return out
}

const (
	model  = "/usr/share/openvswitch/vswitch.ovsschema"
	socket = run + "/db.sock"
)

// database adds the switch's own database.
//
// Source: ovsdb-tool(1), ovsdb-client(1).
func database(b *stack.Builder, runtime string) {
	data := b.Data("")
	file := path.Join(data, "conf.db")
	volumes := []container.Volume{{Source: data, Target: data}, {Source: run, Target: run}}
	b.Job(stack.Job{
		Name: "openvswitch database", Image: image, Volumes: volumes,
		Run:   []string{"sh", "-euc", `rm -f "$1.new"; ovsdb-tool create "$1.new" "$2"; sync "$1.new"; mv "$1.new" "$1"`, "sh", file, model},
		Done:  "test -s " + file,
		Needs: []string{"directory:" + data, runtime},
	})
	b.Container(container.Resource{
		Name: "ovsdb-server", Image: image, Volumes: volumes,
		Exec: []string{
			"ovsdb-server", "-vconsole:info", "-vsyslog:off", "--remote=punix:" + socket,
			"--unixctl=" + run + "/ovsdb-server.ctl", file,
		},
		Ready: &container.Ready{Unix: socket},
	}, "command:openvswitch database")
	inside := func(script string) string {
		return stack.Inside("ovsdb-server", transport.Quote("sh", "-euc", script))
	}
	b.Command(command.Resource{
		Name:   "openvswitch schema",
		Script: inside(fmt.Sprintf("ovsdb-client convert unix:%s %s", socket, model)),
		Unless: inside(fmt.Sprintf(`test "$(ovsdb-client get-schema-version unix:%s Open_vSwitch)" = "$(ovsdb-tool schema-version %s)"`, socket, model)),
	}, engine.Start, "container:ovsdb-server")
}

// settings adds what ovn-controller reads in the switch's database.
//
// Source: ovn-controller(8), "Configuration".
func settings(b *stack.Builder) {
	d, h := b.D, b.Host
	var mappings []string
	for _, network := range d.Spec.External {
		mappings = append(mappings, network+":"+bridge(network))
	}
	want := [][2]string{
		{"system-id", h.Name},
		{"hostname", h.Name},
		{"ovn-remote", stack.OVNSouth(d)},
		{"ovn-encap-type", "geneve"},
		{"ovn-encap-ip", d.TunnelAddress(h)},
		{"ovn-bridge-mappings", strings.Join(mappings, ",")},
		{"ovn-cms-options", gateway(mappings)},
	}
	set := []string{"ovs-vsctl", "--no-wait", "--timeout=30", "set", "Open_vSwitch", "."}
	get := []string{"ovs-vsctl", "--no-wait", "--timeout=10", "--if-exists", "get", "Open_vSwitch", "."}
	var values strings.Builder
	for _, w := range want {
		set = append(set, fmt.Sprintf("external_ids:%s=%q", w[0], w[1]))
		get = append(get, "external_ids:"+w[0])
		values.WriteString(ovsText(w[1]) + "\n")
	}
	b.Command(command.Resource{
		Name:   "openvswitch settings",
		Script: stack.Inside("ovsdb-server", transport.Quote(set...)),
		Unless: fmt.Sprintf(`test "$(%s)" = %s`, stack.Inside("ovsdb-server", transport.Quote(get...)), transport.Quote(strings.TrimSuffix(values.String(), "\n"))),
	}, engine.Start, "command:openvswitch schema")
}

// gateway makes a compute one of those that routers' external ports may be on.
func gateway(mappings []string) string {
	if len(mappings) == 0 {
		return ""
	}
	return "enable-chassis-as-gw"
}

// ovsText is how ovs-vsctl prints a text.
//
// Source: ovs-vsctl(8), "Database Values": what begins with a letter and has only
// letters, digits, "_", "-" and "." needs no quotes.
func ovsText(s string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-."
	if s != "" && strings.Trim(s, plain) == "" && !strings.ContainsAny(s[:1], "0123456789-.") {
		return s
	}
	return `"` + s + `"`
}

// daemon adds the switch itself.
func daemon(b *stack.Builder, dir, runtime string) {
	b.Add(configset.Item{Resource: &kernelmodule.Resource{Name: "openvswitch", Optional: true}, Phase: engine.Configure})
	script := b.Config("vswitchd.sh", vswitchdScript)
	b.Container(container.Resource{
		Name: "ovs-vswitchd", Image: image, Privileged: true,
		Volumes:   []container.Volume{{Source: run, Target: run}, stack.Mount(dir, dir)},
		Exec:      []string{"sh", script},
		After:     []string{"ovsdb-server"},
		RestartOn: []string{script},
		Ready:     &container.Ready{Exec: []string{"ovs-appctl", "-t", run + "/ovs-vswitchd.ctl", "version"}},
	}, "kernelmodule:openvswitch", "command:openvswitch schema", runtime)
}

// bridges adds the bridges that take NICs over.
func bridges(b *stack.Builder) {
	d, h := b.D, b.Host
	var list strings.Builder
	add := func(when, bridge, network string) {
		if nic := nicOn(h, network); nic != nil {
			fmt.Fprintf(&list, "%s %s\n", when, transport.Quote(words(bridge, nic)...))
		}
	}
	add("tunnel", TunnelBridge, d.Spec.Tunnel)
	for _, network := range d.Spec.External {
		add("external", bridge(network), network)
	}
	script := b.Config("bridges.sh", strings.Replace(bridgesScript, "@BRIDGES@\n", list.String(), 1))
	enabled := true
	service := &unit.Resource{Name: bridgesUnit, Enabled: &enabled, Content: unitText(script)}
	b.Add(configset.Item{Resource: service, Phase: engine.Configure, Needs: []string{"container:ovs-vswitchd"}})
	b.Add(configset.Item{
		Resource: &command.Resource{
			Name: "openvswitch bridges", Run: []string{"systemctl", "restart", bridgesUnit}, Unless: "bash " + script + " check", Timeout: "2m",
		},
		Phase: engine.Start, Needs: []string{"container:ovs-vswitchd", "unit:" + bridgesUnit}, Triggers: []string{"file:" + script},
	})
}

// words are the arguments of a line of the script: bridge, NIC, gateway, addresses.
func words(bridge string, nic *spec.NIC) []string {
	gateway := "none"
	if nic.Gateway.IsValid() {
		gateway = nic.Gateway.String()
	}
	out := []string{bridge, nic.Name, gateway}
	for _, a := range []netip.Prefix{nic.Address, nic.Address6} {
		if a.IsValid() {
			out = append(out, a.String())
		}
	}
	return out
}

// unitText is the unit that runs the script. It is started with Open vSwitch, and
// again with it: in the userspace datapath the bridges' interfaces, and with them
// their addresses, come and go with the daemon.
func unitText(script string) string {
	return stack.Header + `[Unit]
Description=NICs in Open vSwitch's bridges
PartOf=ovs-vswitchd.service
After=ovs-vswitchd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/bash ` + script + ` apply
TimeoutStartSec=120
Restart=on-failure
RestartSec=1

[Install]
WantedBy=ovs-vswitchd.service
`
}

// bridge is the name of an external network's bridge. Interfaces have names of at
// most 15 bytes, and labels are longer than the 12 that are left for them only
// where somebody wants it so: then a few of them tell networks apart.
func bridge(network string) string {
	const most, prefix = 15, "br-"
	if len(prefix+network) <= most {
		return prefix + network
	}
	const keep, digits = 7, 4
	return fmt.Sprintf("%s%s-%0*x", prefix, network[:keep], digits, checksum(network))
}

// checksum is a number of 16 bits (Fletcher's, RFC 1146).
func checksum(s string) uint16 {
	var a, b uint16
	for _, c := range []byte(s) {
		a = (a + uint16(c)) % 255
		b = (b + a) % 255
	}
	return b<<8 | a
}

// nicOn returns the host's NIC in a network, or nil.
func nicOn(h *spec.Host, network string) *spec.NIC {
	for i := range h.NICs {
		if h.NICs[i].Network == network {
			return &h.NICs[i]
		}
	}
	return nil
}
