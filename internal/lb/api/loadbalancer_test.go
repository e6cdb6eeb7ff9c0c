package api

import (
	"context"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/noop"
	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func TestALoadBalancerIsShownAsOctaviaDoes(t *testing.T) {
	r := newRig(t)
	a := r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "name": "web <1>", "tags": []string{"b", "a", "b"}}})
	a.want(201, "")
	lb := a.at("loadbalancer").(map[string]any)
	for k, want := range (m{
		"name": "web <1>", "description": "", "admin_state_up": true, "provisioning_status": "PENDING_CREATE", "operating_status": "OFFLINE",
		"project_id": r.project, "tenant_id": r.project, "updated_at": nil, "provider": "amphora", "flavor_id": nil, "availability_zone": nil,
		"vip_qos_policy_id": nil, "vip_vnic_type": "normal", "vip_subnet_id": subnetID,
	}) {
		if got, ok := lb[k]; !ok || got != want {
			t.Errorf("%s is %v, wanted %v", k, got, want)
		}
	}
	for k, want := range map[string]string{"tags": `["a","b"]`, "listeners": "[]", "pools": "[]", "additional_vips": "[]", "vip_sg_ids": "[]"} {
		if got := string(encode(lb[k])); got != want {
			t.Errorf("%s is %s, wanted %s", k, got, want)
		}
	}
	if len(lb) != 24 {
		t.Errorf("%d attributes: %v", len(lb), lb)
	}
	if created := lb["created_at"].(string); len(created) != len(timeForm) {
		t.Errorf("created_at is %q", created)
	}
	id := lb["id"].(string)
	if got := r.must(200, "GET", "/loadbalancers/"+id+"?fields=name&fields=id&fields=nope", nil); len(got) != 2 {
		t.Errorf("two fields: %v", got)
	}
	if got := r.must(200, "GET", "/loadbalancers/"+id+"?fields=name,id", nil); len(got) != 0 {
		t.Errorf("a list with a comma: %v", got)
	}
}

func TestWhatALoadBalancerMayNotBe(t *testing.T) {
	r := newRig(t)
	long := string(slices.Repeat([]byte("x"), 256))
	for _, c := range []struct {
		name   string
		lb     m
		status int
		fault  string
	}{
		{"no VIP", m{}, 400, "Validation failure: VIP must contain one of: vip_port_id, vip_network_id, vip_subnet_id."},
		{"a subnet that is no UUID", m{"vip_subnet_id": "x"}, 400, "Invalid input for field/attribute vip_subnet_id. Value: 'x'. Value should be UUID format"},
		{"a name that is too long", m{"vip_subnet_id": subnetID, "name": long}, 400, "Invalid input for field/attribute name. Value: '" + long + "'. Value should have a maximum character requirement of 255"},
		{"a name that is a number", m{"vip_subnet_id": subnetID, "name": 5}, 400, "Invalid input for field/attribute name. Value: '5'. Value should be string"},
		{"an address that is none", m{"vip_subnet_id": subnetID, "vip_address": "1.2.3"}, 400, "Invalid input for field/attribute vip_address. Value: '1.2.3'. Value should be IPv4 or IPv6 format"},
		{"a switch that is none", m{"vip_subnet_id": subnetID, "admin_state_up": "maybe"}, 400, "Invalid input for field/attribute admin_state_up. Value: 'maybe'. Value not an unambiguous boolean: maybe"},
		{"a flavor that is not there", m{"vip_subnet_id": subnetID, "flavor_id": noID}, 400, "Validation failure: Invalid flavor_id."},
		{"a zone that is not there", m{"vip_subnet_id": subnetID, "availability_zone": "x"}, 400, "Validation failure: Invalid availability zone."},
		{"a provider that is not there", m{"vip_subnet_id": subnetID, "provider": "x"}, 400, "Provider 'x' is not enabled."},
		{"two VIPs on a subnet", m{"vip_subnet_id": subnetID, "additional_vips": []m{{"subnet_id": subnetID}}}, 400, "Validation failure: Duplicate VIP subnet(s) specified. Only one IP can be bound per subnet."},
		{"a VIP without subnet", m{"vip_subnet_id": subnetID, "additional_vips": []m{{"ip_address": "192.0.2.1"}}}, 400, "Invalid input for field/attribute subnet_id. Value: 'None'. Mandatory field missing."},
		{"tags that are no list", m{"vip_subnet_id": subnetID, "tags": "a"}, 400, "Invalid input for field/attribute tags. Value: 'a'. Value should be a list"},
		{"a status", m{"vip_subnet_id": subnetID, "provisioning_status": "ACTIVE"}, 400, "Unknown attribute for argument load_balancer.loadbalancer: provisioning_status"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.do("POST", "/loadbalancers", m{"loadbalancer": c.lb})
			a.t = t
			a.want(c.status, c.fault)
		})
	}
}

// anything is a network that has everything.
type anything = noop.Network

// world is a network with little in it.
type world struct {
	anything
	released *[]driver.VIP
	fail     error
}

const (
	v4ID, fullID, v6ID, portID, busyID = "0bbbbbbb-0000-4000-8000-000000000004", "0bbbbbbb-0000-4000-8000-000000000005",
		"0bbbbbbb-0000-4000-8000-000000000006", "0bbbbbbb-0000-4000-8000-000000000007", "0bbbbbbb-0000-4000-8000-000000000008"
	otherNetID = "0bbbbbbb-0000-4000-8000-000000000009"
)

func (world) AcceptsAnything() bool { return false }

func (world) Network(_ context.Context, id string) (*driver.Net, error) {
	if id != networkID {
		return nil, driver.NotFound("Network", id)
	}
	return &driver.Net{ID: id, Subnets: []string{v6ID, fullID, v4ID}}, nil
}

func (world) Subnet(_ context.Context, id string) (*driver.Subnet, error) {
	s := &driver.Subnet{ID: id, NetworkID: networkID, Free: 100}
	switch id {
	case v4ID:
		s.Prefix = prefix("192.0.2.0/24")
	case fullID:
		s.Prefix, s.Free = prefix("198.51.100.0/24"), 1
	case v6ID:
		s.Prefix = prefix("2001:db8::/64")
	case otherNetID:
		s.Prefix, s.NetworkID = prefix("203.0.113.0/24"), otherNetID
	default:
		return nil, driver.NotFound("Subnet", id)
	}
	return s, nil
}

func (world) Port(_ context.Context, id string) (*driver.Port, error) {
	p := &driver.Port{ID: id, NetworkID: networkID, QoSPolicyID: "qos"}
	switch id {
	case portID:
		p.FixedIPs = []driver.FixedIP{{SubnetID: v4ID, Address: addr("192.0.2.9")}, {SubnetID: v6ID, Address: addr("2001:db8::9")}}
	case busyID:
		p.DeviceID = "somebody"
	default:
		return nil, driver.NotFound("Port", id)
	}
	return p, nil
}

func (world) QoSPolicy(_ context.Context, id string) error {
	if id == noID {
		return driver.NotFound("qos_policy", id)
	}
	return nil
}

func (world) SecurityGroup(_ context.Context, id string) error {
	if id == noID {
		return driver.NotFound("Security Group", id)
	}
	return nil
}

func (w world) EnsureVIP(_ context.Context, want driver.VIPRequest) (*driver.VIP, error) {
	if w.fail != nil {
		return nil, w.fail
	}
	vip := &driver.VIP{LoadBalancerID: want.LoadBalancerID, PortID: want.PortID, NetworkID: want.NetworkID, SubnetID: want.SubnetID,
		Address: want.Address, Given: want.PortID != ""}
	if vip.Address == "" {
		vip.Address = "192.0.2.100"
	}
	for _, a := range want.Additional {
		a.Address = "2001:db8::100"
		vip.Additional = append(vip.Additional, a)
	}
	return vip, nil
}

func (w world) ReleaseVIP(_ context.Context, vip driver.VIP) error {
	*w.released = append(*w.released, vip)
	return nil
}

func newWorld(o *Options) { o.Network = world{released: new([]driver.VIP)} }

func TestWhereAVIPIs(t *testing.T) {
	r := newRig(t, newWorld)
	for _, c := range []struct {
		name  string
		lb    m
		fault string
		want  m
	}{
		{name: "on a subnet", lb: m{"vip_subnet_id": v4ID}, want: m{"vip_network_id": networkID, "vip_subnet_id": v4ID}},
		{name: "on a network: IPv4 with room first", lb: m{"vip_network_id": networkID}, want: m{"vip_subnet_id": v4ID}},
		{name: "on a network, at an address", lb: m{"vip_network_id": networkID, "vip_address": "2001:db8::5"}, want: m{"vip_subnet_id": v6ID, "vip_address": "2001:db8::5"}},
		{name: "on a network, at an address elsewhere", lb: m{"vip_network_id": networkID, "vip_address": "10.0.0.1"},
			fault: "Validation failure: Supplied network does not contain a subnet for VIP address specified."},
		{name: "on a network, a subnet elsewhere", lb: m{"vip_network_id": networkID, "vip_subnet_id": otherNetID}, fault: "Subnet " + otherNetID + " not found."},
		{name: "no such network", lb: m{"vip_network_id": noID}, fault: "Network " + noID + " not found."},
		{name: "no such subnet", lb: m{"vip_subnet_id": noID}, fault: "Subnet " + noID + " not found."},
		{name: "no such port", lb: m{"vip_port_id": noID}, fault: "Port " + noID + " not found."},
		{name: "a port in use", lb: m{"vip_port_id": busyID}, fault: "Validation failure: Port " + busyID + " is already used by device somebody "},
		{name: "a port with two addresses", lb: m{"vip_port_id": portID}, fault: "Validation failure: VIP port's subnet could not be determined. Please specify either a VIP subnet or address."},
		{name: "a port, one of its subnets", lb: m{"vip_port_id": portID, "vip_subnet_id": v6ID}, want: m{"vip_address": "2001:db8::9", "vip_qos_policy_id": "qos", "vip_port_id": portID}},
		{name: "a port, one of its addresses, written differently", lb: m{"vip_port_id": portID, "vip_address": "2001:DB8:0::9"}, want: m{"vip_subnet_id": v6ID}},
		{name: "a port, an address it does not have", lb: m{"vip_port_id": portID, "vip_address": "192.0.2.77"}, fault: "Validation failure: Specified VIP address not found on the specified VIP port."},
		{name: "a port, a subnet it is not on", lb: m{"vip_port_id": portID, "vip_subnet_id": fullID}, fault: "Validation failure: No VIP address found on the specified VIP port within the specified subnet."},
		{name: "no such policy", lb: m{"vip_subnet_id": v4ID, "vip_qos_policy_id": noID}, fault: "qos_policy " + noID + " not found."},
		{name: "no such group", lb: m{"vip_subnet_id": v4ID, "vip_sg_ids": []string{noID}}, fault: "Security Group " + noID + " not found."},
		{name: "a second address", lb: m{"vip_subnet_id": v4ID, "additional_vips": []m{{"subnet_id": v6ID}}}, want: m{"additional_vips.0.ip_address": "2001:db8::100", "additional_vips.0.subnet_id": v6ID}},
		{name: "a second address elsewhere", lb: m{"vip_subnet_id": v4ID, "additional_vips": []m{{"subnet_id": otherNetID}}}, fault: "Validation failure: All VIP subnets must belong to the same network."},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := r.do("POST", "/loadbalancers", m{"loadbalancer": c.lb})
			a.t = t
			if c.fault != "" {
				a.want(400, c.fault)
				return
			}
			a.want(201, "")
			for k, v := range c.want {
				if got := a.at("loadbalancer." + k); got != v {
					t.Errorf("%s is %v, wanted %v", k, got, v)
				}
			}
		})
	}
}

func TestWhatADeploymentForbids(t *testing.T) {
	r := newRig(t, newWorld, func(o *Options) {
		o.Settings = Settings{ForbidVIPNetwork: true, DeniedVIPNetworks: []string{otherNetID}, ForbidTLS: true, ForbidPrometheus: true, ForbidPing: true,
			MinimumTLS: "TLSv1.2", ProhibitedCiphers: []string{"RC4"}}
	})
	post := func(lb m) *answer { return r.do("POST", "/loadbalancers", m{"loadbalancer": lb}) }
	post(m{}).want(400, "Validation failure: VIP must contain one of: vip_port_id, vip_subnet_id.")
	post(m{"vip_network_id": networkID}).want(400, "Validation failure: use of vip_network_id is disallowed by this deployment's configuration.")
	post(m{"vip_subnet_id": otherNetID}).want(400, "Validation failure: Supplied VIP network_id is not allowed by the configuration of this deployment.")
	lb := r.lb(m{"vip_subnet_id": v4ID})
	listener := func(more m) *answer {
		more["loadbalancer_id"], more["protocol_port"] = lb, 443
		return r.do("POST", "/listeners", m{"listener": more})
	}
	listener(m{"protocol": "TERMINATED_HTTPS", "default_tls_container_ref": "x"}).want(400, "The selected protocol is not allowed in this deployment: TERMINATED_HTTPS")
	listener(m{"protocol": "PROMETHEUS"}).want(400, "The selected protocol is not allowed in this deployment: PROMETHEUS")
	pool := r.pool(lb)
	r.do("POST", "/healthmonitors", m{"healthmonitor": m{"pool_id": pool, "type": "PING", "delay": 1, "timeout": 1, "max_retries": 1}}).
		want(400, "The selected type is not allowed in this deployment: PING")
	r.do("PUT", "/pools/"+pool, m{"pool": m{"tls_versions": []string{"TLSv1", "TLSv1.3"}}}).
		want(400, "Validation failure: Requested TLS versions are less than the minimum: TLSv1 < TLSv1.2")
	r.do("PUT", "/pools/"+pool, m{"pool": m{"tls_ciphers": "AES:RC4"}}).
		want(400, "Validation failure: The following ciphers have been prohibited by an administrator: RC4")
}

func TestAddressesAreGivenBackWhenNothingIsStored(t *testing.T) {
	w := world{released: new([]driver.VIP)}
	r := newRig(t, func(o *Options) { o.Network = w })
	r.must(202, "PUT", "/quotas/"+r.project, m{"quota": m{"load_balancer": 0}})
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": v4ID}}).want(403, "Quota has been met for resources: Load Balancer")
	if len(*w.released) != 1 || (*w.released)[0].Address != "192.0.2.100" {
		t.Errorf("given back: %v", *w.released)
	}
}

func TestFaultsOfTheNetwork(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
		fault  string
	}{
		{&driver.Error{Kind: "address", ID: "192.0.2.1", Class: driver.ErrInUse}, 409, "The VIP IP address is already in use: address 192.0.2.1 is already in use"},
		{driver.ErrExhausted, 400, "Validation failure: Subnet(s) in the supplied network do not contain enough available IPs."},
		{fmt.Errorf("%w: neutron is away", driver.ErrUnavailable), 500, "Provider 'amphora' reports error: not available: neutron is away"},
		{fmt.Errorf("oh"), 500, "Provider 'amphora' reports error: oh"},
	} {
		r := newRig(t, func(o *Options) { o.Network = world{fail: c.err, released: new([]driver.VIP)} })
		a := r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": v4ID}})
		a.want(c.status, c.fault)
		if c.status == 500 && a.doc["faultcode"] != "Server" {
			t.Errorf("shape: %s", a.text)
		}
	}
}

func TestUpdateOfALoadBalancer(t *testing.T) {
	r := newRig(t, newWorld)
	id := r.lb(m{"vip_subnet_id": v4ID, "description": "d"})
	path := "/loadbalancers/" + id
	got := r.must(200, "PUT", path, m{"loadbalancer": m{"name": "n", "description": nil, "admin_state_up": nil, "tags": []string{"t"}, "vip_sg_ids": []string{subnetID}}})
	for k, want := range (m{"name": "n", "description": "", "admin_state_up": false, "provisioning_status": "PENDING_UPDATE"}) {
		if got[k] != want {
			t.Errorf("%s is %v", k, got[k])
		}
	}
	if got["updated_at"] == nil || string(encode(got["vip_sg_ids"])) != `["`+subnetID+`"]` {
		t.Errorf("%v", got)
	}
	r.do("PUT", path, m{"loadbalancer": m{"name": "x"}}).want(409, "Invalid state PENDING_UPDATE of loadbalancer resource "+id)
	r.settle(id)
	r.do("PUT", path, m{"loadbalancer": m{"vip_address": "192.0.2.1"}}).want(400, "Unknown attribute for argument load_balancer.loadbalancer: vip_address")
	r.do("PUT", path, m{"loadbalancer": m{"vip_qos_policy_id": noID}}).want(400, "qos_policy "+noID+" not found.")
	r.do("PUT", "/loadbalancers/"+noID, m{"loadbalancer": m{}}).want(404, "Load Balancer "+noID+" not found.")
	r.do("PUT", "/loadbalancers/malformed", m{"loadbalancer": m{}}).want(404, "Load Balancer malformed not found.")
	r.must(200, "PUT", path, m{"loadbalancer": m{"vip_sg_ids": nil}})
	r.settle(id)
	if got := r.must(200, "GET", path, nil); string(encode(got["vip_sg_ids"])) != "[]" || got["name"] != "n" {
		t.Errorf("%v", got)
	}
}

func TestDeletionAndFailover(t *testing.T) {
	r := newRig(t)
	id := r.lb()
	path := "/loadbalancers/" + id
	listener := r.listener(id, 80)
	r.do("DELETE", path, nil).want(400, "Validation failure: Cannot delete Load Balancer "+id+" - it has children")
	r.must(202, "PUT", path+"/failover", nil)
	r.do("PUT", path+"/failover", nil).want(409, "Invalid state PENDING_UPDATE of loadbalancer resource "+id)
	r.do("DELETE", path+"?cascade=true", nil).want(409, "Invalid state PENDING_UPDATE of loadbalancer resource "+id)
	if f := shared.View().Tree(id).LB.Failover; f == nil || f.RequestID == "" {
		t.Errorf("failover is %v", f)
	}
	setStatus(t, id, model.Error)
	r.do("PUT", "/listeners/"+listener, m{"listener": m{}}).want(409, "Load Balancer "+id+" is immutable and cannot be updated.")
	r.do("DELETE", path+"?cascade=True", nil).want(204, "")
	if !shared.View().Tree(id).LB.Cascade {
		t.Error("the deletion does not cascade")
	}
	if got := r.must(200, "GET", path, nil); got["provisioning_status"] != "PENDING_DELETE" {
		t.Errorf("%v", got["provisioning_status"])
	}
	r.settle(id)
	r.do("GET", path, nil).want(404, "Load Balancer "+id+" not found.")
	r.do("DELETE", path, nil).want(404, "Load Balancer "+id+" not found.")
	r.do("GET", "/listeners/"+listener, nil).want(404, "Listener "+listener+" not found.")
	r.do("GET", "/loadbalancers/"+model.NilID, nil).want(404, "")
}

func setStatus(t testing.TB, lb string, s model.ProvisioningStatus) {
	t.Helper()
	change(t, func(tx *store.Tx) error {
		l := tx.LoadBalancer(lb).Clone()
		l.ProvisioningStatus = s
		return tx.Update(l)
	})
}

func change(t testing.TB, f func(tx *store.Tx) error) {
	t.Helper()
	if err := shared.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

// embedded is a network by a name that none of its methods has.
type embedded = driver.Network

// impatient is a network during whose work the client goes away.
type impatient struct {
	embedded
	leave    context.CancelFunc
	released atomic.Int32
}

func (n *impatient) EnsureVIP(ctx context.Context, want driver.VIPRequest) (*driver.VIP, error) {
	vip, err := n.embedded.EnsureVIP(ctx, want)
	n.leave()
	return vip, err
}

func (n *impatient) ReleaseVIP(context.Context, driver.VIP) error {
	n.released.Add(1)
	return nil
}

// TestAnAddressIsKeptWhenNobodyKnows has a client that goes away: whether the load
// balancer was stored is not known then, and if so it has the address.
func TestAnAddressIsKeptWhenNobodyKnows(t *testing.T) {
	n := &impatient{embedded: noop.Network{}}
	r := newRig(t, func(o *Options) { o.Network = n })
	ctx, leave := context.WithCancel(t.Context())
	n.leave = leave
	req := httptest.NewRequestWithContext(ctx, "POST", "/v2.0/lbaas/loadbalancers",
		strings.NewReader(string(encode(m{"loadbalancer": m{"vip_subnet_id": subnetID}}))))
	req.Header.Set("X-Project-Id", r.project)
	r.s.ServeHTTP(httptest.NewRecorder(), req)
	if got := n.released.Load(); got != 0 {
		t.Error("the address was given back")
	}
	n.leave = func() {}
	r.do("PUT", "/quotas/"+r.project, m{"quota": m{"loadbalancer": 0}}).want(202, "")
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID}}).want(403, "Quota has been met for resources: Load Balancer")
	if got := n.released.Load(); got != 1 {
		t.Errorf("what was refused gave its address back %d times", got)
	}
}
