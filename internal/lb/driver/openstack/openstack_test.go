package openstack_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/driver/openstack"
)

type object = map[string]any

// cloud is as much of Keystone, Neutron and Barbican as the drivers use. It is
// strict: what the real ones refuse, it refuses.
type cloud struct {
	t  *testing.T
	mu sync.Mutex

	url     string
	ports   map[string]object
	next    int
	secrets map[string]string // payloads by id
	users   map[string]bool   // consumers of the container
	tokens  int
	// discoveries is how often it was asked for versions.
	discoveries int
	hidden      string          // a service that the catalogue does not have
	own         map[string]bool // what the token "user" sees, by path
	vault       vault
}

func newCloud(t *testing.T) (*cloud, *openstack.Cloud) {
	t.Helper()
	c := &cloud{t: t, ports: map[string]object{}, secrets: map[string]string{}, users: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v3/auth/tokens", c.token)
	mux.HandleFunc("GET /network/{$}", c.versions("v2.0", "/network/v2.0/"))
	mux.HandleFunc("GET /key/{$}", c.versions("v1", "/key/v1/"))
	mux.HandleFunc("GET /network/v2.0/networks/{id}", c.network)
	mux.HandleFunc("GET /network/v2.0/subnets/{id}", c.subnet)
	mux.HandleFunc("GET /network/v2.0/network-ip-availabilities/{id}", c.availability)
	mux.HandleFunc("GET /network/v2.0/ports", c.list)
	mux.HandleFunc("POST /network/v2.0/ports", c.create)
	mux.HandleFunc("GET /network/v2.0/ports/{id}", c.port(func(w http.ResponseWriter, _ *http.Request, p object) { answer(w, 200, object{"port": p}) }))
	mux.HandleFunc("PUT /network/v2.0/ports/{id}", c.port(c.change))
	mux.HandleFunc("DELETE /network/v2.0/ports/{id}", c.port(func(w http.ResponseWriter, _ *http.Request, p object) {
		delete(c.ports, p["id"].(string))
		w.WriteHeader(http.StatusNoContent)
	}))
	mux.HandleFunc("GET /key/v1/containers/{id}", c.container)
	mux.HandleFunc("POST /key/v1/containers/{id}/consumers", c.consumer)
	mux.HandleFunc("DELETE /key/v1/containers/{id}/consumers", c.consumer)
	mux.HandleFunc("GET /key/v1/secrets/{id}/payload", c.payload)
	mux.HandleFunc("/key/v1/{place}/{id}/acl", c.vault.readers)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer(w, 404, object{"NeutronError": object{"type": "NotFound", "message": r.URL.Path}})
	})
	mux.HandleFunc("GET /key/v1/secrets/{id}", func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, object{"name": "x"}) })
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := c.refuses(r); status != 0 {
			answer(w, status, object{})
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	c.url = srv.URL
	o, err := openstack.New(openstack.Account{AuthURL: srv.URL + "/v3", Region: "here", Username: "octavia", Password: "secret", UserDomain: "Default", Project: "service", ProjectDomain: "Default"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c, o
}

// refuses returns why the holder of a token may not do something, 0 if it may.
func (c *cloud) refuses(r *http.Request) int {
	if strings.HasPrefix(r.URL.Path, "/v3") || r.URL.Path == "/network/" || r.URL.Path == "/key/" {
		return 0
	}
	switch r.Header.Get("X-Auth-Token") {
	case "token":
		return c.vault.refuses(r)
	case "user":
		if c.own[strings.TrimSuffix(r.URL.Path, "/acl")] || c.own[r.URL.Path] {
			return 0
		}
	}
	return http.StatusNotFound
}

func (c *cloud) versions(id, path string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c.mu.Lock()
		c.discoveries++
		c.mu.Unlock()
		answer(w, 200, object{"versions": []object{{"id": id, "status": "CURRENT", "links": []object{{"rel": "self", "href": c.url + path}}}}})
	}
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (c *cloud) token(w http.ResponseWriter, _ *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tokens++
	var catalog []object
	for kind, path := range map[string]string{"network": "/network", "key-manager": "/key"} {
		if kind == c.hidden {
			continue
		}
		catalog = append(catalog, object{"type": kind, "name": kind, "endpoints": []object{{"interface": "public", "region": "here", "region_id": "here", "url": c.url + path}}})
	}
	w.Header().Set("X-Subject-Token", "token")
	answer(w, 201, object{"token": object{"expires_at": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000000Z"), "catalog": catalog, "methods": []string{"password"},
		"user": object{"id": service, "name": "octavia", "domain": object{"id": "default", "name": "Default"}}}})
}

func (c *cloud) network(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != "net" {
		answer(w, 404, object{"NeutronError": object{"type": "NetworkNotFound"}})
		return
	}
	answer(w, 200, object{"network": object{"id": "net", "name": "front", "subnets": []string{"sub"}, "mtu": 1450, "qos_policy_id": nil, "router:external": false}})
}

func (c *cloud) subnet(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("id") != "sub" {
		answer(w, 404, object{"NeutronError": object{"type": "SubnetNotFound"}})
		return
	}
	answer(w, 200, object{"subnet": object{"id": "sub", "network_id": "net", "cidr": "10.0.0.0/24", "gateway_ip": "10.0.0.1", "host_routes": []any{}}})
}

func (c *cloud) availability(w http.ResponseWriter, _ *http.Request) {
	answer(w, 200, object{"network_ip_availability": object{"subnet_ip_availability": []object{{"subnet_id": "sub", "total_ips": 253, "used_ips": 3}}}})
}

// list filters by every key of the query, as Neutron does: several values of one
// are alternatives.
func (c *cloud) list(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := []object{}
	for _, p := range c.ports {
		ok := true
		for k, values := range r.URL.Query() {
			ok = ok && slices.Contains(values, fmt.Sprint(p[k]))
		}
		if ok {
			found = append(found, p)
		}
	}
	answer(w, 200, object{"ports": found})
}

func (c *cloud) create(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var in struct{ Port object }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Port["network_id"] != "net" {
		answer(w, 404, object{"NeutronError": object{"type": "NetworkNotFound"}})
		return
	}
	c.next++
	p := in.Port
	p["id"], p["created_at"], p["mac_address"] = fmt.Sprint("port-", c.next), "2026-11-22T05:00:00Z", "fa:16:3e:00:00:01"
	if err := c.addresses(p); err != nil {
		answer(w, 409, object{"NeutronError": object{"type": "IpAddressAlreadyAllocated", "message": err.Error()}})
		return
	}
	c.ports[p["id"].(string)] = p
	answer(w, 201, object{"port": p})
}

func (c *cloud) addresses(p object) error {
	wishes, _ := p["fixed_ips"].([]any)
	if len(wishes) == 0 {
		wishes = []any{object{"subnet_id": "sub"}}
	}
	var out []any
	for _, w := range wishes {
		f := w.(object)
		if f["ip_address"] == nil {
			c.next++
			f["ip_address"] = fmt.Sprint("10.0.0.", 10+c.next)
		} else if c.taken(f["ip_address"], p["id"]) {
			return fmt.Errorf("IP address %s already allocated", f["ip_address"])
		}
		f["subnet_id"] = "sub"
		out = append(out, f)
	}
	p["fixed_ips"] = out
	return nil
}

func (c *cloud) taken(address, by any) bool {
	for _, p := range c.ports {
		for _, f := range p["fixed_ips"].([]any) {
			if f.(object)["ip_address"] == address && p["id"] != by {
				return true
			}
		}
	}
	return false
}

func (c *cloud) port(f func(http.ResponseWriter, *http.Request, object)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		p := c.ports[r.PathValue("id")]
		if p == nil {
			answer(w, 404, object{"NeutronError": object{"type": "PortNotFound"}})
			return
		}
		f(w, r, p)
	}
}

func (c *cloud) change(w http.ResponseWriter, r *http.Request, p object) {
	var in struct{ Port object }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		answer(w, 400, object{})
		return
	}
	for k, v := range in.Port {
		p[k] = v
	}
	if err := c.addresses(p); err != nil {
		answer(w, 409, object{})
		return
	}
	answer(w, 200, object{"port": p})
}

func TestVIPsArePortsOfNeutronThatBearTheMarkOfTheService(t *testing.T) {
	c, o := newCloud(t)
	n := openstack.NewNetwork(o, "one")
	c.ports["real"] = object{"id": "real", "name": "octavia-lb-x", "description": "", "network_id": "net", "device_owner": "Octavia", "device_id": "lb-x", "fixed_ips": []any{}}
	ctx := t.Context()
	want := driver.VIPRequest{LoadBalancerID: "lb1", ProjectID: "p", NetworkID: "net", SubnetID: "sub", Address: "10.0.0.200",
		Additional: []driver.AdditionalVIP{{SubnetID: "sub", Address: "10.0.0.201"}}}
	first, err := n.EnsureVIP(ctx, want)
	if err != nil {
		t.Fatal(err)
	}
	again, err := n.EnsureVIP(ctx, want)
	if err != nil || again.PortID != first.PortID || again.Address != "10.0.0.200" || len(again.Additional) != 1 || again.Additional[0].Address != "10.0.0.201" {
		t.Errorf("the second time it is %+v, %v", again, err)
	}
	if _, err := n.EnsureVIP(ctx, driver.VIPRequest{LoadBalancerID: "lb2", NetworkID: "net", Address: "10.0.0.200"}); !errors.Is(err, driver.ErrInUse) {
		t.Errorf("an address that is taken: %v", err)
	}
	if other, err := openstack.NewNetwork(o, "two").Ports(ctx, ""); err != nil || len(other) > 0 {
		t.Errorf("another service sees %v, %v", other, err)
	}
	ports, err := n.Ports(ctx, "lb1")
	if err != nil || len(ports) != 2 || ports[0].LoadBalancerID != "lb1" || ports[0].Created.IsZero() {
		t.Errorf("its ports are %+v, %v", ports, err)
	}
	for range 2 {
		if err := n.ReleaseVIP(ctx, *first); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.ports) != 1 || c.ports["real"] == nil {
		t.Errorf("left are %v", c.ports)
	}
	if c.tokens != 1 {
		t.Errorf("%d tokens were asked for", c.tokens)
	}
}

func TestAUsersPortIsMarkedAndLetGo(t *testing.T) {
	c, o := newCloud(t)
	n := openstack.NewNetwork(o, "one")
	c.ports["mine"] = object{"id": "mine", "name": "x", "description": "", "network_id": "net", "device_owner": "", "device_id": "", "fixed_ips": []any{object{"subnet_id": "sub", "ip_address": "10.0.0.99"}}}
	vip, err := n.EnsureVIP(t.Context(), driver.VIPRequest{LoadBalancerID: "lb1", NetworkID: "net", PortID: "mine"})
	if err != nil || vip.Address != "10.0.0.99" || !vip.Given || c.ports["mine"]["device_id"] != "lb-lb1" {
		t.Fatalf("%+v, %v, %v", vip, err, c.ports["mine"])
	}
	if _, err := n.EnsureVIP(t.Context(), driver.VIPRequest{LoadBalancerID: "lb2", NetworkID: "net", PortID: "mine"}); !errors.Is(err, driver.ErrInUse) {
		t.Errorf("somebody else's port: %v", err)
	}
	if err := n.ReleaseVIP(t.Context(), *vip); err != nil || c.ports["mine"] == nil || c.ports["mine"]["device_id"] != "" {
		t.Errorf("after the release it is %v (%v)", c.ports["mine"], err)
	}
}

func TestAUsersAdditionalPortIsLetGo(t *testing.T) {
	c, o := newCloud(t)
	n := openstack.NewNetwork(o, "one")
	c.ports["second"] = object{"id": "second", "name": "x", "description": "", "network_id": "net", "device_owner": "", "device_id": "", "fixed_ips": []any{object{"subnet_id": "sub", "ip_address": "10.0.0.98"}}}
	vip, err := n.EnsureVIP(t.Context(), driver.VIPRequest{LoadBalancerID: "lb1", NetworkID: "net", SubnetID: "sub",
		Additional: []driver.AdditionalVIP{{SubnetID: "sub", PortID: "second"}}})
	if err != nil || c.ports["second"]["device_id"] != "lb-lb1" || len(c.ports) != 2 {
		t.Fatalf("%+v, %v, %v", vip, err, c.ports)
	}
	for range 2 {
		if err := n.ReleaseVIP(t.Context(), *vip); err != nil {
			t.Error(err)
		}
	}
	if len(c.ports) != 1 || c.ports["second"]["device_id"] != "" {
		t.Errorf("after the release there are %v", c.ports)
	}
}

func TestAmphoraePortsMayUseTheVIPs(t *testing.T) {
	c, o := newCloud(t)
	n := openstack.NewNetwork(o, "one")
	req := driver.PortRequest{LoadBalancerID: "lb1", AmphoraID: "a1", NetworkID: "net", Subnets: []string{"sub"}, Allowed: []netip.Addr{netip.MustParseAddr("10.0.0.200")}}
	p, err := n.EnsurePort(t.Context(), req)
	if err != nil || len(p.FixedIPs) != 1 || p.AmphoraID != "a1" || p.LoadBalancerID != "lb1" {
		t.Fatalf("%+v, %v", p, err)
	}
	if pairs := fmt.Sprint(c.ports[p.ID]["allowed_address_pairs"]); !strings.Contains(pairs, "10.0.0.200") {
		t.Errorf("it may use %s", pairs)
	}
	if again, err := n.EnsurePort(t.Context(), req); err != nil || again.ID != p.ID {
		t.Errorf("%+v, %v", again, err)
	}
	for range 2 {
		if err := n.RemovePort(t.Context(), p.ID); err != nil {
			t.Error(err)
		}
	}
}

func TestLookupsTellWhatIsNotThere(t *testing.T) {
	_, o := newCloud(t)
	n := openstack.NewNetwork(o, "one")
	if s, err := n.Subnet(t.Context(), "sub"); err != nil || s.Free != 250 || s.NetworkID != "net" || !s.Gateway.IsValid() {
		t.Errorf("%+v, %v", s, err)
	}
	if v, err := n.Network(t.Context(), "net"); err != nil || v.MTU != 1450 || len(v.Subnets) != 1 {
		t.Errorf("%+v, %v", v, err)
	}
	_, err := n.Subnet(t.Context(), "nope")
	if !errors.Is(err, driver.ErrNotFound) || err.Error() != "Subnet nope not found." {
		t.Errorf("%v", err)
	}
	if err := n.QoSPolicy(t.Context(), "q"); !errors.Is(err, driver.ErrUnsupported) {
		t.Errorf("without QoS: %v", err)
	}
}
