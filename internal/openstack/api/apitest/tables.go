package apitest

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// table is what a service allows of a kind of thing.
type table struct {
	plural, single string
	// method changes a thing; empty: nothing does.
	method string
	// create are the attributes that may be given, of them update those that may
	// be changed, with the types that they have in JSON.
	create   map[string]string
	required []string
	fixed    []string
	filters  []string
	defaults obj
	// unique are the attributes that two things cannot both have the same.
	unique []string
}

// tables are the kinds of things, by service and path.
func tables() map[string]table {
	out := identityTables()
	maps.Copy(out, networkTables())
	out["compute/flavors"] = table{
		plural: "flavors", single: "flavor",
		create: map[string]string{
			"name": "string", "ram": "number", "vcpus": "number", "disk": "number", "id": "string", "swap": "number",
			"OS-FLV-EXT-DATA:ephemeral": "number", "os-flavor-access:is_public": "bool", "rxtx_factor": "number", "description": "string",
		},
		required: []string{"name", "ram", "vcpus", "disk"}, filters: []string{"is_public", "limit", "marker"}, unique: []string{"name"},
		defaults: obj{"swap": "", "OS-FLV-EXT-DATA:ephemeral": 0.0, "os-flavor-access:is_public": true, "extra_specs": obj{}},
	}
	return out
}

func identityTables() map[string]table {
	const id = "identity/"
	named := map[string]string{"name": "string", "description": "string", "enabled": "bool"}
	with := func(more map[string]string) map[string]string {
		m := maps.Clone(named)
		maps.Copy(m, more)
		return m
	}
	enabled := obj{"enabled": true, "description": ""}
	return map[string]table{
		id + "domains": {plural: "domains", single: "domain", method: "PATCH", create: named, required: []string{"name"}, defaults: enabled},
		id + "projects": {
			plural: "projects", single: "project", method: "PATCH", required: []string{"name"}, defaults: enabled,
			create: with(map[string]string{"domain_id": "string"}), fixed: []string{"domain_id"}, unique: []string{"name", "domain_id"},
		},
		id + "users": {
			plural: "users", single: "user", method: "PATCH", required: []string{"name"}, defaults: obj{"enabled": true},
			create: with(map[string]string{"domain_id": "string", "password": "string", "email": "string"}),
			fixed:  []string{"domain_id"}, unique: []string{"name", "domain_id"},
		},
		id + "roles": {
			plural: "roles", single: "role", method: "PATCH", required: []string{"name"},
			create:   map[string]string{"name": "string", "description": "string", "domain_id": "null"},
			defaults: obj{"description": "", "domain_id": nil}, unique: []string{"name"},
		},
		id + "services": {
			plural: "services", single: "service", method: "PATCH", required: []string{"type"}, defaults: enabled,
			create: with(map[string]string{"type": "string"}),
		},
		id + "endpoints": {
			plural: "endpoints", single: "endpoint", method: "PATCH", required: []string{"interface", "service_id", "url"},
			create:   map[string]string{"interface": "string", "service_id": "string", "region_id": "string|null", "region": "string", "url": "string", "enabled": "bool"},
			defaults: obj{"enabled": true},
		},
	}
}

func networkTables() map[string]table {
	base := map[string]string{"name": "string", "project_id": "string", "description": "string", "admin_state_up": "bool"}
	with := func(more map[string]string) map[string]string {
		m := maps.Clone(base)
		maps.Copy(m, more)
		return m
	}
	up := obj{"description": "", "admin_state_up": true, "status": "ACTIVE"}
	plus := func(more obj) obj { m := maps.Clone(up); maps.Copy(m, more); return m }
	return map[string]table{
		"network/networks": {
			plural: "networks", single: "network", method: "PUT",
			create: with(map[string]string{
				"shared": "bool", "router:external": "bool", "mtu": "number", "provider:network_type": "string",
				"provider:physical_network": "string", "provider:segmentation_id": "number", "port_security_enabled": "bool",
			}),
			fixed: []string{"project_id", "provider:network_type", "provider:physical_network", "provider:segmentation_id"},
			defaults: plus(obj{
				"shared": false, "router:external": false, "mtu": 1442.0, "provider:network_type": "geneve",
				"provider:physical_network": nil, "provider:segmentation_id": 1.0, "port_security_enabled": true,
			}),
		},
		"network/subnets": {
			plural: "subnets", single: "subnet", method: "PUT", required: []string{"network_id", "cidr", "ip_version"},
			create: map[string]string{
				"name": "string", "project_id": "string", "network_id": "string", "cidr": "string", "ip_version": "number", "gateway_ip": "string|null",
				"enable_dhcp": "bool", "dns_nameservers": "list", "allocation_pools": "list", "ipv6_address_mode": "string", "ipv6_ra_mode": "string",
			},
			fixed: []string{"project_id", "network_id", "cidr", "ip_version", "ipv6_address_mode", "ipv6_ra_mode"},
			defaults: obj{
				"gateway_ip": "10.0.0.1", "enable_dhcp": true, "dns_nameservers": []any{}, "ipv6_address_mode": nil, "ipv6_ra_mode": nil,
				"allocation_pools": []any{obj{"start": "10.0.0.2", "end": "10.0.0.254"}},
			},
		},
		"network/routers": {
			plural: "routers", single: "router", method: "PUT", fixed: []string{"project_id"},
			create: with(map[string]string{"external_gateway_info": "object"}), defaults: plus(obj{"external_gateway_info": nil}),
		},
		"network/security-groups": {
			plural: "security_groups", single: "security_group", method: "PUT", fixed: []string{"project_id"}, filters: []string{"project_id", "name"},
			create:   map[string]string{"name": "string", "project_id": "string", "description": "string"},
			defaults: obj{"description": ""},
		},
		"network/floatingips": {
			plural: "floatingips", single: "floatingip", method: "PUT", required: []string{"floating_network_id"},
			create:   map[string]string{"floating_network_id": "string", "port_id": "string", "description": "string", "project_id": "string"},
			defaults: obj{"floating_ip_address": "192.0.2.10", "status": "ACTIVE"}, filters: []string{"description"},
		},
		"network/ports": {
			plural: "ports", single: "port", method: "PUT", required: []string{"network_id"},
			create: map[string]string{"name": "string", "network_id": "string"}, filters: []string{"device_id", "device_owner"},
		},
	}
}

// input reads the body of a request, which holds one thing.
func input(r *http.Request, single string) obj {
	var doc map[string]obj
	dec := json.NewDecoder(r.Body)
	if err := dec.Decode(&doc); err != nil || len(doc) != 1 || doc[single] == nil {
		refuse(http.StatusBadRequest, "the body is to hold one %s", single)
	}
	return doc[single]
}

// check refuses what a service would refuse.
func (t table) check(in obj, creating bool) {
	for k, v := range in {
		want, known := t.create[k]
		if !known || !creating && slices.Contains(t.fixed, k) {
			refuse(http.StatusBadRequest, "Unrecognized attribute(s) '%s'", k)
		}
		if got := typeOf(v); !slices.Contains(strings.Split(want, "|"), got) {
			refuse(http.StatusBadRequest, "Invalid input for %s: it is a %s", k, got)
		}
	}
	for _, k := range t.required {
		if creating && in[k] == nil {
			refuse(http.StatusBadRequest, "'%s' is a required property", k)
		}
	}
}

func typeOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case string:
		return "string"
	case bool:
		return "bool"
	case float64:
		return "number"
	case []any:
		return "list"
	}
	return "object"
}

// create makes a thing.
func (c *Cloud) create(t table, in obj) obj {
	t.check(in, true)
	o := maps.Clone(t.defaults)
	if o == nil {
		o = obj{}
	}
	maps.Copy(o, in)
	for _, other := range c.things[t.plural] {
		same := len(t.unique) > 0
		for _, k := range t.unique {
			same = same && reflect.DeepEqual(other[k], o[k])
		}
		if same {
			refuse(http.StatusConflict, "Duplicate entry found with name %v", o["name"])
		}
	}
	return c.put(t.plural, o)
}

// crud serves a collection.
func (c *Cloud) crud(t table, rest []string, r *http.Request) (int, any) {
	if len(rest) == 0 || rest[0] == "detail" {
		if r.Method == http.MethodPost {
			return c.made(t, r)
		}
		return http.StatusOK, obj{t.plural: c.listed(t, r)}
	}
	o := c.byID(t.plural, rest[0])
	if o == nil {
		refuse(http.StatusNotFound, "%s %s could not be found.", t.single, rest[0])
	}
	switch {
	case r.Method == http.MethodGet:
		return http.StatusOK, obj{t.single: public(o)}
	case r.Method == http.MethodDelete && t.plural == "domains" && o["enabled"] == true:
		refuse(http.StatusForbidden, "Cannot delete a domain that is enabled, please disable it first.")
	case r.Method == http.MethodDelete:
		c.drop(t.plural, o)
		return http.StatusNoContent, nil
	case r.Method == t.method && t.method != "":
		in := input(r, t.single)
		t.check(in, false)
		maps.Copy(o, in)
		if info, ok := o["external_gateway_info"].(obj); ok {
			o["external_gateway_info"] = gateway(info)
		}
		return http.StatusOK, obj{t.single: public(o)}
	}
	refuse(http.StatusMethodNotAllowed, "%s is not allowed", r.Method)
	return 0, nil
}

func (c *Cloud) made(t table, r *http.Request) (int, any) {
	o := c.create(t, input(r, t.single))
	switch t.plural {
	case "flavors":
		if o["swap"] == 0.0 {
			o["swap"] = ""
		}
		return http.StatusOK, obj{t.single: o}
	case "routers":
		if info, ok := o["external_gateway_info"].(obj); ok {
			o["external_gateway_info"] = gateway(info)
		}
	case "security_groups":
		c.defaultRules(o)
	case "floatingips":
		o["status"] = "ACTIVE"
	case "endpoints":
		if id := o["region_id"]; id != nil && id != "RegionOne" {
			c.drop("endpoints", o)
			refuse(http.StatusBadRequest, "Expecting to find valid region, %v is not", id)
		}
		o["region_id"] = o["region"]
	}
	return http.StatusCreated, obj{t.single: public(o)}
}

// gateway is what Neutron makes of a router's way out.
func gateway(in obj) any {
	if len(in) == 0 {
		return nil
	}
	out := maps.Clone(in)
	if out["enable_snat"] == nil {
		out["enable_snat"] = true
	}
	out["external_fixed_ips"] = []any{obj{"subnet_id": "s", "ip_address": "192.0.2.7"}}
	return out
}

// public is a thing without what is never shown.
func public(o obj) obj {
	out := maps.Clone(o)
	delete(out, "password")
	return out
}

func (c *Cloud) listed(t table, r *http.Request) []obj {
	out := []obj{}
	for k := range r.URL.Query() {
		if !slices.Contains(t.filters, k) {
			refuse(http.StatusBadRequest, "unknown filter %s", k)
		}
	}
	if p := r.URL.Query().Get("project_id"); p != "" && t.plural == "security_groups" {
		c.defaultGroup(p)
	}
	for _, o := range c.things[t.plural] {
		match := true
		for k, vs := range r.URL.Query() {
			if k != "is_public" && k != "limit" {
				match = match && slices.Contains(vs, str(o[k]))
			}
		}
		if match {
			out = append(out, public(o))
		}
	}
	return out
}

// drop deletes a thing, unless others depend on it.
func (c *Cloud) drop(plural string, o obj) {
	for _, p := range c.things["ports"] {
		if plural == "networks" && p["network_id"] == o["id"] || plural == "routers" && p["device_id"] == o["id"] {
			refuse(http.StatusConflict, "Unable to complete operation on %v: there are one or more ports still in use.", o["id"])
		}
	}
	for _, s := range c.things["servers"] {
		if plural == "security_groups" && s["group"] == o["name"] {
			refuse(http.StatusConflict, "Security Group %v in use.", o["id"])
		}
	}
	for _, s := range c.things["subnets"] {
		if plural == "networks" && s["network_id"] == o["id"] { // Neutron deletes subnets with their network
			c.things["subnets"] = slices.DeleteFunc(c.things["subnets"], func(x obj) bool { return x["id"] == s["id"] })
			break
		}
	}
	if plural == "services" {
		c.things["endpoints"] = slices.DeleteFunc(c.things["endpoints"], func(x obj) bool { return x["service_id"] == o["id"] })
	}
	if plural == "users" || plural == "projects" || plural == "roles" {
		c.grants = slices.DeleteFunc(c.grants, func(g string) bool { return strings.Contains(g, str(o["id"])) })
	}
	c.things[plural] = slices.DeleteFunc(c.things[plural], func(x obj) bool { return x["id"] == o["id"] })
}
