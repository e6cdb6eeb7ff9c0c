package mariadb

import (
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// answered ends what a server that works prints.
const answered = "answered"

// clusters says how to ask the servers how they are.
//
// Source: Galera's documentation, "Status Variables".
func clusters(d *stack.Deployment) []status.Ensemble {
	e := status.Ensemble{Name: "galera", Read: member, Ask: func(string) string {
		return stack.Inside(name, transport.Quote(query("SHOW STATUS LIKE 'wsrep%'")...)) + " && echo " + answered
	}}
	if !replicated(d) {
		e.Name, e.Read = name, alone
	}
	for _, h := range d.Spec.Controllers {
		e.Hosts = append(e.Hosts, h.Name)
	}
	return []status.Ensemble{e}
}

// alone is a server that replicates to no other.
func alone(printed string) status.Member {
	if !strings.HasSuffix(printed, answered) {
		return status.Member{State: "does not answer"}
	}
	return status.Member{State: "answers", Serves: true, Sees: 1}
}

// member reads a server's variables of Galera. A donor serves, too: it takes part in
// decisions, and clients wait for no longer than a copy begins.
func member(printed string) status.Member {
	if !strings.HasSuffix(printed, answered) {
		return status.Member{State: "does not answer"}
	}
	v := map[string]string{}
	for line := range strings.Lines(printed) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "\t"); ok {
			v[key] = value
		}
	}
	size, _ := strconv.Atoi(v["wsrep_cluster_size"]) // 0 is not known
	m := status.Member{
		State: strings.ToLower(v["wsrep_local_state_comment"]), Sees: size, Identity: v["wsrep_cluster_state_uuid"],
		Serves: v["wsrep_ready"] == "ON" && v["wsrep_cluster_status"] == "Primary",
	}
	if v["wsrep_cluster_status"] != "Primary" {
		m.State = "not in the primary component"
	}
	return m
}

// looks shows how the server replicates, who is connected, and what is locked.
func looks(d *stack.Deployment, h *spec.Host) []logbundle.Look {
	if !slices.Contains(d.Spec.Controllers, h) {
		return nil
	}
	ask := stack.Inside(name, transport.Quote(query("SHOW STATUS LIKE 'wsrep%'; SHOW STATUS LIKE 'Threads%'; "+
		"SELECT user, host, db, command, time, state FROM information_schema.processlist ORDER BY time DESC LIMIT 100; SHOW ENGINE INNODB STATUS")...))
	return []logbundle.Look{{File: "mariadb.txt", Script: ask + "; cat " + stack.DataDir(name) + "/data/grastate.dat"}}
}
