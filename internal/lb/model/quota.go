package model

// Unlimited is the quota that never refuses.
const Unlimited = -1

// QuotaKinds are the kinds that are counted, in the order of the contract.
var QuotaKinds = [...]Kind{KindLoadBalancer, KindListener, KindPool, KindHealthMonitor, KindMember, KindL7Policy, KindL7Rule}

// Limits are quotas; nil means the default.
type Limits struct {
	LoadBalancer  *int `json:"loadbalancer,omitempty"`
	Listener      *int `json:"listener,omitempty"`
	Pool          *int `json:"pool,omitempty"`
	HealthMonitor *int `json:"healthmonitor,omitempty"`
	Member        *int `json:"member,omitempty"`
	L7Policy      *int `json:"l7policy,omitempty"`
	L7Rule        *int `json:"l7rule,omitempty"`
}

// Of returns where the limit of a kind is; nil for a kind that is not counted.
func (l *Limits) Of(k Kind) **int {
	switch k {
	case KindLoadBalancer:
		return &l.LoadBalancer
	case KindListener:
		return &l.Listener
	case KindPool:
		return &l.Pool
	case KindHealthMonitor:
		return &l.HealthMonitor
	case KindMember:
		return &l.Member
	case KindL7Policy:
		return &l.L7Policy
	case KindL7Rule:
		return &l.L7Rule
	}
	return nil
}

// Get returns the limit of a kind, that of defaults where there is none, and
// Unlimited where neither says anything.
func (l Limits) Get(k Kind, defaults Limits) int {
	for _, from := range []*Limits{&l, &defaults} {
		if p := from.Of(k); p != nil && *p != nil {
			return **p
		}
	}
	return Unlimited
}

// Used counts what a project has, what is being deleted included.
type Used struct {
	LoadBalancer  int `json:"loadbalancer,omitempty"`
	Listener      int `json:"listener,omitempty"`
	Pool          int `json:"pool,omitempty"`
	HealthMonitor int `json:"healthmonitor,omitempty"`
	Member        int `json:"member,omitempty"`
	L7Policy      int `json:"l7policy,omitempty"`
	L7Rule        int `json:"l7rule,omitempty"`
}

// Of returns where a kind is counted; nil for a kind that is not.
func (u *Used) Of(k Kind) *int {
	switch k {
	case KindLoadBalancer:
		return &u.LoadBalancer
	case KindListener:
		return &u.Listener
	case KindPool:
		return &u.Pool
	case KindHealthMonitor:
		return &u.HealthMonitor
	case KindMember:
		return &u.Member
	case KindL7Policy:
		return &u.L7Policy
	case KindL7Rule:
		return &u.L7Rule
	}
	return nil
}

// Quota is the row of a project: what it may have and what it has.
type Quota struct {
	ProjectID string `json:"project_id"`
	Limits    Limits `json:"limits,omitzero"`
	Used      Used   `json:"used,omitzero"`
}
