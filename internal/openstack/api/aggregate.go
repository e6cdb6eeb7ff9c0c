package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// zoneKey is the key under which an aggregate's metadata holds its zone.
const zoneKey = "availability_zone"

func aggregates() collection {
	return collection{service: "compute", path: "os-aggregates", plural: "aggregates", single: "aggregate", method: http.MethodPut}
}

// Aggregate is a set of hosts of servers with something in common.
type Aggregate struct {
	Name string `json:"name" required:"true" doc:"Name of the aggregate."`
	Zone string `json:"zone,omitempty" doc:"Availability zone that its hosts are in; in none of their own when left out."`
	// Metadata are compared as a whole when given.
	Metadata map[string]string `json:"metadata,omitempty" doc:"What flavors and images are matched against, such as ssd: \"true\". Given, there is no other; left alone when not given."`
}

func aggregateKind() Kind {
	return Kind{
		"aggregate", "A set of hosts of servers, which can be an availability zone. Hosts of a group are put into a zone by the group's zone.",
		"name: fast\nzone: east\nmetadata: {ssd: \"true\"}\n", func() Resource { return &Aggregate{} },
	}
}

// Kind returns "aggregate".
func (*Aggregate) Kind() string { return "aggregate" }

// Key returns the name.
func (a *Aggregate) Key() string { return a.Name }

// Services returns "compute".
func (*Aggregate) Services() []string { return []string{"compute"} }

// Needs returns nothing.
func (*Aggregate) Needs() []string { return nil }

// Validate checks the declaration.
func (a *Aggregate) Validate() error {
	errs := []error{validName("name", a.Name), validOptional("zone", a.Zone)}
	for _, k := range slices.Sorted(maps.Keys(a.Metadata)) {
		if k == "" || k == zoneKey {
			errs = append(errs, resource.Fieldf("metadata", "give the zone by zone, and every other key a name", "%q cannot be set", k))
		}
	}
	return errors.Join(errs...)
}

func (a *Aggregate) identity() Resource { return &Aggregate{Name: a.Name} }

func (a *Aggregate) thing(_ context.Context, v *view) (*thing, error) {
	t := &thing{coll: aggregates(), name: a.Name, match: object{"name": a.Name}}
	t.optional(zoneKey, a.Zone)
	t.also = func(_ context.Context, got object, b *drift.Builder) (object, error) {
		if a.Metadata != nil {
			b.Want("metadata", canonical(metadata(got)), canonical(a.Metadata))
		}
		return nil, nil
	}
	t.settle = func(ctx context.Context, got object) error { return a.settle(ctx, v, got) }
	// Nova deletes none that has hosts.
	t.empty = func(ctx context.Context, got object) error {
		for _, host := range hostsOf(got) {
			if err := takeOut(ctx, v, got, host); err != nil {
				return err
			}
		}
		return nil
	}
	return t, nil
}

// metadata are an aggregate's without the zone.
func metadata(got object) map[string]any {
	all, _ := got["metadata"].(map[string]any)
	out := maps.Clone(all)
	delete(out, zoneKey)
	return out
}

// settle makes the metadata agree: null takes a key away.
func (a *Aggregate) settle(ctx context.Context, v *view, got object) error {
	have := metadata(got)
	if a.Metadata == nil || canonical(have) == canonical(a.Metadata) {
		return nil
	}
	send := map[string]any{}
	for k := range have {
		send[k] = nil
	}
	for k, value := range a.Metadata {
		send[k] = value
	}
	return act(ctx, v, got, "set_metadata", object{"metadata": send}, "set the metadata of aggregate "+a.Name)
}

// act does what an aggregate has to be asked for.
func act(ctx context.Context, v *view, got object, verb string, what object, doing string) error {
	defer v.forget(aggregates())
	return v.write(ctx, request{
		service: "compute", method: http.MethodPost, path: "os-aggregates/" + got.text("id") + "/action", body: object{verb: what}, doing: doing,
	})
}

// takeOut takes a host out of an aggregate. When Nova has forgotten the host, its place
// is forgotten, too.
func takeOut(ctx context.Context, v *view, got object, host string) error {
	err := act(ctx, v, got, "remove_host", object{"host": host}, fmt.Sprintf("take %s out of aggregate %s", host, got.text("name")))
	if statusOf(err) == http.StatusNotFound {
		return nil
	}
	return err
}

func hostsOf(aggregate object) []string {
	list, _ := aggregate["hosts"].([]any)
	var out []string
	for _, h := range list {
		out = append(out, fmt.Sprint(h))
	}
	return out
}

// AggregateHost is a host in an aggregate. A host that is removed leaves its
// aggregates by itself.
type AggregateHost struct {
	Aggregate string `json:"aggregate" required:"true" doc:"Name of the aggregate."`
	Host      string `json:"host" required:"true" doc:"Name of the host, a compute of the cloud."`
}

func aggregateHostKind() Kind {
	return Kind{
		"aggregate_host", "A host that is in an aggregate. One can be in many, but in one availability zone only.",
		"aggregate: fast\nhost: compute1\n", func() Resource { return &AggregateHost{} },
	}
}

// Kind returns "aggregate_host".
func (*AggregateHost) Kind() string { return "aggregate_host" }

// Key returns aggregate and host.
func (a *AggregateHost) Key() string { return a.Aggregate + "/" + a.Host }

// Services returns "compute".
func (*AggregateHost) Services() []string { return []string{"compute"} }

// Needs returns the aggregate and the host.
func (a *AggregateHost) Needs() []string {
	return []string{"aggregate:" + a.Aggregate, "host:" + a.Host}
}

// Validate checks the declaration.
func (a *AggregateHost) Validate() error {
	return errors.Join(validName("aggregate", a.Aggregate), validName("host", a.Host))
}

func (a *AggregateHost) identity() Resource { c := *a; return &c }

// find returns the aggregate, and whether the host is in it.
func (a *AggregateHost) find(ctx context.Context, v *view) (got object, in bool, err error) {
	all, err := v.list(ctx, aggregates())
	if err != nil {
		return nil, false, err
	}
	got, err = pick(all, "aggregate "+a.Aggregate, object{"name": a.Aggregate})
	return got, slices.Contains(hostsOf(got), a.Host), err
}

func (a *AggregateHost) observe(ctx context.Context, v *view) (drift.Report, error) {
	if _, in, err := a.find(ctx, v); err != nil || in {
		return drift.Report{Status: drift.InSync}, err
	}
	return drift.Missing(), nil
}

func (a *AggregateHost) apply(ctx context.Context, v *view) error {
	got, in, err := a.find(ctx, v)
	if err != nil || in {
		return err
	}
	if got == nil {
		return fmt.Errorf("cannot put %s into aggregate %s: there is none", a.Host, a.Aggregate)
	}
	return act(ctx, v, got, "add_host", object{"host": a.Host}, fmt.Sprintf("put %s into aggregate %s", a.Host, a.Aggregate))
}

func (a *AggregateHost) remove(ctx context.Context, v *view) error {
	got, in, err := a.find(ctx, v)
	if err != nil || !in {
		return err
	}
	return takeOut(ctx, v, got, a.Host)
}

// Zones puts hosts of servers into availability zones, each by an aggregate of the
// zone's name. zones are those of hosts by their names; "" means none.
func Zones(zones map[string]string) []Resource {
	var out []Resource
	for _, host := range slices.Sorted(maps.Keys(zones)) {
		if zone := zones[host]; zone != "" {
			out = append(out, &Aggregate{Name: zone, Zone: zone}, &AggregateHost{Aggregate: zone, Host: host})
		}
	}
	slices.SortStableFunc(out, func(a, b Resource) int { return cmp.Compare(a.Kind(), b.Kind()) })
	return slices.CompactFunc(out, func(a, b Resource) bool { return Ref(a) == Ref(b) })
}
