package serve

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

// kind is a kind of object of Neutron's API v2.0, with the names in its answers.
type kind struct{ path, one, many string }

var neutronKinds = []kind{
	{"networks", "network", "networks"},
	{"subnets", "subnet", "subnets"},
	{"ports", "port", "ports"},
	{"security-groups", "security_group", "security_groups"},
	{"qos/policies", "policy", "policies"},
}

// item is an object as it is answered.
type item = map[string]any

// withNetworks answers, beside the API, what clients ask of the network service
// before they create a load balancer: names and ids of networks and subnets. The
// command line of OpenStack does so even for ids. It is there where no Neutron
// is, and nothing can be changed by it.
func (s *service) withNetworks(api http.Handler, who auth.Authenticator) http.Handler {
	if s.Network != driverLocal && s.Network != driverNoop {
		return api
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k, id, ok := neutronPath(r.URL.Path)
		if !ok || r.Method != http.MethodGet {
			api.ServeHTTP(w, r)
			return
		}
		if _, err := who.Identify(r.Context(), r); err != nil {
			api.ServeHTTP(w, r) // which refuses as it does for everything
			return
		}
		s.answer(w, r, k, id)
	})
}

// neutronPath reads a path of Neutron. A mux would send clients from paths that are
// not clean to others, where the API answers 404.
func neutronPath(path string) (k kind, id string, ok bool) {
	rest, ok := strings.CutPrefix(path, "/v2.0/")
	if !ok {
		return kind{}, "", false
	}
	rest = strings.TrimSuffix(strings.TrimSuffix(rest, "/"), ".json")
	for _, k := range neutronKinds {
		if rest == k.path {
			return k, "", true
		}
		if id, ok := strings.CutPrefix(rest, k.path+"/"); ok && id != "" && !strings.Contains(id, "/") {
			return k, id, true
		}
	}
	return kind{}, "", false
}

// answer writes one object, or those that match the query.
func (s *service) answer(w http.ResponseWriter, r *http.Request, k kind, id string) {
	found := []item{}
	for _, i := range s.items(k, id+r.URL.Query().Get("id")) {
		if matches(i, r) && (id == "" || i["id"] == id) {
			found = append(found, i)
		}
	}
	var body any = item{k.many: found}
	status := http.StatusOK
	switch {
	case id != "" && len(found) == 0:
		status = http.StatusNotFound
		body = item{"NeutronError": item{"type": "NotFound", "message": k.one + " " + id + " could not be found.", "detail": ""}}
	case id != "":
		body = item{k.one: found[0]}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// items returns the objects of a kind. The network noop has whatever it is asked
// for.
func (s *service) items(k kind, id string) []item {
	switch {
	case s.Network == driverNoop && uuid.MatchString(id):
		return []item{{"id": id, "name": id, "network_id": id, "cidr": "0.0.0.0/0", "ip_version": 4, "subnets": []string{}, "admin_state_up": true}}
	case s.drivers.local == nil:
		return nil
	case k.one == "network":
		return s.networkItems()
	case k.one == "subnet":
		return s.subnetItems()
	}
	return nil
}

func (s *service) networkItems() []item {
	var out []item
	for _, n := range s.drivers.local.Networks() {
		out = append(out, item{"id": n.ID, "name": n.Name, "subnets": n.Subnets, "mtu": n.MTU, "shared": true,
			"admin_state_up": true, "status": "ACTIVE", "router:external": false})
	}
	return out
}

func (s *service) subnetItems() []item {
	var out []item
	for _, n := range s.drivers.local.Subnets() {
		i := item{"id": n.ID, "name": n.Name, "network_id": n.NetworkID, "cidr": n.Prefix.String(), "ip_version": version(n), "gateway_ip": nil}
		if n.Gateway.IsValid() {
			i["gateway_ip"] = n.Gateway.String()
		}
		out = append(out, i)
	}
	return out
}

func version(s driver.Subnet) int {
	if s.Prefix.Addr().Is4() {
		return 4
	}
	return 6
}

func matches(i item, r *http.Request) bool {
	for _, k := range []string{"id", "name", "network_id"} {
		if want := r.URL.Query().Get(k); want != "" && i[k] != want {
			return false
		}
	}
	return true
}
