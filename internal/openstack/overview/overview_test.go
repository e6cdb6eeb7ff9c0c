package overview_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/api/apitest"
	"github.com/updraft-cloud/updraft/internal/openstack/overview"
	"github.com/updraft-cloud/updraft/internal/status"
)

func access(c *apitest.Cloud) api.Access {
	return api.Access{
		AuthURL: c.AuthURL(), CA: c.CA(), Region: "RegionOne", Timeout: 5 * time.Second,
		Password: func() (string, error) { return apitest.Password, nil },
	}
}

func TestAskFindsServicesAndTheRoomOfHypervisorsThatAreUp(t *testing.T) {
	c := apitest.New(t, false)
	c.AddHost("cmp1")
	c.AddHost("cmp2")
	for _, h := range []string{"cmp1", "cmp2"} {
		c.SetWhere("hypervisors", "hypervisor_hostname", h, map[string]any{
			"vcpus": 4, "vcpus_used": 3, "memory_mb": 1024, "memory_mb_used": 512, "local_gb": 10, "local_gb_used": 2, "running_vms": 3,
		})
	}
	c.SetWhere("hypervisors", "hypervisor_hostname", "cmp2", map[string]any{"state": "down"})
	c.SetWhere("compute_services", "host", "cmp2", map[string]any{"state": "down", "status": "disabled"})
	c.SetWhere("agents", "agent_type", "OVN Metadata agent", map[string]any{"alive": false, "binary": "neutron-ovn-metadata-agent"})
	got, err := overview.Ask(t.Context(), access(c))
	if err != nil {
		t.Fatal(err)
	}
	want := overview.Overview{
		Services: []status.Service{
			{Name: "nova-compute", Host: "cmp1", Up: true}, {Name: "nova-compute", Host: "cmp2", Disabled: true},
			{Name: "ovn controller agent", Host: "cmp1", Up: true}, {Name: "neutron-ovn-metadata-agent", Host: "cmp1"},
			{Name: "ovn controller agent", Host: "cmp2", Up: true}, {Name: "neutron-ovn-metadata-agent", Host: "cmp2"},
		},
		Capacity: &status.Capacity{
			Hypervisors: 1, Servers: 3, VCPUs: status.Usage{Used: 3, Total: 4},
			Memory: status.Usage{Used: 512 << 20, Total: 1 << 30}, Disk: status.Usage{Used: 2 << 30, Total: 10 << 30},
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAskEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := overview.Ask(ctx, access(apitest.New(t, false))); err == nil {
		t.Error("it was answered after its end")
	}
}
