package api

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
)

// byHeader believes what requests say of themselves.
type byHeader struct{}

func (byHeader) Identify(_ context.Context, r *http.Request) (*auth.Identity, error) {
	roles, ok := r.Header["X-Roles"]
	if !ok {
		return nil, auth.ErrUnauthorized
	}
	return &auth.Identity{UserID: "u", ProjectID: r.Header.Get("X-Project-Id"), Roles: strings.Fields(roles[0])}, nil
}

func (byHeader) Challenge() string { return `Keystone uri="http://keystone"` }

var anAdmin = auth.Identity{Admin: true}

const forbidden = "Policy does not allow this request to be performed."

func TestRoles(t *testing.T) {
	admin := newRig(t)
	id := admin.lb()
	lb, list := "/loadbalancers/"+id, "/loadbalancers"
	advanced, err := auth.NewPolicy(auth.AdvancedRoles())
	if err != nil {
		t.Fatal(err)
	}
	own, other := admin.project, "other"
	for _, c := range []struct {
		name, roles, project, method, path string
		body                               any
		status                             int
		advanced                           bool
	}{
		{name: "a reader reads", roles: "reader", project: own, method: "GET", path: lb, status: 200},
		{name: "a reader of another project does not, and is told so", roles: "reader", project: other, method: "GET", path: lb, status: 403},
		{name: "a reader does not write", roles: "reader", project: own, method: "PUT", path: lb, body: m{"loadbalancer": m{}}, status: 403},
		{name: "a reader lists his own", roles: "reader", project: own, method: "GET", path: list, status: 200},
		{name: "nobody lists without a role", roles: "", project: own, method: "GET", path: list, status: 403},
		{name: "not even providers", roles: "", project: own, method: "GET", path: "/providers", status: 403},
		{name: "a list of a foreign project", roles: "reader", project: other, method: "GET", path: list + "?project_id=" + own, status: 403},
		{name: "a list without a project", roles: "reader", project: "", method: "GET", path: list, status: 403},
		{name: "an admin lists a foreign project", roles: "admin", project: other, method: "GET", path: list + "?project_id=" + own, status: 200},
		{name: "a member fails over nothing", roles: "member", project: own, method: "PUT", path: lb + "/failover", status: 403},
		{name: "a member sees no amphorae", roles: "member reader", project: own, method: "GET", path: "/amphorae", status: 403},
		{name: "a reader sees flavors", roles: "reader", project: own, method: "GET", path: "/flavors", status: 200},
		{name: "but not their profiles", roles: "reader member", project: own, method: "GET", path: "/flavorprofiles", status: 403},
		{name: "a reader sees his quota", roles: "reader", project: own, method: "GET", path: "/quotas/" + own, status: 200},
		{name: "a member does not change it", roles: "member", project: own, method: "PUT", path: "/quotas/" + own, body: m{"quota": m{}}, status: 403},
		{name: "what is not there is 404 before 403", roles: "", project: own, method: "GET", path: "/loadbalancers/" + noID, status: 404},
		{name: "another's project in a body", roles: "member", project: other, method: "POST", path: list, body: m{"loadbalancer": m{"project_id": own, "vip_subnet_id": subnetID}}, status: 403},
		{name: "advanced: the default roles do nothing", roles: "member reader", project: own, method: "GET", path: lb, status: 403, advanced: true},
		{name: "advanced: an observer reads", roles: "load-balancer_observer", project: own, method: "GET", path: lb, status: 200, advanced: true},
		{name: "advanced: a global observer reads all", roles: "load-balancer_global_observer", project: other, method: "GET", path: lb, status: 200, advanced: true},
		{name: "advanced: and writes nothing", roles: "load-balancer_global_observer", project: own, method: "PUT", path: lb, body: m{"loadbalancer": m{}}, status: 403, advanced: true},
		{name: "advanced: a quota admin", roles: "load-balancer_quota_admin", project: other, method: "PUT", path: "/quotas/q", body: m{"quota": m{}}, status: 202, advanced: true},
		{name: "advanced: an admin of load balancers", roles: "load-balancer_admin", project: other, method: "GET", path: "/amphorae", status: 200, advanced: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(o *Options) {
				o.Auth = byHeader{}
				if c.advanced {
					o.Policy = advanced
				}
			})
			r.header = map[string]string{"X-Roles": c.roles, "X-Project-Id": c.project}
			fault := ""
			if c.status == 403 {
				fault = forbidden
			}
			r.do(c.method, c.path, c.body).want(c.status, fault)
		})
	}
}

// TestNobodyWithoutARole goes through the whole table: no route lets somebody
// without a role see or change anything.
func TestNobodyWithoutARole(t *testing.T) {
	admin := newRig(t)
	lb := admin.lb()
	listener, pool := admin.listener(lb, 80), admin.pool(lb)
	member := admin.child(lb, "/pools/"+pool+"/members", "member", m{"address": "192.0.2.7", "protocol_port": 80})
	policy := admin.child(lb, "/l7policies", "l7policy", m{"listener_id": listener, "action": "REJECT"})
	rule := admin.child(lb, "/l7policies/"+policy+"/rules", "rule", m{"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"})
	monitor := admin.child(lb, "/healthmonitors", "healthmonitor", m{"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 5, "max_retries": 3})
	ids := map[string]string{"loadbalancers": lb, "listeners": listener, "pools": pool, "l7policies": policy, "healthmonitors": monitor}

	r := newRig(t, func(o *Options) { o.Auth = byHeader{} })
	r.header = map[string]string{"X-Roles": "", "X-Project-Id": admin.project}
	bodies := map[string]m{
		"loadbalancer": {"vip_subnet_id": subnetID}, "listener": {"loadbalancer_id": lb, "protocol": "TCP", "protocol_port": 81},
		"pool": {"loadbalancer_id": lb, "protocol": "TCP", "lb_algorithm": "SOURCE_IP"}, "l7policy": {"listener_id": listener, "action": "REJECT"},
		"healthmonitor": {"pool_id": pool, "type": "TCP", "delay": 5, "timeout": 5, "max_retries": 3},
		"member":        {"address": "192.0.2.9", "protocol_port": 80}, "rule": {"type": "PATH", "compare_type": "EQUAL_TO", "value": "/x"},
	}
	for _, rt := range r.s.routes() {
		kind := strings.Split(rt.path, "/")[1]
		path := strings.NewReplacer("{id}", ids[kind]+onlyIfEmpty(ids[kind]), "{member}", member, "{rule}", rule).Replace(rt.path)
		var body any
		if rt.wrapper != "" {
			body = m{rt.wrapper: bodies[rt.wrapper]}
			if rt.method == "PUT" {
				body = m{rt.wrapper: m{}}
			}
		}
		if a := r.do(rt.method, path, body); a.status != 403 && (kind != "amphorae" || a.status != 404) {
			t.Errorf("%s %s: %d %s", rt.method, path, a.status, a.text)
		}
	}
}

func onlyIfEmpty(id string) string {
	if id == "" {
		return "some"
	}
	return ""
}
