package control

import (
	"fmt"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// Why says of one load balancer what is wanted, what is there, what is pending,
// since when, and why. It follows from what is stored.
type Why struct {
	LoadBalancer string                   `json:"loadbalancer"`
	Name         string                   `json:"name,omitempty"`
	Object       string                   `json:"object,omitempty"` // what was asked for, if it is below
	Status       model.ProvisioningStatus `json:"provisioning_status"`
	Operating    model.OperatingStatus    `json:"operating_status"`
	Since        time.Time                `json:"since,omitzero"`
	Reason       string                   `json:"reason,omitempty"`
	RequestID    string                   `json:"request_id,omitempty"`
	Address      string                   `json:"vip_address,omitempty"`
	Topology     string                   `json:"topology,omitempty"`
	// Controller is who works on it, by its claim on the shard.
	Shard      string       `json:"shard"`
	Controller string       `json:"controller,omitempty"`
	Amphorae   []WhyAmphora `json:"amphorae,omitempty"`
	// Pending are the children that are not ACTIVE.
	Pending []WhyChild `json:"pending,omitempty"`
	// Next is what the controllers will do.
	Next []string `json:"next,omitempty"`
}

// WhyAmphora is an amphora.
type WhyAmphora struct {
	ID       string              `json:"id"`
	Role     string              `json:"role,omitempty"`
	Status   model.AmphoraStatus `json:"status"`
	Endpoint string              `json:"endpoint,omitempty"`
	Reason   string              `json:"reason,omitempty"`
	Replaces string              `json:"replaces,omitempty"`
	Created  time.Time           `json:"created,omitzero"`
	// Reported is when its counters last came.
	Reported time.Time `json:"reported,omitzero"`
	// CertificateEnds is when that of its agent does.
	CertificateEnds time.Time `json:"certificate_ends,omitzero"`
}

// WhyChild is an object below the load balancer.
type WhyChild struct {
	Kind      string                   `json:"kind"`
	ID        string                   `json:"id"`
	Name      string                   `json:"name,omitempty"`
	Status    model.ProvisioningStatus `json:"provisioning_status"`
	Operating model.OperatingStatus    `json:"operating_status"`
}

// Explain looks an object up: a load balancer, or anything below one. Shards is
// how many there are; nil means that there is no such object.
func Explain(snap *store.Snapshot, id string, shards int) *Why {
	t, object := find(snap, id)
	if t == nil {
		return nil
	}
	lb := t.LB
	w := &Why{LoadBalancer: lb.ID, Name: lb.Name, Object: object, Status: lb.ProvisioningStatus, Operating: lb.OperatingStatus,
		Since: lb.StatusSince, Reason: lb.StatusReason, RequestID: lb.RequestID, Address: lb.VIP.Address, Topology: lb.Topology}
	l := Limits{Shards: shards}.withDefaults()
	w.Shard = newShards(nil, "", l.Shards).of(lb.ID)
	for _, c := range snap.Claims(w.Shard) {
		if c.Name == w.Shard {
			w.Controller = c.Owner
		}
	}
	w.amphorae(snap, t)
	w.pending(t)
	w.next(t)
	return w
}

func find(snap *store.Snapshot, id string) (t *store.Tree, object string) {
	if t := snap.Tree(id); t != nil {
		return t, ""
	}
	for _, k := range append(children[:], model.KindAmphora) {
		if t := snap.TreeOf(k, id); t != nil {
			return t, k.String() + " " + id
		}
	}
	return nil, ""
}

func (w *Why) amphorae(snap *store.Snapshot, t *store.Tree) {
	reported := map[string]time.Time{}
	for _, s := range snap.Stats(t.LB.ID) {
		reported[s.AmphoraID] = s.ReportedAt
	}
	for _, a := range t.Amphorae() {
		w.Amphorae = append(w.Amphorae, WhyAmphora{ID: a.ID, Role: a.Role, Status: a.Status, Endpoint: a.Endpoint, Reason: a.Reason,
			Replaces: a.Replaces, Created: a.CreatedAt, Reported: reported[a.ID], CertificateEnds: a.CertExpiration})
	}
}

func (w *Why) pending(t *store.Tree) {
	_ = eachPending(t, func(o model.Object) error { // f has no errors
		b := o.Common()
		w.Pending = append(w.Pending, WhyChild{o.Kind().String(), b.ID, b.Name, b.ProvisioningStatus, b.OperatingStatus})
		return nil
	})
}

// next says what the plan is.
func (w *Why) next(t *store.Tree) {
	lb := t.LB
	say := func(format string, args ...any) { w.Next = append(w.Next, fmt.Sprintf(format, args...)) }
	switch {
	case lb.ProvisioningStatus == model.Deleted:
		say("it is deleted, and is forgotten after its age")
		return
	case lb.ProvisioningStatus == model.PendingDelete || lb.Deleting:
		say("remove %d amphorae, give back the address, forget it", len(t.Amphorae()))
		return
	}
	p := planOf(t)
	for _, a := range p.useless {
		say("remove amphora %s, which never worked", a.ID)
	}
	for _, r := range p.missing {
		say("make an amphora for the role %s", r)
	}
	for _, a := range p.doomed {
		say("remove amphora %s (%s) when another has its role", a.ID, strings.ToLower(a.Role))
	}
	for _, a := range p.later {
		say("then replace amphora %s (%s)", a.ID, strings.ToLower(a.Role))
	}
	switch {
	case lb.ProvisioningStatus == model.Error:
		say("try again until the reason has gone")
	case lb.ProvisioningStatus.Pending():
		say("configure %d amphorae, and make it ACTIVE", len(p.keep)+len(p.missing))
	case len(w.Next) == 0:
		say("nothing: it is as wanted")
	}
}

// Overview is how the service fares.
type Overview struct {
	LoadBalancers map[model.ProvisioningStatus]int `json:"loadbalancers"`
	Operating     map[model.OperatingStatus]int    `json:"operating"`
	Amphorae      map[model.AmphoraStatus]int      `json:"amphorae"`
	Controllers   []string                         `json:"controllers"`
	// Unclaimed are shards that nobody works on.
	Unclaimed int `json:"unclaimed_shards"`
	// Troubled are the load balancers that are not ACTIVE.
	Troubled []Why `json:"troubled,omitempty"`
}

// maxTroubled bounds a list that is for people.
const maxTroubled = 100

// Survey looks at everything.
func Survey(snap *store.Snapshot, shards int) Overview {
	o := Overview{LoadBalancers: map[model.ProvisioningStatus]int{}, Operating: map[model.OperatingStatus]int{},
		Amphorae: map[model.AmphoraStatus]int{}, Controllers: Controllers(snap)}
	l := Limits{Shards: shards}.withDefaults()
	o.Unclaimed = max(0, l.Shards-len(snap.Claims(shardClaims)))
	for t := range snap.Trees("") {
		o.LoadBalancers[t.LB.ProvisioningStatus]++
		if t.LB.ProvisioningStatus == model.Deleted {
			continue
		}
		o.Operating[t.LB.OperatingStatus]++
		for _, a := range t.Amphorae() {
			o.Amphorae[a.Status]++
		}
		if t.LB.ProvisioningStatus != model.Active && len(o.Troubled) < maxTroubled {
			o.Troubled = append(o.Troubled, *Explain(snap, t.LB.ID, shards))
		}
	}
	return o
}
