package api

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// names are those of the objects in a list.
func (a *answer) names(key string) string {
	a.t.Helper()
	list, ok := a.doc[key].([]any)
	if !ok {
		a.t.Fatalf("no %s: %s", key, a.text)
	}
	var out []string
	for _, o := range list {
		out = append(out, fmt.Sprint(dig(o, "name")))
	}
	return strings.Join(out, " ")
}

func TestFilters(t *testing.T) {
	r := newRig(t)
	a := r.lb(m{"name": "a", "tags": []string{"x", "y"}})
	r.lb(m{"name": "b", "tags": []string{"x"}, "admin_state_up": false})
	r.lb(m{"name": "c", "vip_address": "192.0.2.33"})
	r.listener(a, 80, m{"name": "l"})
	for query, want := range map[string]string{
		"": "a b c", "name=b": "b", "name=nobody": "", "name=a&admin_state_up=true": "a", "admin_state_up=False": "b", "admin_state_up=0": "b",
		"id=" + a: "a", "vip_address=192.0.2.33": "c", "provisioning_status=ACTIVE": "a b c", "project_id=" + r.project: "a b c",
		"tags=x": "a b", "tags=x,y": "a", "tags=x&tags=y": "a", "tags-any=y,z": "a", "not-tags=x,y": "b c", "not-tags-any=x": "c", "tags=x&not-tags=y": "b",
		"sort=name:desc": "c b a", "sort=admin_state_up,name:desc": "b c a", "sort_key=name&sort_dir=desc": "c b a",
		"sort_key=admin_state_up,name&sort_dir=desc": "a c b", "sort=vip_address&name=c": "c", "created_at=2001-01-01T00:00:00": "", "limit=infinite": "a b c", "limit=-1": "a b c",
	} {
		t.Run(query, func(t *testing.T) {
			scope := "project_id=" + r.project
			if strings.Contains(query, "project_id") {
				scope = ""
			}
			a := r.do("GET", "/loadbalancers?"+query+"&"+scope, nil)
			a.t = t
			if got := a.names("loadbalancers"); got != want {
				t.Errorf("%q, wanted %q", got, want)
			}
		})
	}
	for query, want := range map[string][2]any{
		"nope=1":          {400, "One or more arguments are either duplicate or invalid"},
		"name=a&name=b":   {400, "One or more arguments are either duplicate or invalid"},
		"tenant_id=x":     {400, "One or more arguments are either duplicate or invalid"},
		"listeners=x":     {400, "One or more arguments are either duplicate or invalid"},
		"%zz":             {400, "One or more arguments are either duplicate or invalid"},
		"limit=abc":       {400, "Supplied pagination limit 'abc' is not valid."},
		"sort=nope":       {400, "Supplied sort key 'nope' is not valid."},
		"sort=name:UP":    {400, "Supplied sort direction 'up' is not valid."},
		"marker=" + noID:  {400, "Supplied pagination marker '" + noID + "' is not valid."},
		"sort_key=x":      {400, "Supplied sort key 'x' is not valid."},
		"sort=pools:desc": {400, "Supplied sort key 'pools' is not valid."},
	} {
		t.Run(query, func(t *testing.T) {
			a := r.do("GET", "/loadbalancers?"+query, nil)
			a.t = t
			a.want(want[0].(int), want[1].(string))
		})
	}
	if a := r.do("GET", "/loadbalancers?limit=abc", nil); a.doc["code"] != 400.0 || a.doc["title"] != "Bad Request" {
		t.Errorf("shape: %s", a.text)
	}
	if got := r.do("GET", "/listeners?load_balancer_id="+a, nil).names("listeners"); got != "l" {
		t.Errorf("children of one: %q", got)
	}
	if got := r.do("GET", "/listeners?loadbalancer_id="+noID, nil).names("listeners"); got != "" {
		t.Errorf("children of none: %q", got)
	}
	got := r.do("GET", "/loadbalancers?fields=name&name=b&project_id="+r.project, nil)
	if list := got.doc["loadbalancers"].([]any); len(list) != 1 || len(list[0].(map[string]any)) != 1 {
		t.Errorf("fields: %s", got.text)
	}
}

func TestPagesNeitherOverlapNorLeaveOut(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.lb(m{"name": fmt.Sprintf("n%d", i/2), "tags": []string{"page"}})
	}
	r.lb(m{"name": "other"})
	follow := func(a *answer, rel string) string {
		for _, l := range a.doc["loadbalancers_links"].([]any) {
			if dig(l, "rel") == rel {
				u, err := url.Parse(dig(l, "href").(string))
				if err != nil || u.Host != "example.com" || u.Path != "/v2.0/lbaas/loadbalancers" {
					t.Fatalf("link %v", l)
				}
				return u.RawQuery
			}
		}
		return ""
	}
	query := "limit=3&sort=name:desc&tags=page&project_id=" + r.project + "&fields=name&fields=id"
	var pages, back []string
	var last *answer
	for query != "" {
		last = r.do("GET", "/loadbalancers?"+query, nil)
		pages = append(pages, last.names("loadbalancers"))
		query = follow(last, "next")
	}
	if got := strings.Join(pages, " | "); got != "n3 n2 n2 | n1 n1 n0 | n0" {
		t.Errorf("pages: %s", got)
	}
	for query = follow(last, "previous"); query != ""; {
		last = r.do("GET", "/loadbalancers?"+query, nil)
		back = append(back, last.names("loadbalancers"))
		query = follow(last, "previous")
		if len(last.doc["loadbalancers"].([]any)) == 0 {
			break
		}
	}
	if got := strings.Join(back, " | "); got != "n1 n1 n0 | n3 n2 n2 | " {
		t.Errorf("back: %s", got)
	}
	a := r.do("GET", "/loadbalancers?limit=7&tags=page&project_id="+r.project, nil)
	if links := a.doc["loadbalancers_links"].([]any); len(links) != 1 || dig(links[0], "rel") != "next" {
		t.Errorf("a page that is full has a next one: %v", links)
	}
}

func TestLimitsOfPages(t *testing.T) {
	r := newRig(t, func(o *Options) { o.Settings.MaxPage, o.Settings.PublicURL = 2, "https://lb.example/load-balancer/" })
	for range 3 {
		r.lb()
	}
	scope := "&project_id=" + r.project
	for query, n := range map[string]int{"": 2, "limit=5": 2, "limit=1": 1, "limit=0": 3, "limit=infinite": 3} {
		if got := len(r.do("GET", "/loadbalancers?"+query+scope, nil).doc["loadbalancers"].([]any)); got != n {
			t.Errorf("%q: %d", query, got)
		}
	}
	href := r.do("GET", "/loadbalancers?limit=1"+scope, nil).at("loadbalancers_links.0.href").(string)
	if !strings.HasPrefix(href, "https://lb.example/load-balancer/v2.0/lbaas/loadbalancers?limit=1&project_id="+r.project+"&marker=") {
		t.Errorf("link %s", href)
	}
}

func TestWhatOperatorsDefine(t *testing.T) {
	r := newRig(t)
	name := r.project
	r.refuses("/flavorprofiles", "flavorprofile", m{"name": "p", "provider_name": "amphora", "flavor_data": "{}"}, []refusal{
		{"no JSON", m{"flavor_data": "{"}, 400, "{ is not a valid option for flavor_data"},
		{"no object", m{"flavor_data": "[]"}, 501, "Provider 'amphora' does not support a requested option: [] is not of type 'object'"},
		{"an unknown key", m{"flavor_data": `{"x": 1}`}, 501, "Provider 'amphora' does not support a requested option: Additional properties are not allowed ('x' was unexpected)"},
		{"an unknown value", m{"flavor_data": `{"loadbalancer_topology": "X"}`}, 501, "Provider 'amphora' does not support a requested option: loadbalancer_topology 'X' is not one of ['SINGLE', 'ACTIVE_STANDBY']"},
		{"a value of another type", m{"flavor_data": `{"sriov_vip": 1}`}, 501, "Provider 'amphora' does not support a requested option: sriov_vip '1' is not of type 'boolean'"},
		{"an unknown provider", m{"provider_name": "x"}, 400, "Provider 'x' is not enabled."},
		{"no name", m{"name": "absent"}, 400, field400("name", "None", "Mandatory field missing.")},
	})
	profile := r.must(201, "POST", "/flavorprofiles", m{"flavorprofile": m{"name": name, "provider_name": "amphora", "flavor_data": `{"loadbalancer_topology": "ACTIVE_STANDBY", "allow_member_sriov": true}`}})["id"].(string)
	r.do("POST", "/flavors", m{"flavor": m{"name": "x", "flavor_profile_id": noID}}).want(400, "Flavor Profile "+noID+" not found.")
	flavor := r.must(201, "POST", "/flavors", m{"flavor": m{"name": name, "flavor_profile_id": profile}})["id"].(string)
	r.do("POST", "/flavors", m{"flavor": m{"name": name, "flavor_profile_id": profile}}).want(409, "A flavor of "+name+" already exists.")
	r.do("PUT", "/flavorprofiles/"+profile, m{"flavorprofile": m{"flavor_data": "{}"}}).want(409, "Flavor profile "+profile+" is in use and cannot be modified.")
	r.do("PUT", "/flavorprofiles/"+profile, m{"flavorprofile": m{"name": nil}}).want(400, "None is not a valid option for name")
	r.must(200, "PUT", "/flavorprofiles/"+profile, m{"flavorprofile": m{"name": name + "2"}})
	r.do("DELETE", "/flavorprofiles/"+profile, nil).want(409, "Flavor profile "+profile+" is in use and cannot be modified.")
	links := r.do("GET", "/flavorprofiles?name="+name+"2", nil)
	if links.names("flavorprofiles") != name+"2" || links.doc["flavorprofile_links"] == nil || links.doc["flavorprofiles_links"] == nil {
		t.Errorf("%s", links.text)
	}

	lb := r.lb(m{"flavor_id": flavor})
	if tree := shared.View().Tree(lb); tree.LB.Topology != "ACTIVE_STANDBY" {
		t.Errorf("topology %s", tree.LB.Topology)
	}
	if got := r.must(201, "POST", "/pools/"+r.pool(lb)+"/members", m{"member": m{"address": "192.0.2.1", "protocol_port": 1, "request_sriov": true}}); got["vnic_type"] != "direct" {
		t.Errorf("%v", got)
	}
	r.do("DELETE", "/flavors/"+flavor, nil).want(409, "Flavor "+flavor+" is in use and cannot be modified.")
	r.must(200, "PUT", "/flavors/"+flavor, m{"flavor": m{"enabled": false, "description": "d"}})
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "flavor_id": flavor}}).want(400, "The selected flavor is not allowed in this deployment: "+flavor)
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID, "flavor_id": flavor, "provider": "octavia"}}).want(400, "")
	r.do("GET", "/flavors/"+noID, nil).want(404, "Flavor "+noID+" not found.")
	r.do("GET", "/flavors/00000000-0000-0000-0000-000000000000", nil).want(404, "Flavor 00000000-0000-0000-0000-000000000000 not found.")
	setStatus(t, lb, "ACTIVE")
	r.do("DELETE", "/loadbalancers/"+lb+"?cascade=true", nil).want(204, "")
	r.settle(lb)
	r.do("DELETE", "/flavors/"+flavor, nil).want(204, "")
	r.do("DELETE", "/flavorprofiles/"+profile, nil).want(204, "")
	r.do("DELETE", "/flavorprofiles/"+profile, nil).want(404, "Flavor profile "+profile+" not found.")
}

func TestZones(t *testing.T) {
	r := newRig(t, newWorld)
	name := "zone/" + r.project // names may have slashes
	escaped := url.PathEscape(name)
	profile := r.must(201, "POST", "/availabilityzoneprofiles", m{"availability_zone_profile": m{"name": "p", "provider_name": "amphora", "availability_zone_data": `{"valid_vip_networks": ["` + otherNetID + `"]}`}})["id"].(string)
	r.do("POST", "/availabilityzones", m{"availability_zone": m{"name": "x", "availability_zone_profile_id": noID}}).want(400, "Availability Zone Profile "+noID+" not found.")
	body := m{"availability_zone": m{"name": name, "availability_zone_profile_id": profile}}
	r.must(201, "POST", "/availabilityzones", body)
	r.do("POST", "/availabilityzones", body).want(409, "A availability zone of "+name+" already exists.")
	if got := r.must(200, "GET", "/availabilityzones/"+escaped, nil); got["enabled"] != true || len(got) != 4 {
		t.Errorf("%v", got)
	}
	r.do("PUT", "/availabilityzones/"+escaped, m{"availability_zone": m{"name": "y"}}).want(400, "Unknown attribute for argument availability_zone_.availability_zone: name")
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": v4ID, "availability_zone": name}}).want(400, "Validation failure: Supplied VIP network_id is not allowed by the configuration of this deployment.")
	lb := r.lb(m{"vip_subnet_id": otherNetID, "availability_zone": name})
	r.do("DELETE", "/availabilityzones/"+escaped, nil).want(409, "Availability Zone "+name+" is in use and cannot be modified.")
	r.do("PUT", "/availabilityzoneprofiles/"+profile, m{"availability_zone_profile": m{"availability_zone_data": "{}"}}).want(409, "Availability Zone Profile "+profile+" is in use and cannot be modified.")
	r.must(200, "PUT", "/availabilityzones/"+escaped, m{"availability_zone": m{"enabled": false}})
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": otherNetID, "availability_zone": name}}).want(400, "The selected availability_zone is not allowed in this deployment: "+name)
	r.do("DELETE", "/loadbalancers/"+lb, nil).want(204, "")
	r.settle(lb)
	r.do("DELETE", "/availabilityzones/"+escaped, nil).want(204, "")
	r.do("DELETE", "/availabilityzoneprofiles/"+profile, nil).want(204, "")
	r.do("GET", "/availabilityzones/"+escaped, nil).want(404, "Availability Zone "+name+" not found.")
}

func TestProviders(t *testing.T) {
	r := newRig(t)
	if got := r.do("GET", "/providers", nil).names("providers"); got != "amphora amphorav2 octavia" {
		t.Errorf("%s", got)
	}
	if got := r.do("GET", "/providers/amphora/flavor_capabilities?name=sriov_vip", nil).names("flavor_capabilities"); got != "sriov_vip" {
		t.Errorf("%s", got)
	}
	if got := r.do("GET", "/providers/amphora/availability_zone_capabilities", nil).names("availability_zone_capabilities"); got != "compute_zone volume_zone management_network valid_vip_networks" {
		t.Errorf("%s", got)
	}
	r.do("GET", "/providers/x/flavor_capabilities", nil).want(400, "Provider 'x' is not enabled.")
}
