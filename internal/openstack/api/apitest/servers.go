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
		return c.computeServices(path, r)
	}
	switch {
	case len(path) == 1 && r.Method == http.MethodPost:
		return c.boot(r)
	case len(path) == 2 && path[1] == "detail":
		return http.StatusOK, obj{"servers": c.listServers(r)}
	}
	s := c.byID("servers", path[1])
	if s == nil {
		refuse(http.StatusNotFound, "Instance %s could not be found.", path[1])
	}
	switch {
	case r.Method == http.MethodDelete && c.Undeleted > 0:
		c.Undeleted--
		s["status"] = "ERROR"
		return http.StatusNoContent, nil
	case r.Method == http.MethodDelete:
		s["deleting"] = true
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
	var group any
	if len(groups) > 0 {
		group = groups[0].(obj)["name"]
	}
	console, fault := c.Boot(in)
	s := c.put("servers", obj{"name": in["name"], "status": "BUILD", "metadata": in["metadata"], "console": console, "group": group, "OS-EXT-SRV-ATTR:host": "cmp1"})
	if fault != "" {
		s["fault"] = obj{"code": 500.0, "message": fault}
	}
	c.put("ports", obj{
		"device_id": s["id"], "device_owner": "compute:nova", "network_id": network, "status": "ACTIVE",
		"fixed_ips": []any{obj{"subnet_id": "s", "ip_address": "10.0.0.9"}},
	})
	return http.StatusAccepted, obj{"server": obj{"id": s["id"]}}
}

// listServers shows servers that are being deleted one more time.
func (c *Cloud) listServers(r *http.Request) []obj {
	out := []obj{}
	for _, s := range c.matching("servers", r) {
		out = append(out, s)
		if s["deleting"] != nil {
			c.end(s)
		}
	}
	return out
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

// SetWhere is Set for things that are known by another attribute than a name.
func (c *Cloud) SetWhere(plural, attr, value string, changes map[string]any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, o := range c.things[plural] {
		if o[attr] == value {
			maps.Copy(o, changes)
		}
	}
}

// AddVolume adds a volume of Cinder's.
func (c *Cloud) AddVolume(name, status string) { c.Add("volumes", obj{"name": name, "status": status}) }
