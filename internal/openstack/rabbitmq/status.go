package rabbitmq

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// distributionPort is where members listen for each other.
const distributionPort = 25672

// clusters says how to see whom a member is connected with. The kernel's table of
// connections tells it in a millisecond; RabbitMQ's own tools take a second or two
// of a core for each member. A member that is in a minority closes the port for
// clients (pause_minority), so that one whose port is open takes part.
//
// Source: proc_pid_net(5), "tcp": addresses in hexadecimal, state 0A listens and
// 01 is connected.
func clusters(d *stack.Deployment) []status.Ensemble {
	e := status.Ensemble{Name: name, Ask: func(string) string {
		return fmt.Sprintf(`awk '$4 == "0A" && $2 ~ /:%04X$/ { print "open" } `+
			`$4 == "01" && ($2 ~ /:%04[2]X$/ || $3 ~ /:%04[2]X$/) && substr($2, 1, 8) != substr($3, 1, 8) { print "with", substr($3, 1, 8) }' /proc/net/tcp | sort -u`, stack.RabbitPort, distributionPort)
	}}
	members := map[string]bool{}
	for _, h := range d.Spec.Controllers {
		e.Hosts = append(e.Hosts, h.Name)
		members[tableAddress(d.Address(h))] = true
	}
	e.Read = func(printed string) status.Member { return member(printed, members) }
	return []status.Ensemble{e}
}

// tableAddress is an IPv4 address as it stands in the kernel's table on all
// machines that updraft runs on: the bytes from the last to the first.
func tableAddress(address string) string {
	a, err := netip.ParseAddr(address)
	if err != nil || !a.Is4() {
		return ""
	}
	b := a.As4()
	return fmt.Sprintf("%02X%02X%02X%02X", b[3], b[2], b[1], b[0])
}

// member counts the other members that this one is connected with. What connects
// from the host itself are RabbitMQ's tools.
func member(printed string, members map[string]bool) status.Member {
	m := status.Member{State: "closed to clients", Sees: 1}
	for line := range strings.Lines(printed) {
		line = strings.TrimSpace(line)
		if line == "open" {
			m.Serves, m.State = true, "runs"
		}
		if peer, ok := strings.CutPrefix(line, "with "); ok && members[peer] {
			m.Sees++
		}
	}
	return m
}

// looks shows what the server says of its cluster and its queues.
func looks(d *stack.Deployment, h *spec.Host) []logbundle.Look {
	if !slices.Contains(d.Spec.Controllers, h) {
		return nil
	}
	ctl := "timeout 30 podman exec " + name + " /usr/lib/rabbitmq/bin/rabbitmqctl "
	return []logbundle.Look{{File: "rabbitmq.txt", Script: ctl + "cluster_status; " + ctl + "--vhost " + stack.RabbitHost(d) + " list_queues name type messages consumers state"}}
}
