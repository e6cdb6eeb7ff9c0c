package openstack_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/spec"
)

func names(services []stack.Service) []string {
	var out []string
	for _, s := range services {
		out = append(out, s.Name)
	}
	return out
}

func TestACloudHasTheOptionalServicesOfItsFile(t *testing.T) {
	plain := openstack.Services(&spec.OpenStack{})
	for _, c := range []struct {
		asked                 []string
		controllers, computes []string
	}{
		{nil, []string{"infra", "openstack"}, []string{"openstack"}},
		{[]string{"heat"}, []string{"infra", "openstack", "heat"}, []string{"openstack"}},
		{[]string{"heat", "masakari"}, []string{"infra", "openstack", "heat", "masakari"}, []string{"openstack", "masakari"}},
	} {
		services := openstack.Services(&spec.OpenStack{Services: c.asked})
		if diff := cmp.Diff(slices.Concat(names(plain), c.asked), names(services)); diff != "" {
			t.Errorf("%q: %s", c.asked, diff)
		}
		controllers, computes := openstack.Images(services)
		if !slices.Equal(controllers, c.controllers) || !slices.Equal(computes, c.computes) {
			t.Errorf("%q: controllers have the images %q, computes %q", c.asked, controllers, computes)
		}
	}
}

func TestTheClientIsRunFromTheImageThatKnowsTheCommand(t *testing.T) {
	services := openstack.Services(&spec.OpenStack{Services: []string{"heat", "masakari"}})
	for _, c := range []struct {
		want string
		args []string
	}{
		{"keystone", []string{"server", "list"}},
		{"keystone", []string{"help", "stack"}},
		{"keystone", nil},
		{"heat-api", []string{"stack", "list"}},
		{"heat-api", []string{"--debug", "stack", "list"}},
		{"masakari-api", []string{"segment", "host", "list", "updraft"}},
	} {
		if got := openstack.ClientFrom(services, c.args); got != c.want {
			t.Errorf("%q: from %s, want %s", c.args, got, c.want)
		}
	}
	if got := openstack.ClientFrom(openstack.Services(&spec.OpenStack{}), []string{"stack", "list"}); got != "keystone" {
		t.Errorf("without Heat its commands are run from %s", got)
	}
}

func TestAServiceWithTwoEntriesHasOneUser(t *testing.T) {
	d := stacktest.Deployment(t, stacktest.Small)
	d.Spec.Services = []string{"heat"}
	d.Services = openstack.Services(d.Spec)
	have := map[string]int{}
	for _, r := range openstack.Registered(d) {
		have[api.Ref(r)]++
	}
	for _, want := range []string{
		"user:heat", "service:orchestration", "service:cloudformation", "endpoint:cloudformation:public:RegionOne",
		"domain:heat", "user:heat_domain_admin", "role_assignment:heat_domain_admin/admin@domain heat", "role:heat_stack_user",
	} {
		if have[want] != 1 {
			t.Errorf("%s is there %d times", want, have[want])
		}
	}
	if _, err := api.Nodes(openstack.Registered(d)); err != nil {
		t.Error(err)
	}
}

func TestAMachineIsMadeTheSameWithAndWithoutAnOptionalService(t *testing.T) {
	for _, cloud := range []string{stacktest.Small, stacktest.Large} {
		plain := stacktest.Deployment(t, cloud)
		asked := stacktest.Deployment(t, strings.Replace(cloud, "openstack: {", "openstack: {services: [heat, cinder], ", 1))
		for i, h := range asked.Hosts() {
			want, got := openstack.Packages(plain.Spec, plain.Hosts()[i]), openstack.Packages(asked.Spec, h)
			if !slices.Equal(want, got) {
				t.Errorf("%s is made with %q, and without them with %q", h.Name, got, want)
			}
		}
	}
}
