package lab_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
)

// walkOfMembers is what somebody who is no administrator does from the creation of a
// load balancer to its end.
const walkOfMembers = `
loadbalancer create --name lb1 --vip-subnet-id front4 -f value -c provider => amphora
loadbalancer listener create --name l1 --protocol HTTP --protocol-port 80 lb1 -f value -c protocol => HTTP
loadbalancer pool create --name p1 --protocol HTTP --lb-algorithm ROUND_ROBIN --listener l1 -f value -c protocol => HTTP
loadbalancer member create --name m1 --address 10.0.0.2 --protocol-port 80 p1 -f value -c address => 10.0.0.2
loadbalancer healthmonitor create --name h1 --delay 5 --timeout 3 --max-retries 2 --type HTTP p1 -f value -c type => HTTP
loadbalancer l7policy create --name y1 --action REJECT l1 -f value -c action => REJECT
loadbalancer l7rule create --compare-type STARTS_WITH --type PATH --value /x y1 -f value -c value => /x
loadbalancer set lb1 --description hello =>
loadbalancer list -f value -c name -c provisioning_status => lb1 ACTIVE
loadbalancer status show lb1 ~ "provisioning_status": "ACTIVE"
loadbalancer stats show lb1 -f value -c total_connections => 0
loadbalancer failover lb1 ~ Policy does not allow this request to be performed.
loadbalancer amphora list ~ Policy does not allow this request to be performed.
loadbalancer l7policy delete y1 =>
loadbalancer healthmonitor delete h1 =>
loadbalancer member delete p1 m1 =>
loadbalancer pool delete p1 =>
loadbalancer listener delete l1 =>
loadbalancer delete lb1 =>
loadbalancer list -f value -c name =>
`

// tenants are users with a role in a project each, and the service's own account.
func (k *identity) tenants() {
	k.t.Helper()
	k.learn("role")
	k.learn("user")
	for _, p := range []string{"demo", "other", "service"} {
		k.make("projects", "project", item{"name": p, "domain_id": "default"})
	}
	for _, r := range []string{"load-balancer_member", "load-balancer_observer"} {
		k.make("roles", "role", item{"name": r})
	}
	k.user("octavia", "service", "service")
	k.user("admin", "demo", "admin")
	k.user("mia", "demo", "member", "load-balancer_member")
	k.user("rae", "demo", "reader")
	k.user("vic", "demo", "load-balancer_observer")
	k.user("odo", "other", "member")
	for _, kind := range []string{"load-balancer", "network"} {
		id := k.make("services", "service", item{"name": kind, "type": kind})
		k.make("endpoints", "endpoint", item{"service_id": id, "interface": "public", "region_id": "here", "url": "http://127.0.0.1:9876"})
	}
}

// as makes a request with a token, and wants a status.
func (k *identity) as(token, method, path string, body any, want int) item {
	k.t.Helper()
	k.b.token = token
	status, out, err := k.b.call(method, path, body)
	if err != nil || status != want {
		k.t.Errorf("%s %s: %d %v %v, want %d", method, path, status, out, err, want)
	}
	return out
}

// subnet is where load balancers have their addresses.
func (k *identity) subnet() string {
	k.t.Helper()
	k.b.token = k.admin
	return k.b.subnets()["subnets"].([]any)[0].(item)["id"].(string)
}

// TestUsersOfARealKeystone walks with the unmodified clients of users whom a real
// Keystone knows, and tries what they may not do.
func TestUsersOfARealKeystone(t *testing.T) {
	b := newLBService(t)
	k := newIdentity(b)
	k.tenants()
	b.args = []string{"--auth", "keystone", "--os-auth-url", k.url, "--token-cache", "2s", "--compute", "noop", "--network", "local", "--networks", b.data + "/networks.yaml", "--secrets", "local"}
	b.serve()
	b.token = k.admin
	b.walk(b.client(k.url, "mia"), walkOfMembers)
	k.gophercloud()
	k.roles()
	k.tokens()
	b.stop("serve")
	b.args = append(b.args, "--roles", "advanced")
	b.serve()
	k.advancedRoles()
	b.stop("serve")
}

// gophercloud finds the service in Keystone's catalogue by itself.
func (k *identity) gophercloud() {
	k.t.Helper()
	ctx := k.t.Context()
	p, err := openstack.NewClient(k.url + "/v3")
	if err != nil {
		k.t.Fatal(err)
	}
	p.HTTPClient = *k.b.http
	who := gophercloud.AuthOptions{IdentityEndpoint: k.url + "/v3", Username: "mia", Password: identityPassword, DomainID: "default", TenantName: "demo"}
	if err := openstack.Authenticate(ctx, p, who); err != nil {
		k.t.Fatal(err)
	}
	c, err := openstack.NewLoadBalancerV2(p, gophercloud.EndpointOpts{Region: "here"})
	if err != nil {
		k.t.Fatal(err)
	}
	lb, err := loadbalancers.Create(ctx, c, loadbalancers.CreateOpts{Name: "gopher", VipSubnetID: k.subnet(),
		Listeners: []listeners.CreateOpts{{Name: "l", Protocol: listeners.ProtocolTCP, ProtocolPort: 80}}}).Extract()
	if err != nil {
		k.t.Fatal(err)
	}
	if lb.ProjectID != k.ids["project demo"] {
		k.t.Errorf("the project is %s, not that of the token", lb.ProjectID)
	}
	k.b.awaitStatus(lb.ID, "ACTIVE")
	if err := loadbalancers.Delete(ctx, c, lb.ID, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr(); err != nil {
		k.t.Fatal(err)
	}
	k.b.until(30*time.Second, "it is gone", func() bool {
		_, err := loadbalancers.Get(ctx, c, lb.ID).Extract()
		return gophercloud.ResponseCodeIs(err, http.StatusNotFound)
	})
}

func (k *identity) roles() {
	k.t.Helper()
	mia, rae, vic, odo := k.login("mia", "demo"), k.login("rae", "demo"), k.login("vic", "demo"), k.login("odo", "other")
	body := item{"loadbalancer": item{"name": "mine", "vip_subnet_id": k.subnet()}}
	id := k.as(mia, "POST", "loadbalancers", body, 201)["loadbalancer"].(item)["id"].(string)
	k.b.token = mia
	k.b.awaitStatus(id, "ACTIVE")
	one, failover := "loadbalancers/"+id, "loadbalancers/"+id+"/failover"
	for _, c := range []struct {
		who, token, method, path string
		body                     any
		want                     int
	}{
		{"a reader reads", rae, "GET", one, nil, 200},
		{"a reader changes nothing", rae, "PUT", one, item{"loadbalancer": item{"name": "x"}}, 403},
		{"a reader makes nothing", rae, "POST", "loadbalancers", body, 403},
		{"a reader deletes nothing", rae, "DELETE", one, nil, 403},
		{"another role sees nothing", vic, "GET", one, nil, 403},
		{"another role lists nothing", vic, "GET", "loadbalancers", nil, 403},
		{"another role sees no providers", vic, "GET", "providers", nil, 403},
		{"another project sees nothing", odo, "GET", one, nil, 403},
		{"another project changes nothing", odo, "PUT", one, item{"loadbalancer": item{"name": "x"}}, 403},
		{"another project deletes nothing", odo, "DELETE", one + "?cascade=true", nil, 403},
		{"another project cannot be asked for", odo, "GET", "loadbalancers?project_id=" + k.ids["project demo"], nil, 403},
		{"nor be made for", odo, "POST", "loadbalancers", item{"loadbalancer": item{"vip_subnet_id": k.subnet(), "project_id": k.ids["project demo"]}}, 403},
		{"members do not fail over", mia, "PUT", failover, nil, 403},
		{"members do not raise quotas", mia, "PUT", "quotas/" + k.ids["project demo"], item{"quota": item{"pool": 1}}, 403},
		{"an administrator sees all", k.admin, "GET", one, nil, 200},
		{"an administrator fails over", k.admin, "PUT", failover, nil, 202},
	} {
		k.b.token = c.token
		if status, out, err := k.b.call(c.method, c.path, c.body); err != nil || status != c.want {
			k.t.Errorf("%s: %d %v %v, want %d", c.who, status, out, err, c.want)
		}
	}
	if list := k.as(odo, "GET", "loadbalancers", nil, 200)["loadbalancers"].([]any); len(list) != 0 {
		k.t.Errorf("another project is shown %v", list)
	}
}

// tokens are tokens that do not hold, or do not hold any longer.
func (k *identity) tokens() {
	k.t.Helper()
	short := k.shortLived("mia", "demo", 8)
	k.as(short, "GET", "loadbalancers", nil, 200)
	k.as("", "GET", "loadbalancers", nil, 401)
	k.as("gAAAAA-nonsense", "GET", "loadbalancers", nil, 401)
	k.as(k.login("mia", ""), "GET", "loadbalancers", nil, 403) // of no project

	mia := k.login("mia", "demo")
	k.as(k.restricted(mia), "GET", "loadbalancers", nil, 401)
	refused := func(token, what string) {
		k.b.token = token
		k.b.until(30*time.Second, what, func() bool {
			status, _, err := k.b.call("GET", "loadbalancers", nil)
			return err == nil && status == http.StatusUnauthorized
		})
	}
	k.as(mia, "GET", "loadbalancers", nil, 200)
	k.revoke(mia)
	refused(mia, "a token that was revoked is refused")
	odo := k.login("odo", "other")
	k.as(odo, "GET", "loadbalancers", nil, 200)
	k.ask("DELETE", k.grant("odo", "other", "member"), k.admin, nil)
	refused(odo, "a token is refused when the role was taken away")
	refused(short, "a token that has ended is refused")
}

// restricted returns a token of an application credential that is for another
// service only. Who does not know of such rules must refuse it.
func (k *identity) restricted(token string) string {
	_, out := k.ask("POST", "users/"+k.ids["user mia"]+"/application_credentials", token, item{"application_credential": item{
		"name": "narrow", "secret": identityPassword, "access_rules": []item{{"service": "compute", "method": "GET", "path": "/v2.1/servers"}}}})
	id := out["application_credential"].(item)["id"]
	return k.token(item{"identity": item{"methods": []string{"application_credential"}, "application_credential": item{"id": id, "secret": identityPassword}}})
}

// advancedRoles are those that Octavia has of its own.
func (k *identity) advancedRoles() {
	k.t.Helper()
	mia, vic, rae := k.login("mia", "demo"), k.login("vic", "demo"), k.login("rae", "demo")
	body := item{"loadbalancer": item{"name": "theirs", "vip_subnet_id": k.subnet()}}
	k.as(rae, "GET", "loadbalancers", nil, 403) // Keystone's own roles say nothing now
	k.as(vic, "POST", "loadbalancers", body, 403)
	id := k.as(mia, "POST", "loadbalancers", body, 201)["loadbalancer"].(item)["id"].(string)
	k.as(vic, "GET", "loadbalancers/"+id, nil, 200)
	k.as(vic, "DELETE", "loadbalancers/"+id, nil, 403)
	k.as(k.admin, "GET", "amphorae", nil, 404) // which are elsewhere
	if list := k.as(vic, "GET", "loadbalancers", nil, 200)["loadbalancers"].([]any); len(list) != 2 {
		k.t.Errorf("an observer is shown %d load balancers of the project, want 2", len(list))
	}
}
