package api

import (
	"net/http"

	"github.com/updraft-cloud/updraft/internal/lb/auth"
)

// route is one method of one path.
type route struct {
	method, path string
	// action is what the policy is asked, without its prefix until prepared.
	action string
	// global is the action of a list over all projects.
	global string
	status int
	handle func(*call) error

	// What the body is: the argument's name in faults, the wrapper, the fields.
	argument, wrapper string
	fields            func() []field
	// answer is the kind of object in the answer; "" for none.
	answer string
}

// routes is the table of everything that is served under the prefixes, paths
// relative to them.
func (s *Server) routes() []*route {
	var all []*route
	for _, list := range [][]*route{s.treeRoutes(), s.policyRoutes(), s.operatorRoutes(), s.amphoraRoutes()} {
		all = append(all, list...)
	}
	for _, r := range all {
		r.action = auth.Prefix + r.action
		r.global = r.action + "-global"
	}
	return all
}

func get(path, action, answer string, handle func(*call) error) *route {
	return &route{method: http.MethodGet, path: path, action: action, status: http.StatusOK, handle: handle, answer: answer}
}

func remove(path, action string, handle func(*call) error) *route {
	return &route{method: http.MethodDelete, path: path, action: action, status: http.StatusNoContent, handle: handle}
}

// write is a route with a body.
func write(method, path, action, argument, wrapper string, fields func() []field, handle func(*call) error) *route {
	status := http.StatusOK
	if method == http.MethodPost {
		status = http.StatusCreated
	}
	return &route{method: method, path: path, action: action, status: status, handle: handle,
		argument: argument, wrapper: wrapper, fields: fields, answer: wrapper}
}

// act is a route that starts something and has neither body nor answer.
func act(path, action string, handle func(*call) error) *route {
	return &route{method: http.MethodPut, path: path, action: action, status: http.StatusAccepted, handle: handle}
}

func (s *Server) treeRoutes() []*route {
	post, put := http.MethodPost, http.MethodPut
	return []*route{
		get("/loadbalancers", "loadbalancer:get_all", "loadbalancers", s.listLoadBalancers),
		write(post, "/loadbalancers", "loadbalancer:post", "load_balancer", "loadbalancer", new(loadBalancerInput).create, s.createLoadBalancer),
		get("/loadbalancers/{id}", "loadbalancer:get_one", "loadbalancer", s.showLoadBalancer),
		write(put, "/loadbalancers/{id}", "loadbalancer:put", "load_balancer", "loadbalancer", new(loadBalancerInput).update, s.updateLoadBalancer),
		remove("/loadbalancers/{id}", "loadbalancer:delete", s.deleteLoadBalancer),
		get("/loadbalancers/{id}/status", "loadbalancer:get_status", "statuses", s.showStatuses),
		get("/loadbalancers/{id}/statuses", "loadbalancer:get_status", "statuses", s.showStatuses),
		get("/loadbalancers/{id}/stats", "loadbalancer:get_stats", "stats", s.showLoadBalancerStats),
		act("/loadbalancers/{id}/failover", "loadbalancer:put_failover", s.failOverLoadBalancer),

		get("/listeners", "listener:get_all", "listeners", s.listListeners),
		write(post, "/listeners", "listener:post", "listener_", "listener", new(listenerInput).create, s.createListener),
		get("/listeners/{id}", "listener:get_one", "listener", s.showListener),
		write(put, "/listeners/{id}", "listener:put", "listener_", "listener", new(listenerInput).update, s.updateListener),
		remove("/listeners/{id}", "listener:delete", s.deleteListener),
		get("/listeners/{id}/stats", "listener:get_stats", "stats", s.showListenerStats),

		get("/pools", "pool:get_all", "pools", s.listPools),
		write(post, "/pools", "pool:post", "pool_", "pool", new(poolInput).create, s.createPool),
		get("/pools/{id}", "pool:get_one", "pool", s.showPool),
		write(put, "/pools/{id}", "pool:put", "pool_", "pool", new(poolInput).update, s.updatePool),
		remove("/pools/{id}", "pool:delete", s.deletePool),

		get("/pools/{id}/members", "member:get_all", "members", s.listMembers),
		write(post, "/pools/{id}/members", "member:post", "member_", "member", new(memberInput).create, s.createMember),
		{method: put, path: "/pools/{id}/members", action: "member:put", status: http.StatusAccepted, handle: s.replaceMembers,
			argument: "members_", wrapper: "members", fields: new(memberInput).create},
		get("/pools/{id}/members/{member}", "member:get_one", "member", s.showMember),
		write(put, "/pools/{id}/members/{member}", "member:put", "member_", "member", new(memberInput).update, s.updateMember),
		remove("/pools/{id}/members/{member}", "member:delete", s.deleteMember),

		get("/healthmonitors", "healthmonitor:get_all", "healthmonitors", s.listMonitors),
		write(post, "/healthmonitors", "healthmonitor:post", "health_monitor_", "healthmonitor", new(monitorInput).create, s.createMonitor),
		get("/healthmonitors/{id}", "healthmonitor:get_one", "healthmonitor", s.showMonitor),
		write(put, "/healthmonitors/{id}", "healthmonitor:put", "health_monitor_", "healthmonitor", new(monitorInput).update, s.updateMonitor),
		remove("/healthmonitors/{id}", "healthmonitor:delete", s.deleteMonitor),
	}
}

func (s *Server) policyRoutes() []*route {
	post, put := http.MethodPost, http.MethodPut
	return []*route{
		get("/l7policies", "l7policy:get_all", "l7policies", s.listPolicies),
		write(post, "/l7policies", "l7policy:post", "l7policy_", "l7policy", new(policyInput).create, s.createPolicy),
		get("/l7policies/{id}", "l7policy:get_one", "l7policy", s.showPolicy),
		write(put, "/l7policies/{id}", "l7policy:put", "l7policy_", "l7policy", new(policyInput).update, s.updatePolicy),
		remove("/l7policies/{id}", "l7policy:delete", s.deletePolicy),

		get("/l7policies/{id}/rules", "l7rule:get_all", "rules", s.listRules),
		write(post, "/l7policies/{id}/rules", "l7rule:post", "rule_", "rule", new(ruleInput).create, s.createRule),
		get("/l7policies/{id}/rules/{rule}", "l7rule:get_one", "rule", s.showRule),
		write(put, "/l7policies/{id}/rules/{rule}", "l7rule:put", "l7rule_", "rule", new(ruleInput).update, s.updateRule),
		remove("/l7policies/{id}/rules/{rule}", "l7rule:delete", s.deleteRule),
	}
}

func (s *Server) operatorRoutes() []*route {
	post, put := http.MethodPost, http.MethodPut
	flavor, zone := new(flavorInput), new(flavorInput)
	flavorData := func(f func(*profileInput, string) []field) func() []field {
		return func() []field { return f(new(profileInput), "flavor_data") }
	}
	zoneData := func(f func(*profileInput, string) []field) func() []field {
		return func() []field { return f(new(profileInput), "availability_zone_data") }
	}
	create, update := (*profileInput).create, (*profileInput).update
	return []*route{
		get("/quotas", "quota:get_all", "quotas", s.listQuotas),
		get("/quotas/{id}", "quota:get_one", "quota", s.showQuota),
		get("/quotas/{id}/default", "quota:get_defaults", "quota", s.showDefaultQuota),
		{method: put, path: "/quotas/{id}", action: "quota:put", status: http.StatusAccepted, handle: s.updateQuota,
			argument: "quotas", wrapper: "quota", fields: quotaInput{}.update, answer: "quota"},
		{method: http.MethodDelete, path: "/quotas/{id}", action: "quota:delete", status: http.StatusAccepted, handle: s.deleteQuota},

		get("/providers", "provider:get_all", "providers", s.listProviders),
		get("/providers/{id}/flavor_capabilities", "provider-flavor:get_all", "flavor_capabilities", s.listFlavorCapabilities),
		get("/providers/{id}/availability_zone_capabilities", "provider-availability-zone:get_all", "availability_zone_capabilities", s.listZoneCapabilities),

		get("/flavors", "flavor:get_all", "flavors", s.listFlavors),
		write(post, "/flavors", "flavor:post", "flavor_", "flavor", flavor.create, s.createFlavor),
		get("/flavors/{id}", "flavor:get_one", "flavor", s.showFlavor),
		write(put, "/flavors/{id}", "flavor:put", "flavor_", "flavor", flavor.update, s.updateFlavor),
		remove("/flavors/{id}", "flavor:delete", s.deleteFlavor),
		get("/flavorprofiles", "flavor-profile:get_all", "flavorprofiles", s.listFlavorProfiles),
		write(post, "/flavorprofiles", "flavor-profile:post", "flavor_profile_", "flavorprofile", flavorData(create), s.createFlavorProfile),
		get("/flavorprofiles/{id}", "flavor-profile:get_one", "flavorprofile", s.showFlavorProfile),
		write(put, "/flavorprofiles/{id}", "flavor-profile:put", "flavor_profile_", "flavorprofile", flavorData(update), s.updateFlavorProfile),
		remove("/flavorprofiles/{id}", "flavor-profile:delete", s.deleteFlavorProfile),

		get("/availabilityzones", "availability-zone:get_all", "availability_zones", s.listZones),
		write(post, "/availabilityzones", "availability-zone:post", "availability_zone_", "availability_zone", zone.createZone, s.createZone),
		get("/availabilityzones/{id}", "availability-zone:get_one", "availability_zone", s.showZone),
		write(put, "/availabilityzones/{id}", "availability-zone:put", "availability_zone_", "availability_zone", zone.updateZone, s.updateZone),
		remove("/availabilityzones/{id}", "availability-zone:delete", s.deleteZone),
		get("/availabilityzoneprofiles", "availability-zone-profile:get_all", "availability_zone_profiles", s.listZoneProfiles),
		write(post, "/availabilityzoneprofiles", "availability-zone-profile:post", "availability_zone_profile_", "availability_zone_profile", zoneData(create), s.createZoneProfile),
		get("/availabilityzoneprofiles/{id}", "availability-zone-profile:get_one", "availability_zone_profile", s.showZoneProfile),
		write(put, "/availabilityzoneprofiles/{id}", "availability-zone-profile:put", "availability_zone_profile_", "availability_zone_profile", zoneData(update), s.updateZoneProfile),
		remove("/availabilityzoneprofiles/{id}", "availability-zone-profile:delete", s.deleteZoneProfile),
	}
}

func (s *Server) amphoraRoutes() []*route {
	return []*route{
		get("/amphorae", "amphora:get_all", "amphorae", s.listAmphorae),
		get("/amphorae/{id}", "amphora:get_one", "amphora", s.showAmphora),
		remove("/amphorae/{id}", "amphora:delete", s.deleteAmphora),
		get("/amphorae/{id}/stats", "amphora:get_stats", "amphora_stats", s.showAmphoraStats),
		act("/amphorae/{id}/config", "amphora:put_config", s.configureAmphora),
		act("/amphorae/{id}/failover", "amphora:put_failover", s.failOverAmphora),
	}
}
