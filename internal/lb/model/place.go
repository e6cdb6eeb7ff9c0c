package model

// Place says where an object is kept.
type Place struct {
	// LoadBalancer is the load balancer above a child, empty for other kinds.
	LoadBalancer string
	// Parent is the object directly above: the pool of a member or a monitor,
	// the listener of a policy, the policy of a rule, else the load balancer.
	Parent string
	ID     string
}

// Stored is an object that the store keeps under a place of its own.
type Stored interface {
	Kind() Kind
	Place() Place
}

// Place returns where the load balancer is kept.
func (l *LoadBalancer) Place() Place { return Place{ID: l.ID} }

// Place returns where the listener is kept.
func (l *Listener) Place() Place { return Place{l.LoadBalancerID, l.LoadBalancerID, l.ID} }

// Place returns where the pool is kept.
func (p *Pool) Place() Place { return Place{p.LoadBalancerID, p.LoadBalancerID, p.ID} }

// Place returns where the member is kept.
func (m *Member) Place() Place { return Place{m.LoadBalancerID, m.PoolID, m.ID} }

// Place returns where the monitor is kept.
func (h *HealthMonitor) Place() Place { return Place{h.LoadBalancerID, h.PoolID, h.ID} }

// Place returns where the policy is kept.
func (p *L7Policy) Place() Place { return Place{p.LoadBalancerID, p.ListenerID, p.ID} }

// Place returns where the rule is kept.
func (r *L7Rule) Place() Place { return Place{r.LoadBalancerID, r.L7PolicyID, r.ID} }

// Kind returns KindAmphora.
func (*Amphora) Kind() Kind { return KindAmphora }

// Place returns where the amphora is kept.
func (a *Amphora) Place() Place { return Place{a.LoadBalancerID, a.LoadBalancerID, a.ID} }

// Kind returns KindFlavor.
func (*Flavor) Kind() Kind { return KindFlavor }

// Place returns where the flavor is kept.
func (f *Flavor) Place() Place { return Place{ID: f.ID} }

// Kind returns KindFlavorProfile.
func (*FlavorProfile) Kind() Kind { return KindFlavorProfile }

// Place returns where the profile is kept.
func (f *FlavorProfile) Place() Place { return Place{ID: f.ID} }

// Kind returns KindAvailabilityZone.
func (*AvailabilityZone) Kind() Kind { return KindAvailabilityZone }

// Place returns where the zone is kept: under its name.
func (z *AvailabilityZone) Place() Place { return Place{ID: z.Name} }

// Kind returns KindAvailabilityZoneProfile.
func (*AvailabilityZoneProfile) Kind() Kind { return KindAvailabilityZoneProfile }

// Place returns where the profile is kept.
func (z *AvailabilityZoneProfile) Place() Place { return Place{ID: z.ID} }

// Kind returns KindQuota.
func (*Quota) Kind() Kind { return KindQuota }

// Place returns where the quota is kept: under its project.
func (q *Quota) Place() Place { return Place{ID: q.ProjectID} }

// Kind returns KindStats.
func (*AmphoraStats) Kind() Kind { return KindStats }

// Place returns where the counters are kept: under load balancer and amphora, so
// that those of a load balancer stand together.
func (s *AmphoraStats) Place() Place { return Place{ID: s.LoadBalancerID + "/" + s.AmphoraID} }

// Record is a small document that a controller or a driver keeps. Names have
// parts with slashes between them, by owner: "network/port/ID".
type Record struct {
	Name string `json:"name"`
	Data []byte `json:"data,omitempty"`
}

// Kind returns KindRecord.
func (*Record) Kind() Kind { return KindRecord }

// Place returns where the record is kept.
func (r *Record) Place() Place { return Place{ID: r.Name} }

// Claim says who works on something; it goes with the session of its owner.
type Claim struct {
	Name  string `json:"name"`
	Owner string `json:"owner"`
}

// Kind returns KindClaim.
func (*Claim) Kind() Kind { return KindClaim }

// Place returns where the claim is kept.
func (c *Claim) Place() Place { return Place{ID: c.Name} }
