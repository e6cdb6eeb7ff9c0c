package apitest

import (
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
)

// route finds who answers.
func (c *Cloud) route(service string, path []string, r *http.Request) (int, any) {
	at := service + "/" + path[0]
	switch {
	case service == "placement":
		return c.placement(path, r)
	case at == "identity/role_assignments":
		return http.StatusOK, obj{"role_assignments": c.assignments()}
	case service == "identity" && slices.Contains(path, "users") && slices.Contains(path, "roles"):
		return c.grant(r.Method, strings.Join(path, "/"))
	case service == "image":
		return c.image(path, r)
	case at == "compute/flavors" && len(path) > 2:
		return c.extraSpecs(path, r)
	case at == "compute/os-keypairs":
		return c.keypairs(path, r)
	case at == "compute/os-quota-sets":
		return c.quota("compute", "quota_set", path[1], r)
	case at == "network/quotas":
		return c.quota("network", "quota", path[1], r)
	case at == "network/routers" && len(path) > 2:
		return c.routerInterface(path, r)
	case at == "network/security-group-rules":
		return c.rule(path, r)
	case at == "network/agents":
		return c.agents(path, r)
	case at == "compute/os-aggregates":
		return c.aggregates(path, r)
	case at == "block-storage/volumes":
		return http.StatusOK, obj{"volumes": append([]obj{}, c.things["volumes"]...)}
	case at == "compute/servers" || at == "compute/os-hypervisors" || at == "compute/os-services":
		return c.servers(path, r)
	}
	t, ok := tables()[at]
	if !ok {
		refuse(http.StatusNotFound, "The resource could not be found.")
	}
	return c.crud(t, path[1:], r)
}

// assignments lists grants in Keystone's form.
func (c *Cloud) assignments() []obj {
	out := []obj{}
	for _, g := range c.grants {
		p := strings.Split(g, "/")
		n := len(p)
		scope := obj{"system": obj{"all": true}}
		if p[0] != "system" {
			scope = obj{strings.TrimSuffix(p[0], "s"): obj{"id": p[1]}}
		}
		out = append(out, obj{"user": obj{"id": p[n-3]}, "role": obj{"id": p[n-1]}, "scope": scope, "links": obj{}})
	}
	return out
}

func (c *Cloud) grant(method, path string) (int, any) {
	p := strings.Split(path, "/")
	n := len(p)
	if c.byID("users", p[n-3]) == nil || c.byID("roles", p[n-1]) == nil || p[0] == "projects" && c.byID("projects", p[1]) == nil {
		refuse(http.StatusNotFound, "Could not find user, role or project.")
	}
	i, found := slices.BinarySearch(c.grants, path)
	switch method {
	case http.MethodPut:
		if !found {
			c.grants = slices.Insert(c.grants, i, path)
		}
	case http.MethodDelete:
		if !found {
			refuse(http.StatusNotFound, "Could not find role assignment.")
		}
		c.grants = slices.Delete(c.grants, i, i+1)
	default:
		refuse(http.StatusMethodNotAllowed, "%s is not allowed", method)
	}
	return http.StatusNoContent, nil
}

func (c *Cloud) extraSpecs(path []string, r *http.Request) (int, any) {
	f := c.byID("flavors", path[1])
	if f == nil || path[2] != "os-extra_specs" {
		refuse(http.StatusNotFound, "Flavor %s could not be found.", path[1])
	}
	specs := maps.Clone(f["extra_specs"].(obj))
	f["extra_specs"] = specs
	switch {
	case r.Method == http.MethodDelete && len(path) == 4:
		if specs[path[3]] == nil {
			refuse(http.StatusNotFound, "no such extra spec")
		}
		delete(specs, path[3])
		return http.StatusOK, nil
	case r.Method == http.MethodPost:
		for k, v := range input(r, "extra_specs") {
			if typeOf(v) != "string" {
				refuse(http.StatusBadRequest, "extra specs are texts")
			}
			specs[k] = v
		}
		return http.StatusOK, obj{"extra_specs": specs}
	}
	refuse(http.StatusMethodNotAllowed, "%s is not allowed", r.Method)
	return 0, nil
}

func (c *Cloud) keypairs(path []string, r *http.Request) (int, any) {
	user := r.URL.Query().Get("user_id")
	if r.Method == http.MethodPost {
		t := table{
			create:   map[string]string{"name": "string", "public_key": "string", "type": "string", "user_id": "string"},
			required: []string{"name"},
		}
		in := input(r, "keypair")
		t.check(in, true)
		user = str(in["user_id"])
		for _, k := range c.keys[user] {
			if k["name"] == in["name"] {
				refuse(http.StatusConflict, "Key pair '%v' already exists.", in["name"])
			}
		}
		c.keys[user] = append(c.keys[user], obj{"name": in["name"], "public_key": in["public_key"], "type": "ssh", "fingerprint": "00:11"})
		return http.StatusCreated, obj{"keypair": in}
	}
	if r.Method == http.MethodDelete {
		before := len(c.keys[user])
		c.keys[user] = slices.DeleteFunc(c.keys[user], func(k obj) bool { return k["name"] == path[1] })
		if len(c.keys[user]) == before {
			refuse(http.StatusNotFound, "Keypair %s not found", path[1])
		}
		return http.StatusNoContent, nil
	}
	list := []obj{}
	for _, k := range c.keys[user] {
		list = append(list, obj{"keypair": k})
	}
	return http.StatusOK, obj{"keypairs": list}
}

func (c *Cloud) quota(service, key, project string, r *http.Request) (int, any) {
	at := service + " " + project
	bounds := maps.Clone(c.quotas[at])
	if bounds == nil {
		bounds = map[string]obj{
			"compute": {"cores": 20.0, "instances": 10.0, "ram": 51200.0, "key_pairs": 100.0, "metadata_items": 128.0, "server_groups": 10.0, "server_group_members": 10.0},
			"network": {"network": 100.0, "subnet": 100.0, "port": 500.0, "router": 10.0, "floatingip": 50.0, "security_group": 10.0, "security_group_rule": 100.0, "rbac_policy": 10.0, "subnetpool": -1.0},
		}[service]
	}
	if r.Method == http.MethodPut {
		for k, v := range input(r, key) {
			if _, known := bounds[k]; !known || typeOf(v) != "number" {
				refuse(http.StatusBadRequest, "Additional properties are not allowed ('%s' was unexpected)", k)
			}
			bounds[k] = v
		}
		c.quotas[at] = bounds
	}
	return http.StatusOK, obj{key: bounds}
}

func (c *Cloud) routerInterface(path []string, r *http.Request) (int, any) {
	router := c.byID("routers", path[1])
	var in obj
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || router == nil || r.Method != http.MethodPut {
		refuse(http.StatusNotFound, "Router %s could not be found", path[1])
	}
	subnet := c.byID("subnets", str(in["subnet_id"]))
	if subnet == nil {
		refuse(http.StatusNotFound, "Subnet %v could not be found.", in["subnet_id"])
	}
	is := func(p obj) bool {
		return p["device_id"] == router["id"] && p["fixed_ips"].([]any)[0].(obj)["subnet_id"] == subnet["id"]
	}
	there := slices.ContainsFunc(c.things["ports"], is)
	switch {
	case path[2] == "add_router_interface" && there:
		refuse(http.StatusBadRequest, "Router already has a port on subnet %v", subnet["id"])
	case path[2] == "add_router_interface":
		c.put("ports", obj{
			"device_id": router["id"], "device_owner": "network:router_interface", "network_id": subnet["network_id"],
			"fixed_ips": []any{obj{"subnet_id": subnet["id"], "ip_address": "10.0.0.1"}},
		})
	case path[2] == "remove_router_interface" && there:
		c.things["ports"] = slices.DeleteFunc(c.things["ports"], is)
	default:
		refuse(http.StatusNotFound, "Router %v has no interface on subnet %v", router["id"], subnet["id"])
	}
	return http.StatusOK, obj{"id": router["id"], "subnet_id": subnet["id"]}
}

func (c *Cloud) defaultRules(g obj) {
	var rules []any
	for _, family := range []string{"IPv4", "IPv6"} {
		c.next++
		rules = append(rules, obj{
			"id": "rule" + str(c.next), "direction": "egress", "ethertype": family, "protocol": nil, "port_range_min": nil,
			"port_range_max": nil, "remote_ip_prefix": nil, "remote_group_id": nil, "security_group_id": g["id"],
		})
	}
	g["security_group_rules"] = rules
}

// defaultGroup makes a project's default group, as Neutron does when somebody
// looks.
func (c *Cloud) defaultGroup(project string) {
	for _, g := range c.things["security_groups"] {
		if g["project_id"] == project && g["name"] == "default" {
			return
		}
	}
	c.defaultRules(c.put("security_groups", obj{"name": "default", "project_id": project, "description": "Default security group"}))
}

func (c *Cloud) rule(path []string, r *http.Request) (int, any) {
	if r.Method == http.MethodDelete {
		for _, g := range c.things["security_groups"] {
			rules := g["security_group_rules"].([]any)
			kept := slices.DeleteFunc(slices.Clone(rules), func(x any) bool { return x.(obj)["id"] == path[1] })
			g["security_group_rules"] = kept
			if len(kept) < len(rules) {
				return http.StatusNoContent, nil
			}
		}
		refuse(http.StatusNotFound, "Security group rule %s does not exist", path[1])
	}
	t := table{
		create: map[string]string{
			"security_group_id": "string", "direction": "string", "ethertype": "string", "protocol": "string", "port_range_min": "number",
			"port_range_max": "number", "remote_ip_prefix": "string", "remote_group_id": "string", "description": "string",
		},
		required: []string{"security_group_id", "direction"},
	}
	in := input(r, "security_group_rule")
	t.check(in, true)
	g := c.byID("security_groups", str(in["security_group_id"]))
	if g == nil {
		refuse(http.StatusNotFound, "Security group %v does not exist", in["security_group_id"])
	}
	full := obj{"protocol": nil, "port_range_min": nil, "port_range_max": nil, "remote_ip_prefix": nil, "remote_group_id": nil}
	maps.Copy(full, in)
	for _, x := range g["security_group_rules"].([]any) {
		same := maps.Clone(x.(obj))
		delete(same, "id")
		if a, _ := json.Marshal(same); string(a) == string(must(json.Marshal(full))) {
			refuse(http.StatusConflict, "Security group rule already exists.")
		}
	}
	c.next++
	full["id"] = "rule" + str(c.next)
	g["security_group_rules"] = append(slices.Clone(g["security_group_rules"].([]any)), full)
	return http.StatusCreated, obj{"security_group_rule": full}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// image serves Glance: two images in a page, so that pages are followed.
func (c *Cloud) image(path []string, r *http.Request) (int, any) {
	switch {
	case len(path) == 1 && r.Method == http.MethodPost:
		return c.makeImage(r)
	case len(path) == 1:
		return http.StatusOK, c.imagePage(r)
	}
	o := c.byID("images", path[1])
	if o == nil {
		refuse(http.StatusNotFound, "No image found with ID %s", path[1])
	}
	switch {
	case len(path) == 3 && path[2] == "file" && r.Method == http.MethodPut:
		return c.upload(o, r)
	case r.Method == http.MethodGet:
		return http.StatusOK, o
	case r.Method == http.MethodDelete && o["protected"] == true:
		refuse(http.StatusForbidden, "Image %s is protected and cannot be deleted.", path[1])
	case r.Method == http.MethodDelete:
		c.drop("images", o)
		return http.StatusNoContent, nil
	case r.Method == http.MethodPatch:
		return http.StatusOK, patchImage(o, r)
	}
	refuse(http.StatusMethodNotAllowed, "%s is not allowed", r.Method)
	return 0, nil
}

func (c *Cloud) imagePage(r *http.Request) obj {
	const size = 2
	all, from := slices.Clone(c.things["images"]), 0
	if r.URL.Query().Get("visibility") != "all" {
		all = slices.DeleteFunc(all, func(o obj) bool { return o["visibility"] == "community" })
	}
	if m := r.URL.Query().Get("marker"); m != "" {
		from = 1 + slices.IndexFunc(all, func(o obj) bool { return o["id"] == m })
	}
	page := all[from:min(from+size, len(all))]
	out := obj{"images": append([]obj{}, page...), "first": "/v2/images"}
	if from+size < len(all) {
		out["next"] = "/image/v2/images?limit=2&visibility=" + r.URL.Query().Get("visibility") + "&marker=" + str(page[len(page)-1]["id"])
	}
	return out
}

func (c *Cloud) makeImage(r *http.Request) (int, any) {
	var in obj
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		refuse(http.StatusBadRequest, "no JSON")
	}
	known := map[string]string{"min_disk": "number", "min_ram": "number", "protected": "bool", "tags": "list"}
	for k, v := range in {
		want := known[k]
		if want == "" {
			want = "string" // properties are texts
		}
		if typeOf(v) != want || slices.Contains([]string{"status", "checksum", "size", "os_hash_value"}, k) {
			refuse(http.StatusBadRequest, "Invalid input for %s", k)
		}
	}
	o := obj{"status": "queued", "visibility": "shared", "protected": false, "min_disk": 0.0, "min_ram": 0.0, "os_hash_algo": nil, "os_hash_value": nil, "tags": []any{}}
	maps.Copy(o, in)
	return http.StatusCreated, c.put("images", o)
}

func (c *Cloud) upload(o obj, r *http.Request) (int, any) {
	if r.Header.Get("Content-Type") != "application/octet-stream" || r.ContentLength < 0 {
		refuse(http.StatusUnsupportedMediaType, "an octet stream of known length is wanted")
	}
	if o["status"] != "queued" {
		refuse(http.StatusConflict, "Image status transition from %v to saving is not allowed", o["status"])
	}
	o["status"] = "saving"
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, nil
	}
	sum := sha512.Sum512(data)
	o["status"], o["os_hash_algo"], o["os_hash_value"], o["size"] = "active", "sha512", hex.EncodeToString(sum[:]), float64(len(data))
	return http.StatusNoContent, nil
}

func patchImage(o obj, r *http.Request) obj {
	if r.Header.Get("Content-Type") != "application/openstack-images-v2.1-json-patch" {
		refuse(http.StatusUnsupportedMediaType, "Unsupported Content-Type")
	}
	var ops []struct {
		Op, Path string
		Value    any
	}
	if err := json.NewDecoder(r.Body).Decode(&ops); err != nil {
		refuse(http.StatusBadRequest, "no JSON")
	}
	for _, op := range ops {
		key := strings.TrimPrefix(op.Path, "/")
		_, there := o[key]
		switch {
		case slices.Contains([]string{"status", "owner_id", "id", "os_hash_value"}, key):
			refuse(http.StatusForbidden, "Attribute '%s' is read-only.", key)
		case (key == "disk_format" || key == "container_format") && o["status"] != "queued":
			refuse(http.StatusForbidden, "Attribute %s can be only replaced for a queued image.", key)
		case op.Op == "replace" && !there || op.Op == "add" && there:
			refuse(http.StatusConflict, "Property %s cannot be the subject of %s", key, op.Op)
		}
		o[key] = op.Value
	}
	return o
}
