package containerhost

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
groups:
  web: {count: 1, configsets: {containerhost: %s}}
`
	configsettest.Faults(t, Set(), cloud, []configsettest.Fault{
		{Rule: "a store is an absolute path", Params: `{stores: [images]}`, Want: `stores: "images" is not a directory`},
		{Rule: "a store cannot end the setting", Params: `{stores: ['/x"]']}`, Want: `is not a directory`},
		{Rule: "a registry is an address", Params: `{registry: "https://r:5000/x"}`, Want: `is not the address of a registry`},
		{Rule: "an authority belongs to a registry", Params: `{ca: x}`, Want: `ca: there is no registry`},
		{Rule: "an authority is a certificate", Params: `{registry: "r:5000", ca: x}`, Want: `it is no certificate in PEM`},
		{Rule: "a directory is in /run", Params: `{run: [../etc]}`, Want: `run: "../etc" is not a directory in /run`},
		{Rule: "cgroups are one of three", Params: `{cgroups: off}`, Want: `cgroups`},
	})
}
