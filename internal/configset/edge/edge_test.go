package edge

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/configset/configsettest"
)

func TestGolden(t *testing.T) { configsettest.Golden(t, Set(), basebox.Set()) }

func TestFaults(t *testing.T) {
	const cloud = `
version: 1
cloud: shop
networks:
  front: {cidr: 10.88.0.0/24}
  back: {cidr: 10.88.1.0/24}
  lonely: {cidr: 10.88.2.0/24}
groups:
  edge: {count: 2, nics: [front, back], configsets: {edge: %s}}
  web: {count: 2, nics: [back]}
  apart: {count: 1, nics: [lonely]}
vips:
  www: {network: front, address: 10.88.0.10, group: edge}
  other: {network: back, address: 10.88.1.10, group: web}
  wide: {network: front, address: 10.88.0.200, group: edge}
`
	configsettest.Faults(t, Set(), cloud, []configsettest.Fault{
		{Rule: "a virtual address is required", Params: `{backends: web}`, Want: `vip is missing`},
		{Rule: "without any parameters, too", Params: ``, Want: `vip is missing`},
		{Rule: "the virtual address is declared", Params: `{vip: wwww, backends: web}`, Want: `there is no virtual address "wwww" (declare it under vips)`},
		{Rule: "an edge is of the address's group", Params: `{vip: other, backends: web}`, Want: `virtual address other belongs to web, and edge1 is not in it`},
		{Rule: "backends are hosts", Params: `{vip: www, backends: wev}`, Want: `there are no hosts "wev"`},
		{Rule: "backends can be reached", Params: `{vip: www, backends: apart}`, Want: `edge1 has no network in common with all of apart`},
		{Rule: "all backends are on the network", Params: `{vip: www, backends: web, backend_network: front}`, Want: `web2 has no address on network "front"`},
		{Rule: "weights are of backends", Params: `{vip: www, backends: web, weights: {web3: 2}}`, Want: `weights: web3 is no backend (name one of web)`},
		{Rule: "weights have bounds", Params: `{vip: www, backends: web, weights: {web1: 300}}`, Want: `300 is`},
		{Rule: "an interval has bounds", Params: `{vip: www, backends: web, advert: 2s}`, Want: `advert: 2s is out of bounds`},
		{Rule: "a check is a path", Params: `{vip: www, backends: web, check: "http://x/"}`, Want: `is not the path of a request`},
		{Rule: "a check cannot end the line", Params: `{vip: www, backends: web, check: "/a b"}`, Want: `is not the path of a request`},
		{Rule: "a socket is an absolute path", Params: `{vip: www, backends: web, stats_socket: "run/x"}`, Want: `stats_socket: "run/x" cannot be used`},
		{Rule: "a balance is a known one", Params: `{vip: www, backends: web, balance: best}`, Want: `is not one of roundrobin, leastconn, source, random`},
	})
}
