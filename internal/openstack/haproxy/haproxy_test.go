package haproxy_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/haproxy"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestGolden(t *testing.T) {
	stacktest.GoldenPublic(t, haproxy.Service(), stack.Service{Name: "api", Endpoints: []stack.Endpoint{
		{Service: "api", Type: "compute", Port: 8774, Path: "/v2.1", Check: "/", Status: "200"},
		{Port: 443, Check: "/login", Status: "200", Sticky: true, Timeout: 600},
	}})
}
