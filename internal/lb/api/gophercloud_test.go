package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gophercloud/gophercloud/v2"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/amphorae"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/apiversions"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/flavorprofiles"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/flavors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/l7policies"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/listeners"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/loadbalancers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/monitors"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/pools"
	lbproviders "github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/providers"
	"github.com/gophercloud/gophercloud/v2/openstack/loadbalancer/v2/quotas"
	"github.com/gophercloud/gophercloud/v2/pagination"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// walk drives the API with gophercloud, as Terraform does: every call is followed
// by a wait until the load balancer is ACTIVE.
type walk struct {
	t  *testing.T
	r  *rig
	c  *gophercloud.ServiceClient
	lb string
}

func newWalk(t *testing.T) *walk {
	r := newRig(t)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req.Header.Set("X-Project-Id", r.project)
		r.s.ServeHTTP(w, req)
	}))
	t.Cleanup(srv.Close)
	return &walk{t: t, r: r, c: &gophercloud.ServiceClient{
		ProviderClient: &gophercloud.ProviderClient{HTTPClient: *srv.Client()},
		Endpoint:       srv.URL + "/", ResourceBase: srv.URL + "/v2.0/", Type: "load-balancer",
	}}
}

func (w *walk) ok(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// wait lets the controller do its part, and polls as clients do.
func (w *walk) wait() {
	w.t.Helper()
	w.r.settle(w.lb)
	lb, err := loadbalancers.Get(w.t.Context(), w.c, w.lb).Extract()
	w.ok(err)
	if lb.ProvisioningStatus != "ACTIVE" || lb.CreatedAt.IsZero() {
		w.t.Fatalf("%+v", lb)
	}
}

func TestGophercloudWalksThroughEverything(t *testing.T) {
	w := newWalk(t)
	ctx := t.Context()
	lb, err := loadbalancers.Create(ctx, w.c, loadbalancers.CreateOpts{Name: "walk", VipSubnetID: subnetID, Tags: []string{"t"}}).Extract()
	w.ok(err)
	w.lb = lb.ID
	w.wait()
	name := "walked"
	_, err = loadbalancers.Update(ctx, w.c, w.lb, loadbalancers.UpdateOpts{Name: &name}).Extract()
	w.ok(err)
	w.wait()
	listener, err := listeners.Create(ctx, w.c, listeners.CreateOpts{LoadbalancerID: w.lb, Protocol: listeners.ProtocolHTTP, ProtocolPort: 80,
		InsertHeaders: map[string]string{"X-Forwarded-For": "true"}, AllowedCIDRs: []string{"0.0.0.0/0"}}).Extract()
	w.ok(err)
	w.wait()
	pool, err := pools.Create(ctx, w.c, pools.CreateOpts{ListenerID: listener.ID, Protocol: pools.ProtocolHTTP, LBMethod: pools.LBMethodRoundRobin,
		Persistence: &pools.SessionPersistence{Type: "HTTP_COOKIE"}}).Extract()
	w.ok(err)
	w.wait()
	w.members(ctx, pool.ID)
	monitor, err := monitors.Create(ctx, w.c, monitors.CreateOpts{PoolID: pool.ID, Type: "HTTP", Delay: 5, Timeout: 4, MaxRetries: 3, HTTPVersion: "1.1", DomainName: "a.example"}).Extract()
	w.ok(err)
	w.wait()
	_, err = monitors.Update(ctx, w.c, monitor.ID, monitors.UpdateOpts{Delay: 7}).Extract()
	w.ok(err)
	w.wait()
	w.policies(ctx, listener.ID, pool.ID)
	w.status(ctx, listener.ID)
	w.ok(monitors.Delete(ctx, w.c, monitor.ID).ExtractErr())
	w.wait()
	w.ok(loadbalancers.Failover(ctx, w.c, w.lb).ExtractErr())
	w.wait()
	w.ok(loadbalancers.Delete(ctx, w.c, w.lb, loadbalancers.DeleteOpts{Cascade: true}).ExtractErr())
	w.r.settle(w.lb)
	if _, err := loadbalancers.Get(ctx, w.c, w.lb).Extract(); !gophercloud.ResponseCodeIs(err, http.StatusNotFound) {
		t.Errorf("after the deletion: %v", err)
	}
}

func (w *walk) members(ctx context.Context, pool string) {
	member, err := pools.CreateMember(ctx, w.c, pool, pools.CreateMemberOpts{Address: "192.0.2.1", ProtocolPort: 80}).Extract()
	w.ok(err)
	w.wait()
	weight := 0
	_, err = pools.UpdateMember(ctx, w.c, pool, member.ID, pools.UpdateMemberOpts{Weight: &weight}).Extract()
	w.ok(err)
	w.wait()
	w.ok(pools.BatchUpdateMembers(ctx, w.c, pool, []pools.BatchUpdateMemberOpts{{Address: "192.0.2.2", ProtocolPort: 80}, {Address: "192.0.2.3", ProtocolPort: 80}}).ExtractErr())
	w.wait()
	page, err := pools.ListMembers(w.c, pool, pools.ListMembersOpts{}).AllPages(ctx)
	w.ok(err)
	all, err := pools.ExtractMembers(page)
	w.ok(err)
	if len(all) != 2 || all[0].OperatingStatus != "NO_MONITOR" {
		w.t.Errorf("members: %+v", all)
	}
	w.ok(pools.DeleteMember(ctx, w.c, pool, all[0].ID).ExtractErr())
	w.wait()
}

func (w *walk) policies(ctx context.Context, listener, pool string) {
	policy, err := l7policies.Create(ctx, w.c, l7policies.CreateOpts{ListenerID: listener, Action: l7policies.ActionRedirectToPool, RedirectPoolID: pool}).Extract()
	w.ok(err)
	w.wait()
	rule, err := l7policies.CreateRule(ctx, w.c, policy.ID, l7policies.CreateRuleOpts{RuleType: l7policies.TypePath, CompareType: l7policies.CompareTypeStartWith, Value: "/x"}).Extract()
	w.ok(err)
	w.wait()
	_, err = l7policies.UpdateRule(ctx, w.c, policy.ID, rule.ID, l7policies.UpdateRuleOpts{Value: "/y"}).Extract()
	w.ok(err)
	w.wait()
	page, err := l7policies.ListRules(w.c, policy.ID, l7policies.ListRulesOpts{}).AllPages(ctx)
	w.ok(err)
	if rules, err := l7policies.ExtractRules(page); err != nil || len(rules) != 1 || rules[0].Value != "/y" {
		w.t.Errorf("rules: %+v %v", rules, err)
	}
	w.ok(l7policies.DeleteRule(ctx, w.c, policy.ID, rule.ID).ExtractErr())
	w.wait()
	w.ok(l7policies.Delete(ctx, w.c, policy.ID).ExtractErr())
	w.wait()
}

func (w *walk) status(ctx context.Context, listener string) {
	tree, err := loadbalancers.GetStatuses(ctx, w.c, w.lb).Extract()
	w.ok(err)
	if l := tree.Loadbalancer.Listeners; len(l) != 1 || len(l[0].Pools) != 1 || len(l[0].Pools[0].Members) != 1 {
		w.t.Errorf("status tree: %+v", tree.Loadbalancer)
	}
	_, err = loadbalancers.GetStats(ctx, w.c, w.lb).Extract()
	w.ok(err)
	_, err = listeners.GetStats(ctx, w.c, listener).Extract()
	w.ok(err)
	page, err := amphorae.List(w.c, amphorae.ListOpts{LoadbalancerID: w.lb}).AllPages(ctx)
	w.ok(err)
	_, err = amphorae.ExtractAmphorae(page)
	w.ok(err)
}

func TestGophercloudReadsWhatOperatorsDefine(t *testing.T) {
	w := newWalk(t)
	ctx := t.Context()
	profile, err := flavorprofiles.Create(ctx, w.c, flavorprofiles.CreateOpts{Name: w.r.project, ProviderName: "amphora", FlavorData: `{"loadbalancer_topology": "SINGLE"}`}).Extract()
	w.ok(err)
	flavor, err := flavors.Create(ctx, w.c, flavors.CreateOpts{Name: w.r.project, FlavorProfileId: profile.ID, Enabled: true}).Extract()
	w.ok(err)
	page, err := flavors.List(w.c, flavors.ListOpts{}).AllPages(ctx)
	w.ok(err)
	if all, err := flavors.ExtractFlavors(page); err != nil || len(all) == 0 {
		t.Errorf("flavors: %v %v", all, err)
	}
	w.ok(flavors.Delete(ctx, w.c, flavor.ID).ExtractErr())
	w.ok(flavorprofiles.Delete(ctx, w.c, profile.ID).ExtractErr())
	five := 5
	q, err := quotas.Update(ctx, w.c, w.r.project, quotas.UpdateOpts{Loadbalancer: &five, Healthmonitor: &five}).Extract()
	w.ok(err)
	if q.Loadbalancer != 5 || q.Healthmonitor != 5 || q.Pool != -1 {
		t.Errorf("quota: %+v", q)
	}
	page, err = lbproviders.List(w.c, lbproviders.ListOpts{}).AllPages(ctx)
	w.ok(err)
	if all, err := lbproviders.ExtractProviders(page); err != nil || len(all) != 3 {
		t.Errorf("providers: %v %v", all, err)
	}
	page, err = apiversions.List(w.c).AllPages(ctx)
	w.ok(err)
	if all, err := apiversions.ExtractAPIVersions(page); err != nil || len(all) != 31 {
		t.Errorf("versions: %v %v", all, err)
	}
}

func TestGophercloudFollowsPages(t *testing.T) {
	w := newWalk(t)
	for range 5 {
		w.r.lb(m{"tags": []string{"paged"}})
	}
	w.r.lb()
	n, pages := 0, 0
	err := loadbalancers.List(w.c, loadbalancers.ListOpts{Limit: 2, Tags: []string{"paged"}, ProjectID: w.r.project}).EachPage(t.Context(), func(_ context.Context, p pagination.Page) (bool, error) {
		all, err := loadbalancers.ExtractLoadBalancers(p)
		n, pages = n+len(all), pages+1
		return true, err
	})
	w.ok(err)
	if n != 5 || pages != 3 {
		t.Errorf("%d load balancers on %d pages", n, pages)
	}
}

// TestTheTreeThatGophercloudSends is the single call of its documentation.
func TestTheTreeThatGophercloudSends(t *testing.T) {
	w := newWalk(t)
	lb, err := loadbalancers.Create(t.Context(), w.c, loadbalancers.CreateOpts{Name: "all", VipSubnetID: subnetID, Listeners: []listeners.CreateOpts{{
		Protocol: "HTTP", ProtocolPort: 8080, Name: "l",
		L7Policies:  []l7policies.CreateOpts{{Name: "p", Action: l7policies.ActionRedirectToURL, RedirectURL: "http://www.example.com", Rules: []l7policies.CreateRuleOpts{{RuleType: l7policies.TypePath, CompareType: l7policies.CompareTypeRegex, Value: "/images*"}}}},
		DefaultPool: &pools.CreateOpts{LBMethod: pools.LBMethodRoundRobin, Protocol: "HTTP", Name: "pool", Members: []pools.CreateMemberOpts{{Address: "192.0.2.51", ProtocolPort: 80}}, Monitor: monitors.CreateOpts{Name: "m", Type: "HTTP", Delay: 3, Timeout: 1, MaxRetries: 2, MaxRetriesDown: 3, URLPath: "/index.html", HTTPMethod: "GET", ExpectedCodes: "200"}},
	}}}).Extract()
	w.ok(err)
	if len(lb.Listeners) != 1 || len(lb.Pools) != 1 || lb.Pools[0].Monitor.URLPath != "/index.html" || lb.CreatedAt.After(time.Now().Add(time.Hour)) || strings.Contains(lb.ID, model.NilID) {
		t.Errorf("%+v", lb)
	}
}
