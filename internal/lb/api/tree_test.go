package api

import (
	"slices"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// fullTree is a load balancer with one of everything.
func fullTree() m {
	return m{"name": "tree", "vip_subnet_id": subnetID, "vip_address": "192.0.2.1",
		"pools": []m{{"name": "shared", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": []m{{"address": "192.0.2.2", "protocol_port": 80}},
			"healthmonitor": m{"type": "HTTP", "delay": 5, "timeout": 5, "max_retries": 3}}},
		"listeners": []m{
			{"name": "web", "protocol": "HTTP", "protocol_port": 80, "default_pool": m{"name": "shared"},
				"l7policies": []m{
					{"action": "REDIRECT_TO_POOL", "redirect_pool": m{"name": "own", "protocol": "HTTP", "lb_algorithm": "SOURCE_IP", "members": []m{{"address": "192.0.2.3", "protocol_port": 80}}},
						"rules": []m{{"type": "PATH", "compare_type": "STARTS_WITH", "value": "/x"}}},
					{"action": "REDIRECT_TO_URL", "redirect_url": "http://a.example", "position": 1},
				}},
			{"name": "tcp", "protocol": "TCP", "protocol_port": 25, "default_pool": m{"name": "mail", "protocol": "TCP", "lb_algorithm": "LEAST_CONNECTIONS"}},
		}}
}

func TestAWholeTreeInASingleCall(t *testing.T) {
	r := newRig(t)
	a := r.do("POST", "/loadbalancers", m{"loadbalancer": fullTree()})
	a.want(201, "")
	lb := a.at("loadbalancer").(map[string]any)
	id := lb["id"].(string)
	byName := func(list, name string) any {
		all := lb[list].([]any)
		i := slices.IndexFunc(all, func(o any) bool { return dig(o, "name") == name })
		if i < 0 {
			t.Fatalf("there is no %s %s: %v", list, name, all)
		}
		return all[i]
	}
	web, shared1, own := byName("listeners", "web"), byName("pools", "shared"), byName("pools", "own")
	for _, c := range []struct {
		what      string
		got, want any
	}{
		{"default pool", dig(web, "default_pool_id"), dig(shared1, "id")},
		{"the first policy by position", dig(web, "l7policies.0.action"), "REDIRECT_TO_URL"},
		{"the second", dig(web, "l7policies.1.redirect_pool_id"), dig(own, "id")},
		{"its rule", dig(web, "l7policies.1.rules.0.value"), "/x"},
		{"the member", dig(shared1, "members.0.address"), "192.0.2.2"},
		{"its status", dig(shared1, "members.0.operating_status"), "OFFLINE"},
		{"the status of one without monitor", dig(own, "members.0.operating_status"), "NO_MONITOR"},
		{"the monitor", dig(shared1, "healthmonitor.url_path"), "/"},
		{"the pool's listener", dig(shared1, "listeners.0.id"), dig(web, "id")},
		{"status", dig(web, "provisioning_status"), "PENDING_CREATE"},
		{"back reference of a listener", dig(web, "loadbalancers"), nil},
		{"back reference of a monitor", dig(shared1, "healthmonitor.pools"), nil},
	} {
		if c.got != c.want {
			t.Errorf("%s: %v, wanted %v", c.what, c.got, c.want)
		}
	}
	r.settle(id)
	s := r.do("GET", "/loadbalancers/"+id+"/status", nil)
	s.want(200, "")
	if s.at("statuses.loadbalancer.listeners.0.pools.0.health_monitor.type") != "HTTP" && s.at("statuses.loadbalancer.listeners.1.pools.0.health_monitor.type") != "HTTP" {
		t.Errorf("status tree: %s", s.text)
	}
	r.do("GET", "/loadbalancers/"+id+"/statuses", nil).want(200, "")
	r.do("DELETE", "/loadbalancers/"+id+"?cascade=1", nil).want(204, "")
	r.settle(id)
	used := dig(m{"u": shared.View().Quota(r.project).Used}, "u").(model.Used)
	if used != (model.Used{}) {
		t.Errorf("after the deletion the project still has %+v", used)
	}
}

func TestWhatATreeMayNotBe(t *testing.T) {
	r := newRig(t)
	pool := func(name string) m { return m{"name": name, "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"} }
	listener := func(more m) []m {
		l := m{"protocol": "HTTP", "protocol_port": 80}
		for k, v := range more {
			l[k] = v
		}
		return []m{l}
	}
	r.refuses("/loadbalancers", "loadbalancer", m{"vip_subnet_id": subnetID, "vip_address": "192.0.2.1"}, []refusal{
		{"a pool without name", m{"listeners": listener(m{"default_pool": m{"protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN"}})}, 400,
			"Validation failure: Pools must be named when creating a fully populated loadbalancer."},
		{"two pools of a name", m{"pools": []m{pool("a"), pool("a")}}, 400, "Validation failure: Pool names must be unique when creating a fully populated loadbalancer."},
		{"a pool that is not defined", m{"listeners": listener(m{"default_pool": m{"name": "a"}})}, 400, "Validation failure: Pool 'a' was referenced but no full definition was found."},
		{"a pool without algorithm", m{"pools": []m{{"name": "a", "protocol": "HTTP"}}}, 400, "Validation failure: Pool definition for 'a' missing required attribute: lb_algorithm"},
		{"a pool without protocol", m{"pools": []m{{"name": "a", "lb_algorithm": "ROUND_ROBIN"}}}, 400, "Validation failure: Pool definition for 'a' missing required attribute: protocol"},
		{"a pool of another protocol", m{"listeners": listener(m{"protocol": "UDP", "default_pool": pool("a")})}, 400, "Validation failure: The pool protocol 'HTTP' is invalid while the listener protocol is 'UDP'."},
		{"a rule that is wrong", m{"listeners": listener(m{"l7policies": []m{{"action": "REJECT", "rules": []m{{"type": "PATH", "compare_type": "EQUAL_TO", "value": "a b"}}}}})}, 400,
			"Error parsing L7Rule: Invalid characters in comparison value"},
		{"too many rules", m{"listeners": listener(m{"l7policies": []m{{"action": "REJECT", "rules": slices.Repeat([]m{{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/"}}, 51)}}})}, 409, ""},
		{"two listeners on a port", m{"listeners": append(listener(nil), listener(nil)...)}, 409, "Another Listener on this Load Balancer is already using protocol HTTP and protocol_port 80"},
		{"two members of an address", m{"pools": []m{{"name": "a", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": slices.Repeat([]m{{"address": "192.0.2.9", "protocol_port": 1}}, 2)}}}, 409,
			"Another member on this pool is already using ip 192.0.2.9 on protocol_port 1"},
		{"a reserved member", m{"pools": []m{{"name": "a", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "members": []m{{"address": "169.254.169.254", "protocol_port": 1}}}}}, 400,
			"169.254.169.254 is not a valid option for member address"},
		{"a pool of another load balancer", m{"listeners": listener(m{"default_pool_id": noID})}, 404, "Pool " + noID + " not found."},
		{"a range of no family", m{"listeners": listener(m{"allowed_cidrs": []string{"::/0"}})}, 400, `Validation failure: CIDR ::/0 IP version incompatible with all VIPs ["192.0.2.1"] IP version.`},
		{"a monitor of another protocol", m{"pools": []m{{"name": "a", "protocol": "HTTP", "lb_algorithm": "ROUND_ROBIN", "healthmonitor": m{"type": "SCTP", "delay": 1, "timeout": 1, "max_retries": 1}}}}, 400,
			"Validation failure: The SCTP type is only supported for pools of type UDP/SCTP."},
		{"policies on TCP", m{"listeners": listener(m{"protocol": "TCP", "l7policies": []m{{"action": "REJECT"}}})}, 501,
			"Provider 'amphora' does not support a requested option: TCP protocol listeners do not support L7 policies"},
	})
	if n := len(r.do("GET", "/loadbalancers?project_id="+r.project, nil).at("loadbalancers").([]any)); n != 0 {
		t.Errorf("%d load balancers are left", n)
	}
}

func TestQuotasHoldForWholeTrees(t *testing.T) {
	for kind, fault := range map[string]string{"pool": "Pool", "listener": "Listener", "member": "Member", "healthmonitor": "Health Monitor", "l7policy": "L7Policy", "l7rule": "L7Rule"} {
		r := newRig(t)
		r.must(202, "PUT", "/quotas/"+r.project, m{"quota": m{kind: 0}})
		r.do("POST", "/loadbalancers", m{"loadbalancer": fullTree()}).want(403, "Quota has been met for resources: "+fault)
		if row := shared.View().Quota(r.project); row.Used != (model.Used{}) {
			t.Errorf("%s: counted all the same: %+v", kind, row.Used)
		}
	}
}

func TestQuotas(t *testing.T) {
	five := 5
	r := newRig(t, func(o *Options) { o.Settings.Quotas = model.Limits{Pool: &five} })
	path := "/quotas/" + r.project
	got := r.must(200, "GET", path, nil)
	for k, want := range (m{"project_id": r.project, "tenant_id": r.project, "loadbalancer": -1.0, "load_balancer": -1.0, "healthmonitor": -1.0, "health_monitor": -1.0,
		"pool": 5.0, "listener": -1.0, "member": -1.0, "l7policy": -1.0, "l7rule": -1.0}) {
		if got[k] != want {
			t.Errorf("%s is %v", k, got[k])
		}
	}
	if got := r.must(200, "GET", "/quotas/defaults", nil); got["pool"] != 5.0 {
		t.Errorf("defaults: %v", got)
	}
	if list := r.do("GET", "/quotas?project_id="+r.project, nil).at("quotas").([]any); len(list) != 0 {
		t.Errorf("a project without limits is listed: %v", list)
	}
	got = r.must(202, "PUT", path, m{"quota": m{"load_balancer": 1, "health_monitor": 7, "pool": 2000000000}})
	if got["loadbalancer"] != 1.0 || got["healthmonitor"] != 7.0 || got["pool"] != 2000000000.0 {
		t.Errorf("%v", got)
	}
	r.do("PUT", path, m{"quota": m{"pool": -2}}).want(400, field400("pool", "-2", "Value should be greater or equal to -1"))
	r.do("PUT", path, m{"quota": m{"pools": 2}}).want(400, "Unknown attribute for argument quotas.quota: pools")
	if list := r.do("GET", "/quotas?project_id="+r.project, nil).at("quotas").([]any); len(list) != 1 {
		t.Errorf("listed: %v", list)
	}
	r.lb()
	r.do("POST", "/loadbalancers", m{"loadbalancer": m{"vip_subnet_id": subnetID}}).want(403, "Quota has been met for resources: Load Balancer")
	if got = r.must(202, "PUT", path, m{"quota": m{"loadbalancer": nil}}); got["load_balancer"] != -1.0 || got["health_monitor"] != 7.0 {
		t.Errorf("%v", got)
	}
	if got := r.must(200, "GET", path+"/default", nil); got["health_monitor"] != -1.0 {
		t.Errorf("%v", got)
	}
	for range 2 {
		r.do("DELETE", path, nil).want(202, "")
	}
	if got = r.must(200, "GET", path, nil); got["health_monitor"] != -1.0 || got["pool"] != 5.0 {
		t.Errorf("after the deletion: %v", got)
	}
	if row := shared.View().Quota(r.project); row.Used.LoadBalancer != 1 {
		t.Errorf("what is counted: %+v", row.Used)
	}
}

func TestStatisticsAreSums(t *testing.T) {
	r := newRig(t)
	lb := r.lb()
	listener, other := r.listener(lb, 80), r.listener(lb, 81)
	a, b := model.NewID(), model.NewID()
	change(t, func(tx *store.Tx) error {
		for id, status := range map[string]model.AmphoraStatus{a: model.AmphoraAllocated, b: model.AmphoraError} {
			if err := tx.Create(&model.Amphora{ID: id, LoadBalancerID: lb, Status: status, CreatedAt: model.Now()}); err != nil {
				return err
			}
			s := model.Stats{BytesIn: 1, BytesOut: 2, ActiveConnections: 3, TotalConnections: 4, RequestErrors: 5}
			if err := tx.Put(&model.AmphoraStats{LoadBalancerID: lb, AmphoraID: id, Listeners: map[string]model.Stats{listener: s, other: s}}); err != nil {
				return err
			}
		}
		return nil
	})
	got := r.must(200, "GET", "/loadbalancers/"+lb+"/stats", nil)
	if got["bytes_in"] != 4.0 || got["bytes_out"] != 8.0 || got["active_connections"] != 6.0 || got["request_errors"] != 20.0 {
		t.Errorf("%v", got)
	}
	if got = r.must(200, "GET", "/listeners/"+listener+"/stats", nil); got["total_connections"] != 8.0 || got["active_connections"] != 3.0 {
		t.Errorf("%v", got)
	}
	stats := r.do("GET", "/amphorae/"+a+"/stats", nil)
	if list := stats.at("amphora_stats").([]any); len(list) != 2 || dig(list[0], "id") != a || dig(list[0], "loadbalancer_id") != lb {
		t.Errorf("%s", stats.text)
	}
	r.amphorae(lb, a, b)
}

// amphorae goes through what can be done with an amphora that carries traffic
// and one in ERROR.
func (r *rig) amphorae(lb, a, b string) {
	r.t.Helper()
	list := r.do("GET", "/amphorae?loadbalancer_id="+lb+"&status=ERROR", nil).at("amphorae").([]any)
	if len(list) != 1 || dig(list[0], "id") != b || dig(list[0], "cert_busy") != false || dig(list[0], "vrrp_id") != nil {
		r.t.Errorf("those in ERROR: %v", list)
	}
	if list := r.do("GET", "/amphorae?project_id="+r.project, nil).at("amphorae").([]any); len(list) != 2 {
		r.t.Errorf("those of the project: %v", list)
	}
	r.must(200, "GET", "/amphorae/"+a, nil)
	r.do("GET", "/amphorae/"+noID, nil).want(404, "Amphora "+noID+" not found.")
	r.do("GET", "/amphorae/"+noID+"/stats", nil).want(404, "Amphora stats for "+noID+" not found.")
	r.do("DELETE", "/amphorae/"+a, nil).want(409, "amphora "+a+" is immutable and cannot be updated.")
	r.do("PUT", "/amphorae/"+a+"/config", nil).want(202, "")
	r.do("PUT", "/amphorae/"+a+"/failover", nil).want(202, "")
	if f := shared.View().Tree(lb).LB.Failover; f == nil || f.AmphoraID != a {
		r.t.Errorf("failover: %v", f)
	}
	r.do("PUT", "/amphorae/"+a+"/failover", nil).want(409, "Load Balancer "+lb+" is immutable and cannot be updated.")
	r.do("DELETE", "/amphorae/"+b, nil).want(204, "")
	if o, _ := shared.View().Amphora(b); o.Status != model.AmphoraPendingDelete {
		r.t.Errorf("status: %s", o.Status)
	}
	if o, _ := shared.View().Amphora(a); o.ConfigPush != 1 {
		r.t.Errorf("pushes: %d", o.ConfigPush)
	}
}
