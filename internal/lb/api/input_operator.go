package api

import "github.com/updraft-cloud/updraft/internal/lb/model"

type flavorInput struct {
	name, description, profile opt[string]
	enabled                    opt[bool]
}

func (in *flavorInput) update() []field {
	return []field{text("name", &in.name, nameLimit), text("description", &in.description, nameLimit), boolean("enabled", &in.enabled)}
}

func (in *flavorInput) create() []field {
	f := append(in.update(), required(uuid("flavor_profile_id", &in.profile)))
	f[0] = required(f[0])
	return f
}

// updateZone is an update of an availability zone, whose name is its key.
func (in *flavorInput) updateZone() []field { return in.update()[1:] }

func (in *flavorInput) createZone() []field {
	f := append(in.update(), required(uuid("availability_zone_profile_id", &in.profile)))
	f[0] = required(f[0])
	return f
}

// profileInput is a flavor profile or a profile of availability zones.
type profileInput struct{ name, provider, data opt[string] }

// dataLimit bounds the JSON of a profile.
const dataLimit = 4096

func (in *profileInput) update(data string) []field {
	return []field{text("name", &in.name, nameLimit), text("provider_name", &in.provider, nameLimit), text(data, &in.data, dataLimit)}
}

func (in *profileInput) create(data string) []field {
	f := in.update(data)
	for i := range f {
		f[i] = required(f[i])
	}
	return f
}

// quotaInput has a limit for each kind; null takes the default back.
type quotaInput map[model.Kind]*opt[int]

const maxQuota = 2000000000

// quotaNames are the names of quotas, two of them in two spellings.
var quotaNames = []struct {
	name string
	kind model.Kind
}{
	{"loadbalancer", model.KindLoadBalancer}, {"load_balancer", model.KindLoadBalancer},
	{"listener", model.KindListener}, {"member", model.KindMember}, {"pool", model.KindPool},
	{"healthmonitor", model.KindHealthMonitor}, {"health_monitor", model.KindHealthMonitor},
	{"l7policy", model.KindL7Policy}, {"l7rule", model.KindL7Rule},
}

func (in quotaInput) update() []field {
	var out []field
	for _, q := range quotaNames {
		if in[q.kind] == nil {
			in[q.kind] = &opt[int]{}
		}
		out = append(out, integer(q.name, in[q.kind], model.Unlimited, maxQuota))
	}
	return out
}
