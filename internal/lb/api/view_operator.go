package api

import (
	"strconv"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

type amphoraRow = row[*model.Amphora]

// operatorKinds are the tables of what operators deal with.
type operatorKinds struct {
	flavor        *kind[*model.Flavor]
	flavorProfile *kind[*model.FlavorProfile]
	zone          *kind[*model.AvailabilityZone]
	zoneProfile   *kind[*model.AvailabilityZoneProfile]
	amphora       *kind[amphoraRow]
	quota         *kind[quotaRow]
	named         map[string]*kind[described]
}

func newOperatorKinds() *operatorKinds {
	k := &operatorKinds{flavor: flavorKind(), zone: zoneKind(), amphora: amphoraKind(), quota: quotaKind(), named: map[string]*kind[described]{}}
	k.flavorProfile = &kind[*model.FlavorProfile]{
		one: "flavorprofile", many: "flavorprofiles", links: []string{"flavorprofile_links", "flavorprofiles_links"},
		id: func(p *model.FlavorProfile) string { return p.ID },
		attrs: []attribute[*model.FlavorProfile]{
			textual("id", func(p *model.FlavorProfile) string { return p.ID }),
			textual("name", func(p *model.FlavorProfile) string { return p.Name }),
			textual("provider_name", func(p *model.FlavorProfile) string { return p.ProviderName }),
			textual("flavor_data", func(p *model.FlavorProfile) string { return p.FlavorData }),
		},
	}
	k.zoneProfile = &kind[*model.AvailabilityZoneProfile]{
		one: "availability_zone_profile", many: "availability_zone_profiles",
		links: []string{"availability_zone_profile_links", "availability_zone_profiles_links", "availabilityzoneprofiles_links"},
		id:    func(p *model.AvailabilityZoneProfile) string { return p.ID },
		attrs: []attribute[*model.AvailabilityZoneProfile]{
			textual("id", func(p *model.AvailabilityZoneProfile) string { return p.ID }),
			textual("name", func(p *model.AvailabilityZoneProfile) string { return p.Name }),
			textual("provider_name", func(p *model.AvailabilityZoneProfile) string { return p.ProviderName }),
			textual("availability_zone_data", func(p *model.AvailabilityZoneProfile) string { return p.AvailabilityZoneData }),
		},
	}
	for _, many := range []string{"providers", "flavor_capabilities", "availability_zone_capabilities"} {
		k.named[many] = describedKind(many)
	}
	return k
}

func flavorKind() *kind[*model.Flavor] {
	return &kind[*model.Flavor]{
		one: "flavor", many: "flavors", id: func(f *model.Flavor) string { return f.ID },
		attrs: []attribute[*model.Flavor]{
			textual("id", func(f *model.Flavor) string { return f.ID }),
			textual("name", func(f *model.Flavor) string { return f.Name }),
			textual("description", func(f *model.Flavor) string { return f.Description }),
			toggle("enabled", func(f *model.Flavor) bool { return f.Enabled }),
			textual("flavor_profile_id", func(f *model.Flavor) string { return f.FlavorProfileID }),
		},
	}
}

func zoneKind() *kind[*model.AvailabilityZone] {
	return &kind[*model.AvailabilityZone]{
		one: "availability_zone", many: "availability_zones", links: []string{"availability_zones_links", "availabilityzones_links"},
		id: func(z *model.AvailabilityZone) string { return z.Name },
		attrs: []attribute[*model.AvailabilityZone]{
			textual("name", func(z *model.AvailabilityZone) string { return z.Name }),
			textual("description", func(z *model.AvailabilityZone) string { return z.Description }),
			toggle("enabled", func(z *model.AvailabilityZone) bool { return z.Enabled }),
			textual("availability_zone_profile_id", func(z *model.AvailabilityZone) string { return z.AvailabilityZoneProfileID }),
		},
	}
}

func amphoraKind() *kind[amphoraRow] {
	lb := optional("loadbalancer_id", func(r amphoraRow) string { return r.o.LoadBalancerID })
	return &kind[amphoraRow]{
		one: "amphora", many: "amphorae", id: func(r amphoraRow) string { return r.o.ID },
		attrs: []attribute[amphoraRow]{
			textual("id", func(r amphoraRow) string { return r.o.ID }), lb, hidden(renamed("load_balancer_id", lb)),
			optional("compute_id", func(r amphoraRow) string { return r.o.ComputeID }),
			optional("lb_network_ip", func(r amphoraRow) string { return r.o.LBNetworkIP }),
			optional("vrrp_ip", func(r amphoraRow) string { return r.o.VRRPIP }),
			optional("ha_ip", func(r amphoraRow) string { return r.o.HAIP }),
			optional("vrrp_port_id", func(r amphoraRow) string { return r.o.VRRPPortID }),
			optional("ha_port_id", func(r amphoraRow) string { return r.o.HAPortID }),
			moment("cert_expiration", func(r amphoraRow) time.Time { return r.o.CertExpiration }),
			toggle("cert_busy", func(r amphoraRow) bool { return r.o.CertBusy }),
			optional("role", func(r amphoraRow) string { return r.o.Role }),
			textual("status", func(r amphoraRow) model.AmphoraStatus { return r.o.Status }),
			optional("vrrp_interface", func(r amphoraRow) string { return r.o.VRRPInterface }),
			optionalNumber("vrrp_id", func(r amphoraRow) int { return r.o.VRRPID }),
			optionalNumber("vrrp_priority", func(r amphoraRow) int { return r.o.VRRPPriority }),
			optional("cached_zone", func(r amphoraRow) string { return r.o.CachedZone }),
			moment("created_at", func(r amphoraRow) time.Time { return r.o.CreatedAt }),
			moment("updated_at", func(r amphoraRow) time.Time { return r.o.UpdatedAt }),
			optional("image_id", func(r amphoraRow) string { return r.o.ImageID }),
			optional("compute_flavor", func(r amphoraRow) string { return r.o.ComputeFlavor }),
		},
	}
}

// quotaRow is what a project may have.
type quotaRow struct {
	project string
	limits  model.Limits
	all     model.Limits // the defaults
}

func quotaKind() *kind[quotaRow] {
	project := textual("project_id", func(r quotaRow) string { return r.project })
	k := &kind[quotaRow]{
		one: "quota", many: "quotas", id: func(r quotaRow) string { return r.project },
		attrs: []attribute[quotaRow]{project, renamed("tenant_id", project)},
	}
	for _, q := range quotaNames {
		k.attrs = append(k.attrs, number(q.name, func(r quotaRow) int { return r.limits.Get(q.kind, r.all) }))
	}
	return k
}

// described is a provider, or something that one can do.
type described struct{ name, description string }

func describedKind(many string) *kind[described] {
	return &kind[described]{
		many: many, links: []string{}, id: func(d described) string { return d.name },
		attrs: []attribute[described]{
			textual("name", func(d described) string { return d.name }),
			textual("description", func(d described) string { return d.description }),
		},
	}
}

// appendStats appends counters (contract §4.11) without braces.
func appendStats(b []byte, s model.Stats) []byte {
	for i, c := range []struct {
		name  string
		value int64
	}{
		{"active_connections", s.ActiveConnections}, {"bytes_in", s.BytesIn}, {"bytes_out", s.BytesOut},
		{"request_errors", s.RequestErrors}, {"total_connections", s.TotalConnections},
	} {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, '"')
		b = append(b, c.name...)
		b = append(b, `":`...)
		b = strconv.AppendInt(b, c.value, 10)
	}
	return b
}
