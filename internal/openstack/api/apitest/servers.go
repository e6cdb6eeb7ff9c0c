package apitest

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// servers serves what Nova says of servers, hypervisors and its own services.
func (c *Cloud) servers(path []string, r *http.Request) (int, any) {
	if path[0] == "os-hypervisors" {
		return http.StatusOK, obj{"hypervisors": c.things["hypervisors"]}
	}
	if path[0] == "os-services" {
		return http.StatusOK, obj{"services": c.things["compute_services"]}
	}
	switch {
	case len(path) == 1 && r.Method == http.MethodPost:
		return c.boot(r)
	case len(path) == 2 && path[1] == "detail":
		return http.StatusOK, obj{"servers": append([]obj{}, c.things["servers"]...)}
	}
	s := c.byID("servers", path[1])
	if s == nil {
		refuse(http.StatusNotFound, "Instance %s could not be found.", path[1])
	}
	switch {
	case r.Method == http.MethodDelete:
		c.end(s)
		return http.StatusNoContent, nil
	case len(path) == 3 && path[2] == "action":
		return http.StatusOK, obj{"output": s["console"]}
	}
	shown := maps.Clone(s)
	delete(shown, "console")
	if s["status"] == "BUILD" { // it is built by the next look
		s["status"] = "ACTIVE"
		if s["fault"] != nil {
			s["status"] = "ERROR"
		}
	}
	return http.StatusOK, obj{"server": shown}
}

func (c *Cloud) boot(r *http.Request) (int, any) {
	t := table{
		create: map[string]string{
			"name": "string", "imageRef": "string", "flavorRef": "string", "networks": "list", "security_groups": "list", "metadata": "object",
			"key_name": "string", "availability_zone": "string", "user_data": "string",
		},
		required: []string{"name", "flavorRef", "networks"},
	}
	in := input(r, "server")
	t.check(in, true)
	for plural, id := range map[string]any{"images": in["imageRef"], "flavors": in["flavorRef"]} {
		if c.byID(plural, str(id)) == nil {
			refuse(http.StatusBadRequest, "Can not find requested %s %v", plural, id)
		}
	}
	network := str(in["networks"].([]any)[0].(obj)["uuid"])
	if c.byID("networks", network) == nil {
		refuse(http.StatusBadRequest, "Network %s could not be found.", network)
	}
	groups, _ := in["security_groups"].([]any)
	for _, g := range groups {
		if c.named("security_groups", str(g.(obj)["name"])) == nil {
			refuse(http.StatusBadRequest, "Security group %v not found", g)
		}
	}
	console, fault := c.Boot(in)
	s := c.put("servers", obj{"name": in["name"], "status": "BUILD", "metadata": in["metadata"], "console": console, "OS-EXT-SRV-ATTR:host": "cmp1"})
	if fault != "" {
		s["fault"] = obj{"code": 500.0, "message": fault}
	}
	c.put("ports", obj{
		"device_id": s["id"], "device_owner": "compute:nova", "network_id": network, "status": "ACTIVE",
		"fixed_ips": []any{obj{"subnet_id": "s", "ip_address": "10.0.0.9"}},
	})
	return http.StatusAccepted, obj{"server": obj{"id": s["id"]}}
}

// end deletes a server with its port; a floating IP stays.
func (c *Cloud) end(s obj) {
	c.things["ports"] = slices.DeleteFunc(c.things["ports"], func(p obj) bool { return p["device_id"] == s["id"] })
	c.things["servers"] = slices.DeleteFunc(c.things["servers"], func(x obj) bool { return x["id"] == s["id"] })
}

// Servers renders the servers' names, for tests of what is left.
func (c *Cloud) Servers() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var names []string
	for _, s := range c.things["servers"] {
		names = append(names, str(s["name"]))
	}
	b, _ := json.Marshal(names)
	return strings.TrimSpace(string(b))
}
