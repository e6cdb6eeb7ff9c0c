package etcd

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/logbundle"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// ask is shell text that asks a controller's member.
func ask(d *stack.Deployment, h *spec.Host, words ...string) string {
	return stack.Inside(name, transport.Quote(append(ctl(d, h), words...)...))
}

// clusters says how to ask the members how they are. Only a member that has a
// majority with it tells who all of them are.
func clusters(d *stack.Deployment) []status.Ensemble {
	if len(d.Spec.Controllers) == 1 {
		return nil
	}
	e := status.Ensemble{Name: name, Read: read, Ask: func(host string) string {
		i := slices.IndexFunc(d.Spec.Controllers, func(h *spec.Host) bool { return h.Name == host })
		h := d.Spec.Controllers[max(i, 0)]
		return ask(d, h, "endpoint", "status", "--write-out=json") + " && " + ask(d, h, "member", "list")
	}}
	for _, h := range d.Spec.Controllers {
		e.Hosts = append(e.Hosts, h.Name)
	}
	return []status.Ensemble{e}
}

// read reads what both print: a line of JSON, and a line for each member.
//
// Source: etcd's documentation, "API reference", StatusResponse.
func read(printed string) status.Member {
	first, list, _ := strings.Cut(strings.TrimSpace(printed), "\n")
	var answers []struct {
		Status struct {
			Header struct {
				Cluster uint64 `json:"cluster_id"`
				Member  uint64 `json:"member_id"`
			} `json:"header"`
			Leader uint64 `json:"leader"`
			Term   int    `json:"raftTerm"`
		}
	}
	if err := json.Unmarshal([]byte(first), &answers); err != nil || len(answers) != 1 {
		return status.Member{State: "does not answer"}
	}
	s := answers[0].Status
	m := status.Member{
		State: "follower", Identity: strconv.FormatUint(s.Header.Cluster, 16), Term: s.Term,
		Leader: s.Leader == s.Header.Member && s.Leader != 0,
	}
	for line := range strings.Lines(list) {
		if strings.Contains(line, ", started, ") || strings.Contains(line, ", unstarted, ") {
			m.Sees++
		}
	}
	m.Serves = s.Leader != 0 && m.Sees > 0
	switch {
	case !m.Serves:
		m.State = "without a majority"
	case m.Leader:
		m.State = "leader"
	}
	return m
}

// looks shows the members, who leads, and what they complain about.
func looks(d *stack.Deployment, h *spec.Host) []logbundle.Look {
	if len(d.Spec.Controllers) == 1 || !slices.Contains(d.Spec.Controllers, h) {
		return nil
	}
	return []logbundle.Look{{File: "etcd.txt", Script: strings.Join([]string{
		ask(d, h, "endpoint", "status", "--write-out=table"), ask(d, h, "member", "list", "--write-out=table"),
		ask(d, h, "alarm", "list"), ask(d, h, "get", "--prefix", "/"),
	}, "; ")}}
}
