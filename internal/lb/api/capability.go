package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// capability is a key that a profile may have, with the type of its value.
type capability struct {
	name, typ, description string
	values                 []string
}

// flavorCapabilities are the keys of flavor_data (contract §4.8).
var flavorCapabilities = []capability{
	{"loadbalancer_topology", "string", "The load balancer topology. One of: SINGLE - One amphora per load balancer. " +
		"ACTIVE_STANDBY - Two amphora per load balancer.", []string{"SINGLE", "ACTIVE_STANDBY"}},
	{"compute_flavor", "string", "The compute driver flavor ID.", nil},
	{"amp_image_tag", "string", "The amphora image tag.", nil},
	{"sriov_vip", "boolean", "When true, the VIP port will be created using an SR-IOV VF port.", nil},
	{"allow_member_sriov", "boolean", "When true, users can request a member port be SR-IOV enabled at member creation time.", nil},
}

// zoneCapabilities are the keys of availability_zone_data.
var zoneCapabilities = []capability{
	{"compute_zone", "string", "The compute availability zone.", nil},
	{"volume_zone", "string", "The volume availability zone.", nil},
	{"management_network", "string", "The management network ID for the amphora.", nil},
	{"valid_vip_networks", "array", "List of network IDs that are allowed for VIP use. " +
		"This overrides/replaces the list of allowed networks configured in `octavia.conf`.", nil},
}

// checkProfile wants JSON that the provider understands.
func checkProfile(in *profileInput, provider, name string, known []capability) *fault {
	if !knownProvider(provider) {
		return badRequest("Provider '%s' is not enabled.", provider)
	}
	var data any
	if json.Unmarshal([]byte(in.data.v), &data) != nil {
		return invalidOption(in.data.v, name)
	}
	m, ok := data.(map[string]any)
	if !ok {
		return unsupported(provider, "%s is not of type 'object'", encode(data))
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if reason := checkCapability(key, m[key], known); reason != "" {
			return unsupported(provider, "%s", reason)
		}
	}
	return nil
}

func checkCapability(key string, value any, known []capability) string {
	i := slices.IndexFunc(known, func(c capability) bool { return c.name == key })
	if i < 0 {
		return fmt.Sprintf("Additional properties are not allowed ('%s' was unexpected)", key)
	}
	c := known[i]
	fits := false
	switch value.(type) {
	case string:
		fits = c.typ == "string"
	case bool:
		fits = c.typ == "boolean"
	case []any:
		fits = c.typ == "array"
	}
	if !fits {
		return fmt.Sprintf("%s '%s' is not of type '%s'", key, shown(value), c.typ)
	}
	if s, _ := value.(string); c.values != nil && !slices.Contains(c.values, s) {
		return fmt.Sprintf("%s '%s' is not one of ['%s']", key, s, strings.Join(c.values, "', '"))
	}
	return ""
}

func (s *Server) listProviders(c *call) error {
	var all []described
	for _, p := range providers {
		all = append(all, described{p.name, p.description})
	}
	return s.listDescribed(c, "providers", all)
}

func (s *Server) listFlavorCapabilities(c *call) error {
	return s.listCapabilities(c, "flavor_capabilities", flavorCapabilities)
}

func (s *Server) listZoneCapabilities(c *call) error {
	return s.listCapabilities(c, "availability_zone_capabilities", zoneCapabilities)
}

func (s *Server) listCapabilities(c *call, key string, list []capability) error {
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	if !knownProvider(c.values[0]) {
		return badRequest("Provider '%s' is not enabled.", c.values[0])
	}
	var all []described
	for _, o := range list {
		all = append(all, described{o.name, o.description})
	}
	return s.listDescribed(c, key, all)
}

// listDescribed answers with a short list: it has filters and fields, no pages.
func (s *Server) listDescribed(c *call, key string, all []described) error {
	q, err := parseQuery(c.r, 0)
	if err != nil {
		return err
	}
	if err := c.authorize(c.who.ProjectID); err != nil {
		return err
	}
	k := s.operator.named[key]
	admits, err := k.filter(q)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(d described) bool { return !admits(d) })
	c.send(200, func(b []byte) []byte { return k.appendPage(b, q, all, "") })
	return nil
}
