package auth

import "maps"

// Prefix begins the names of all actions.
const Prefix = "os_load-balancer_api:"

// Rules that stand for an access level. The names are Octavia's
// (octavia/policies/base.py), so that policy files can override them.
const (
	ruleAdmin      = "rule:load-balancer:admin"
	ruleRead       = "rule:load-balancer:read"
	ruleReadGlobal = "rule:load-balancer:read-global"
	ruleWrite      = "rule:load-balancer:write"
	ruleReadQuota  = "rule:load-balancer:read-quota"
	ruleQuotasAll  = "rule:load-balancer:read-quota-global"
	ruleWriteQuota = "rule:load-balancer:write-quota"
)

// baseRules are Keystone's default roles: a reader of the project reads, a
// member writes, an admin does everything everywhere.
var baseRules = map[string]string{
	"context_is_admin":                 "role:admin",
	"load-balancer:owner":              "project_id:%(project_id)s",
	"load-balancer:admin":              "is_admin:True or role:admin",
	"load-balancer:observer_and_owner": "role:reader and rule:load-balancer:owner",
	"load-balancer:global_observer":    "role:admin",
	"load-balancer:member_and_owner":   "role:member and rule:load-balancer:owner",
	"load-balancer:quota-admin":        "role:admin",
	"load-balancer:read": "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or " +
		"rule:load-balancer:member_and_owner or rule:load-balancer:admin",
	"load-balancer:read-global": "rule:load-balancer:global_observer or rule:load-balancer:admin",
	"load-balancer:write":       "rule:load-balancer:member_and_owner or rule:load-balancer:admin",
	"load-balancer:read-quota": "rule:load-balancer:observer_and_owner or rule:load-balancer:global_observer or " +
		"rule:load-balancer:member_and_owner or rule:load-balancer:quota-admin or rule:load-balancer:admin",
	"load-balancer:read-quota-global": "rule:load-balancer:global_observer or rule:load-balancer:quota-admin or rule:load-balancer:admin",
	"load-balancer:write-quota":       "rule:load-balancer:quota-admin or rule:load-balancer:admin",
}

// AdvancedRoles are the rules of Octavia's "advanced RBAC" policy file, which
// ask for roles of their own: load-balancer_observer, _global_observer, _member,
// _quota_admin and _admin.
func AdvancedRoles() map[string]string {
	return map[string]string{
		"context_is_admin":                 "role:admin or role:load-balancer_admin",
		"load-balancer:admin":              "is_admin:True or role:admin or role:load-balancer_admin",
		"load-balancer:observer_and_owner": "role:load-balancer_observer and rule:load-balancer:owner",
		"load-balancer:global_observer":    "role:load-balancer_global_observer",
		"load-balancer:member_and_owner":   "role:load-balancer_member and rule:load-balancer:owner",
		"load-balancer:quota-admin":        "role:load-balancer_quota_admin",
	}
}

// AdminOrOwner are the rules of Octavia's legacy policy file: whoever belongs to
// the project may do everything in it.
func AdminOrOwner() map[string]string {
	return map[string]string{
		"context_is_admin":                "role:admin or role:load-balancer_admin",
		"admin_or_owner":                  "is_admin:True or project_id:%(project_id)s",
		"load-balancer:read":              "rule:admin_or_owner",
		"load-balancer:read-global":       "is_admin:True",
		"load-balancer:write":             "rule:admin_or_owner",
		"load-balancer:read-quota":        "rule:admin_or_owner",
		"load-balancer:read-quota-global": "is_admin:True",
		"load-balancer:write-quota":       "is_admin:True",
	}
}

// defaultRules are the base rules and one rule for every action.
func defaultRules() map[string]string {
	rules := maps.Clone(baseRules)
	set := func(kind, rule string, actions ...string) {
		for _, a := range actions {
			rules[Prefix+kind+":"+a] = rule
		}
	}
	for _, kind := range []string{"loadbalancer", "listener", "pool", "member", "healthmonitor", "l7policy", "l7rule"} {
		set(kind, ruleRead, "get_all", "get_one")
		set(kind, ruleReadGlobal, "get_all-global")
		set(kind, ruleWrite, "post", "put", "delete")
	}
	set("member", ruleRead+" or role:service", "get_all")
	set("loadbalancer", ruleRead, "get_stats", "get_status")
	set("loadbalancer", ruleWrite, "post:vip_sg_ids", "put:vip_sg_ids")
	set("loadbalancer", ruleAdmin, "put_failover")
	set("listener", ruleRead, "get_stats")
	set("quota", ruleReadQuota, "get_all", "get_one", "get_defaults")
	set("quota", ruleQuotasAll, "get_all-global")
	set("quota", ruleWriteQuota, "put", "delete")
	set("provider", ruleRead, "get_all")
	set("provider-flavor", ruleAdmin, "get_all")
	set("provider-availability-zone", ruleAdmin, "get_all")
	for _, kind := range []string{"flavor", "availability-zone"} {
		set(kind, ruleRead, "get_all", "get_one")
		set(kind, ruleAdmin, "post", "put", "delete")
		set(kind+"-profile", ruleAdmin, "get_all", "get_one", "post", "put", "delete")
	}
	set("amphora", ruleAdmin, "get_all", "get_one", "delete", "get_stats", "put_config", "put_failover")
	return rules
}
