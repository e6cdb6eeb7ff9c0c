package apitest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// AddHost adds a host of servers as it is once its agents have started, and
// returns its UUID in Placement. Its things are among compute_services,
// hypervisors, agents, and providers.
func (c *Cloud) AddHost(name string) string {
	id := c.Add("hypervisors", obj{"hypervisor_hostname": name, "state": "up", "status": "enabled", "service": obj{"host": name}})
	c.Add("compute_services", obj{"binary": "nova-compute", "host": name, "state": "up", "status": "enabled", "disabled_reason": nil})
	for _, kind := range []string{"OVN Controller agent", "OVN Metadata agent"} {
		c.Add("agents", obj{"agent_type": kind, "host": name, "alive": true, "admin_state_up": true})
	}
	c.Add("providers", obj{"id": id, "name": name, "allocations": obj{}})
	return id
}

// Claim has Placement set resources of a provider aside for a consumer.
func (c *Cloud) Claim(provider, consumer string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byID("providers", provider)["allocations"].(obj)[consumer] = obj{"resources": obj{"VCPU": 1}}
}

// computeServices serves Nova's records of its own services.
func (c *Cloud) computeServices(path []string, r *http.Request) (int, any) {
	if len(path) == 1 {
		return http.StatusOK, obj{"services": c.matching("compute_services", r)}
	}
	s := c.byID("compute_services", path[1])
	if s == nil {
		refuse(http.StatusNotFound, "Service %s could not be found.", path[1])
	}
	switch r.Method {
	case http.MethodPut:
		c.setStatus(s, r)
		return http.StatusOK, obj{"service": s}
	case http.MethodDelete:
		c.forgetHost(s)
		return http.StatusNoContent, nil
	}
	refuse(http.StatusMethodNotAllowed, "%s is not allowed", r.Method)
	return 0, nil
}

func (c *Cloud) setStatus(s obj, r *http.Request) {
	var in obj
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(http.StatusBadRequest, "no JSON")
	}
	for k := range in {
		if !slices.Contains([]string{"status", "disabled_reason", "forced_down"}, k) {
			refuse(http.StatusBadRequest, "Additional properties are not allowed ('%s' was unexpected)", k)
		}
	}
	if in["disabled_reason"] != nil && in["status"] != "disabled" {
		refuse(http.StatusBadRequest, "Specifying disabled_reason requires that status is disabled.")
	}
	s["status"], s["disabled_reason"] = in["status"], in["disabled_reason"]
}

// forgetHost deletes a service with what is known of its host; what is set aside
// in Placement keeps the provider, as Nova only logs that.
func (c *Cloud) forgetHost(s obj) {
	for _, server := range c.things["servers"] {
		if server["OS-EXT-SRV-ATTR:host"] == s["host"] {
			refuse(http.StatusConflict, "Unable to delete compute service that is hosting instances. Migrate or delete the instances first.")
		}
	}
	c.things["hypervisors"] = slices.DeleteFunc(c.things["hypervisors"], func(h obj) bool {
		if h["service"] == nil || h["service"].(obj)["host"] != s["host"] {
			return false
		}
		if p := c.byID("providers", str(h["id"])); p != nil && len(p["allocations"].(obj)) == 0 {
			c.drop("providers", p)
		}
		return true
	})
	c.drop("compute_services", s)
}

// agents serves Neutron's records of its agents.
func (c *Cloud) agents(path []string, r *http.Request) (int, any) {
	if len(path) == 1 {
		return http.StatusOK, obj{"agents": c.matching("agents", r)}
	}
	a := c.byID("agents", path[1])
	if a == nil || r.Method != http.MethodDelete {
		refuse(http.StatusNotFound, "Agent %s could not be found.", path[1])
	}
	c.drop("agents", a)
	return http.StatusNoContent, nil
}

// placement serves resource providers.
func (c *Cloud) placement(path []string, r *http.Request) (int, any) {
	if path[0] != "resource_providers" || len(path) < 2 {
		return http.StatusOK, obj{"versions": []obj{{"id": "v1.0", "max_version": "1.39", "min_version": "1.0"}}}
	}
	p := c.byID("providers", path[1])
	switch {
	case p == nil:
		refuse(http.StatusNotFound, "No resource provider with uuid %s found", path[1])
	case len(path) == 3 && path[2] == "allocations":
		return http.StatusOK, obj{"allocations": p["allocations"], "resource_provider_generation": 1}
	case r.Method == http.MethodDelete && len(p["allocations"].(obj)) > 0:
		refuse(http.StatusConflict, "Unable to delete resource provider %s: Resource provider has allocations.", path[1])
	case r.Method == http.MethodDelete:
		c.drop("providers", p)
		return http.StatusNoContent, nil
	}
	refuse(http.StatusMethodNotAllowed, "%s is not allowed", r.Method)
	return 0, nil
}

// matching lists the things that have what the query asks for.
func (c *Cloud) matching(plural string, r *http.Request) []obj {
	out := []obj{}
	for _, o := range c.things[plural] {
		match := true
		for k, v := range r.URL.Query() {
			if k == "host" && plural == "servers" {
				k = "OS-EXT-SRV-ATTR:host"
			}
			switch k {
			case "all_tenants":
			case "name":
				match = match && regexp.MustCompile(v[0]).MatchString(str(o[k]))
			default: // a part is enough, so that callers look themselves
				match = match && strings.Contains(str(o[k]), v[0])
			}
		}
		if match {
			out = append(out, o)
		}
	}
	return out
}
