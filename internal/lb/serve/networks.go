package serve

import (
	"encoding/json"
	"net/http"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
)

// withNetworks answers, beside the API, what clients ask of the network service
// before they create a load balancer: names and ids of networks and subnets, as
// Neutron's API v2.0 gives them. The command line of OpenStack does so even for
// ids. It is there for local networks only, and nothing can be changed by it.
func (s *service) withNetworks(api http.Handler, who auth.Authenticator) http.Handler {
	if s.drivers.local == nil {
		return api
	}
	list := func(key string, items func() []map[string]any) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if _, err := who.Identify(r.Context(), r); err != nil {
				api.ServeHTTP(w, r) // which refuses as it does for everything
				return
			}
			answer(w, r, key, items())
		}
	}
	mux := http.NewServeMux()
	mux.Handle("/", api)
	for key, items := range map[string]func() []map[string]any{"network": s.networkItems, "subnet": s.subnetItems} {
		mux.HandleFunc("GET /v2.0/"+key+"s", list(key, items))
		mux.HandleFunc("GET /v2.0/"+key+"s/{id}", list(key, items))
	}
	return mux
}

func (s *service) networkItems() []map[string]any {
	var out []map[string]any
	for _, n := range s.drivers.local.Networks() {
		out = append(out, map[string]any{"id": n.ID, "name": n.Name, "subnets": n.Subnets, "mtu": n.MTU, "shared": true,
			"admin_state_up": true, "status": "ACTIVE", "router:external": false})
	}
	return out
}

func (s *service) subnetItems() []map[string]any {
	var out []map[string]any
	for _, n := range s.drivers.local.Subnets() {
		item := map[string]any{"id": n.ID, "name": n.Name, "network_id": n.NetworkID, "cidr": n.Prefix.String(), "ip_version": version(n), "gateway_ip": nil}
		if n.Gateway.IsValid() {
			item["gateway_ip"] = n.Gateway.String()
		}
		out = append(out, item)
	}
	return out
}

func version(s driver.Subnet) int {
	if s.Prefix.Addr().Is4() {
		return 4
	}
	return 6
}

// answer writes one item or those that match the query.
func answer(w http.ResponseWriter, r *http.Request, key string, items []map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	var body any
	if id := strings.TrimSuffix(r.PathValue("id"), ".json"); id != "" {
		for _, i := range items {
			if i["id"] == id {
				body = map[string]any{key: i}
			}
		}
		if body == nil {
			w.WriteHeader(http.StatusNotFound)
			body = map[string]any{"NeutronError": map[string]string{"type": key + "NotFound", "message": key + " " + id + " could not be found.", "detail": ""}}
		}
	} else {
		found := []map[string]any{}
		for _, i := range items {
			if matches(i, r) {
				found = append(found, i)
			}
		}
		body = map[string]any{key + "s": found}
	}
	_ = json.NewEncoder(w).Encode(body) // the client has gone
}

func matches(item map[string]any, r *http.Request) bool {
	for _, k := range []string{"id", "name", "network_id"} {
		if want := r.URL.Query().Get(k); want != "" && item[k] != want {
			return false
		}
	}
	return true
}
