package api

import (
	"context"
	"slices"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
)

// fenced is a cloud in which the holder of a token sees only what the token names.
type fenced struct{}

func (fenced) MaySee(_ context.Context, token, kind, id string) error {
	if token != kind+" "+id {
		return driver.NotFound(kind, id)
	}
	return nil
}

type fencedNetwork struct {
	embedded
	fenced
}

type fencedVault struct {
	driver.Secrets
	fenced
	lent *[]string
}

func (v fencedVault) Lend(_ context.Context, token, ref string) error {
	*v.lent = append(*v.lent, token+" "+ref)
	return nil
}

// TestNobodyLendsTheServicesEyes names networks and certificates of others, which the
// service itself sees.
func TestNobodyLendsTheServicesEyes(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	pool := r.pool(lb)
	r.child(lb, "/pools/"+pool+"/members", "member", m{"address": "192.0.2.7", "protocol_port": 80})
	listener := r.listener(lb, 80, m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "good"})
	var lent []string
	r = &rig{t: t, s: newRig(t, func(o *Options) {
		o.Auth, o.Network, o.Secrets = byHeader{}, fencedNetwork{embedded: noop.Network{}}, fencedVault{Secrets: vault{}, lent: &lent}
	}).s, project: r.project, header: map[string]string{"X-Project-Id": r.project, "X-Roles": "member"}}
	tls := m{"loadbalancer_id": lb, "protocol": "TERMINATED_HTTPS", "protocol_port": 443, "default_tls_container_ref": "good"}
	const notRetrieved = `Could not retrieve certificate: ["good"]`
	for _, c := range []struct {
		token, method, path string
		body                m
		fault               string
	}{
		{"Subnet " + subnetID, "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID}}, ""},
		{"", "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID}}, "Subnet " + subnetID + " not found."},
		{"", "POST", "/loadbalancers", m{"loadbalancer": m{"vip_network_id": networkID}}, "Network " + networkID + " not found."},
		{"", "POST", "/loadbalancers", m{"loadbalancer": m{"vip_port_id": noID}}, "Port " + noID + " not found."},
		{"Subnet " + subnetID, "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "additional_vips": []m{{"subnet_id": noID, "port_id": noID}}}}, "Port " + noID + " not found."},
		{"Subnet " + subnetID, "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "vip_sg_ids": []string{noID}}}, "Security Group " + noID + " not found."},
		{"Subnet " + subnetID, "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "vip_qos_policy_id": noID}}, "qos_policy " + noID + " not found."},
		{"Subnet " + subnetID, "POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "listeners": []m{{"protocol": "TERMINATED_HTTPS",
			"protocol_port": 443, "default_tls_container_ref": "good"}}}}, notRetrieved},
		{"Secret good", "POST", "/listeners", m{"listener": tls}, ""},
		{"", "POST", "/listeners", m{"listener": tls}, notRetrieved},
		{"", "PUT", "/listeners/" + listener, m{"listener": m{"sni_container_refs": []string{"good"}}}, notRetrieved},
		{"", "PUT", "/pools/" + pool, m{"pool": m{"tls_container_ref": "good"}}, notRetrieved},
		{"", "POST", "/pools/" + pool + "/members", m{"member": m{"address": "192.0.2.1", "protocol_port": 80, "subnet_id": subnetID}}, "Subnet " + subnetID + " not found."},
		{"", "PUT", "/pools/" + pool + "/members", m{"members": []m{{"address": "192.0.2.1", "protocol_port": 80, "subnet_id": subnetID}}}, "Subnet " + subnetID + " not found."},
		{"", "PUT", "/pools/" + pool + "/members", m{"members": []m{{"address": "192.0.2.7", "protocol_port": 80, "subnet_id": subnetID}}}, "Subnet " + subnetID + " not found."},
	} {
		r.header["X-Auth-Token"] = c.token
		a := r.do(c.method, c.path, c.body)
		if c.fault == "" {
			a.want(201, "")
			r.settle(lb)
			continue
		}
		a.want(400, c.fault)
	}
	if !slices.Equal(lent, []string{"Secret good good"}) {
		t.Errorf("by whom what was lent to the service: %q", lent)
	}
}
