// Package edge is the configset of hosts that hold a virtual address: HAProxy in
// front of a group of hosts, and keepalived, by which one of the edges has the
// address at any time.
//
// It guarantees that the configuration is accepted by the real programs before
// it replaces a working one, that a change of weights or members reloads HAProxy
// without closing its listeners, and that an edge whose HAProxy does not answer
// gives the address up.
package edge

import (
	"net/netip"
	"time"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Params are the parameters.
type Params struct {
	VIP            string         `json:"vip" required:"true" format:"label" doc:"The name of the virtual address (vips in the cloud file) that is served. The hosts with this configset should be those of its group."`
	Backends       string         `json:"backends" required:"true" format:"label" doc:"The hosts that answer behind it: a group, a role or a host."`
	Port           int            `json:"port" default:"80" min:"1" max:"65535" doc:"The port that clients connect to."`
	BackendPort    int            `json:"backend_port" default:"80" min:"1" max:"65535" doc:"The port that the backends listen on."`
	BackendNetwork string         `json:"backend_network" format:"label" doc:"The network by which backends are reached. Left out, that of the virtual address if all of them are on it, or else the first that the edge has in common with them."`
	Mode           string         `json:"mode" default:"http" enum:"http,tcp" doc:"http balances requests and adds X-Forwarded-For; tcp balances connections."`
	Balance        string         `json:"balance" default:"roundrobin" enum:"roundrobin,leastconn,source,random" doc:"How backends are chosen."`
	Weights        map[string]int `json:"weights" keys:"label" min:"0" max:"256" doc:"Shares of backends by host name, 0 to 256; 1 for those not named. 0 sends nothing new to a backend."`
	Check          string         `json:"check" default:"/" doc:"The path that HAProxy asks each backend for, every second; an answer of 2xx or 3xx is a healthy backend. Empty, or in mode tcp, a connection is enough."`
	StatsSocket    string         `json:"stats_socket" default:"/run/haproxy/admin.sock" format:"path" doc:"The socket for statistics and run-time commands."`
	HealthPort     int            `json:"health_port" default:"8405" min:"1" max:"65535" doc:"The port on 127.0.0.1 on which HAProxy tells keepalived that it is alive."`
	Advert         time.Duration  `json:"advert" doc:"How often the edge that has the address says so, from 100ms to 1s; 500ms when left out. After three that are missing another edge takes it: shorter means faster, and more easily disturbed by a busy computer."`
	RouterID       int            `json:"router_id" min:"0" max:"255" doc:"The VRRP router id, one per virtual address in a network. Left out, the last byte of the address."`
	Preempt        bool           `json:"preempt" default:"false" doc:"Give the address back to the first edge when it returns, at the price of a second interruption."`
}

// Set returns the configset.
func Set() configset.Set {
	return configset.Set{
		Name: "edge",
		Doc: "HAProxy behind a virtual address, in front of a group of hosts. " +
			"The edges agree by VRRP (keepalived) on who has the address. Put it on the hosts of the group that the " +
			"virtual address belongs to; traffic goes to backends by the network that both have. " +
			"Statistics: echo 'show stat' | socat - /run/haproxy/admin.sock.",
		Params: func() any { return configset.Defaults(&Params{}) },
		Build:  build,
	}
}

// service is what the parameters come to on one host.
type service struct {
	Params
	host     string
	vip      spec.VIP
	nic      string // that the address is put on
	own      netip.Addr
	peers    []netip.Addr
	priority int
	routerID int
	advert   time.Duration
	backends []backend
}

type backend struct {
	name    string
	address netip.Addr
	weight  int
}

// build is the configset's Build.
func build(in *configset.Input) []configset.Item {
	s := resolve(in)
	if s == nil {
		return nil
	}
	return s.items(in)
}
