package ovn

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// clusters says how to ask the members of both databases how they are.
func clusters(d *stack.Deployment) []status.Ensemble {
	var out []status.Ensemble
	for _, db := range databases() {
		e := status.Ensemble{Name: db.container(), Read: member, Ask: func(string) string {
			return stack.Inside(db.container(), transport.Quote("ovs-appctl", "-t", db.control(), "cluster/status", db.schema))
		}}
		for _, h := range d.Spec.Controllers {
			e.Hosts = append(e.Hosts, h.Name)
		}
		out = append(out, e)
	}
	return out
}

// member reads what cluster/status prints: lines of the form NAME: VALUE, and under
// "Servers:" an indented line for each member of the cluster.
//
// Source: ovsdb-server(1), "Cluster Commands".
func member(printed string) status.Member {
	v := map[string]string{}
	servers := 0
	for line := range strings.Lines(printed) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), ": ")
		switch {
		case strings.HasPrefix(line, "    ") && strings.Contains(line, " at "):
			servers++
		case ok:
			v[key] = value
		}
	}
	m := status.Member{State: v["Role"], Sees: servers, Identity: v["Cluster ID"], Leader: v["Role"] == "leader"}
	m.Term, _ = strconv.Atoi(v["Term"]) // 0 is not known
	m.Serves = v["Status"] == "cluster member" && v["Leader"] != "" && v["Leader"] != "unknown"
	switch {
	case m.State == "":
		m.State = "does not answer"
	case v["Status"] != "cluster member":
		m.State = v["Status"]
	case !m.Serves:
		m.State += ", without a leader"
	}
	return m
}

// looks shows both databases and their clusters on a controller, and what
// ovn-controller makes of them on a compute.
func looks(d *stack.Deployment, h *spec.Host) []logbundle.Look {
	var text []string
	if slices.Contains(d.Spec.Controllers, h) {
		for _, db := range databases() {
			inside := func(words ...string) { text = append(text, stack.Inside(db.container(), transport.Quote(words...))) }
			inside("ovs-appctl", "-t", db.control(), "cluster/status", db.schema)
			inside("ovn-"+db.short+"ctl", "--no-leader-only", "--timeout=10", "--db=unix:"+db.socket(), "show")
		}
		text = append(text, stack.Inside("ovn-northd", transport.Quote("ovs-appctl", "-t", path.Join(run, "ovn-northd.ctl"), "status")))
	}
	if slices.Contains(d.Spec.Computes, h) {
		control := path.Join(run, "ovn-controller.ctl")
		for _, what := range []string{"connection-status", "ct-zone-list", "coverage/show"} {
			text = append(text, stack.Inside("ovn-controller", transport.Quote("ovs-appctl", "-t", control, what)))
		}
	}
	if len(text) == 0 {
		return nil
	}
	return []logbundle.Look{{File: "ovn.txt", Script: strings.Join(text, "; ")}}
}
