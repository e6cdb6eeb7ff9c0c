package openvswitch

import (
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// looks shows the switch's settings, ports, flows and tunnels.
func looks(d *stack.Deployment, h *spec.Host) []logbundle.Look {
	if !slices.Contains(d.Spec.Computes, h) {
		return nil
	}
	var text []string
	for _, words := range [][]string{
		{"ovs-vsctl", "--timeout=10", "show"},
		{"ovs-vsctl", "--timeout=10", "list", "Open_vSwitch"},
		{"ovs-appctl", "-t", run + "/ovs-vswitchd.ctl", "dpif/show"},
		{"ovs-appctl", "-t", run + "/ovs-vswitchd.ctl", "upcall/show"},
		{"ovs-ofctl", "dump-ports", "br-int"},
		{"ovs-ofctl", "--sort", "dump-flows", "br-int"},
	} {
		text = append(text, stack.Inside("ovs-vswitchd", transport.Quote(words...)))
	}
	return []logbundle.Look{{File: "openvswitch.txt", Script: strings.Join(text, "; ")}}
}
