// Package resource is the contract of host resources: the smallest things on a
// host that have a desired state, such as a file, a user or a systemd unit.
//
// One directory per kind lies below this one. The same code serves both ends:
// the deployer decodes and validates a resource and plans with it; the host
// agent observes, applies and removes it. All kinds pass the suite in
// resourcetest.
package resource

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Resource is one thing with a desired state.
//
// Implementations are plain structs that encode to JSON (fields tagged json and
// doc) and hold no state besides the desired one. The methods that take a
// [Host] run on the host.
type Resource interface {
	// Kind returns the kind's name, such as "file".
	Kind() string
	// Key tells the resource from others of its kind on the same host, such as
	// the path of a file. It never holds a newline.
	Key() string
	// Validate reports what is wrong with the desired state, as far as it can
	// be known without a host. A fault of one field is a [*FieldError]; several
	// are joined with errors.Join.
	Validate() error
	// Observe compares the world with the desired state. It changes nothing and
	// compares only what is managed: a field left empty is left alone.
	Observe(ctx context.Context, h Host) (drift.Report, error)
	// Apply makes the world agree. It is idempotent and may be cut off at any
	// point; the next Apply finishes the job. found is what Observe said just
	// before. After a nil error Observe reports InSync.
	Apply(ctx context.Context, h Host, found drift.Report, why Cause) error
	// Remove takes back what Apply made. made is true when the thing did not
	// exist before updraft made it; otherwise what was there before is restored
	// where it was kept, or left alone. A thing already gone is no error.
	Remove(ctx context.Context, h Host, made bool) error
}

// Cause says why Apply is called for a resource, apart from what was found.
type Cause struct {
	// Triggered lists resources that were changed in this run and on whose
	// change this one acts even if it is in sync (a unit reloads when its
	// configuration file has changed).
	Triggered []string `json:"triggered,omitempty"`
	// Made says that updraft's state knows the thing as one that did not exist
	// before updraft made it. What drifted since is then not worth keeping;
	// false, where nothing is known, costs no more than a needless copy.
	Made bool `json:"made,omitempty"`
}

// Prober is a resource with a payload that Observe can do without. Probe
// returns a copy in which the payload is replaced by its digest.
type Prober interface{ Probe() Resource }

// Remover is a resource whose Remove needs less than the whole. Removal returns
// that smaller copy, which is kept in updraft's state: it holds no secret.
type Remover interface{ Removal() Resource }

// Sensitive is a resource whose values must not be shown.
type Sensitive interface{ IsSensitive() bool }

// Needer is a resource that needs others if they are managed on the same host:
// a file its directory and its owner. Needs returns references such as
// "directory:/etc/nginx"; those that match nothing are ignored.
type Needer interface{ Needs() []string }

// Rebooter is a resource whose Apply takes the host down and back up. Apply
// then returns nil before the host goes down, and the caller waits for a new
// boot before it observes again.
type Rebooter interface{ Reboots() bool }

// Service is a resource of something that works all the time and is missed while it
// does not. What works is changed on one host of a group at a time.
type Service interface {
	// Works reports whether, as it was found, it does its work, be it by an older
	// configuration.
	Works(found drift.Report) bool
	// Disturbs reports whether Apply would touch one that works: end it, restart it,
	// or have it read another configuration. triggered is as in [Cause].
	Disturbs(found drift.Report, triggered []string) bool
}

// Settler is a resource of which some attributes may come right by themselves
// after Apply, such as whether a member of a cluster that is just forming answers.
// When only these differ after Apply, it is tried again.
type Settler interface{ Settles(attr string) bool }

// Batcher is a resource of which several can be applied at a fraction of the
// cost of one after the other, such as packages. The host agent collects those
// waiting at the same time and calls ApplyBatch of the first with all of them.
// The result holds one error per resource.
type Batcher interface {
	ApplyBatch(ctx context.Context, h Host, all []Resource, found []drift.Report) []error
}

// Joiner is a resource that, with others of its kind, can be brought into its
// state at a fraction of the cost in the usual case, such as units that are only
// to be enabled and started. The host agent collects those waiting at the same
// time and calls ApplyTogether of the first with all of them. It returns which
// are in their state; the others, for whatever reason, are applied alone, so
// that errors and special cases are those of Apply. It must be quick: what takes
// its time is left to Apply. It calls [Host.Forget] after changes that the host
// does not notice by itself, as nobody else does before those that are done are
// observed.
type Joiner interface {
	ApplyTogether(ctx context.Context, h Host, all []Resource, why []Cause) (done []bool)
}

// Preparer is a resource that can gather facts for many of its kind at once.
// Prepare is called once per kind before a batch of Observe calls, with all
// resources of that kind; it stores what it learned with [Host.Memo].
type Preparer interface {
	Prepare(ctx context.Context, h Host, all []Resource) error
}

// FieldError is a fault in one field of a resource, for a diagnostic that
// points at the field in the cloud file.
type FieldError struct {
	Field string // name as in JSON, such as "mode"
	Msg   string // what is wrong, without the field's name
	Mend  string // how to mend it; may be empty
}

// Error renders field: message.
func (e *FieldError) Error() string { return e.Field + ": " + e.Msg }

// Fieldf returns a [*FieldError].
func Fieldf(field, mend, format string, args ...any) error {
	return &FieldError{Field: field, Msg: fmt.Sprintf(format, args...), Mend: mend}
}

// Ref returns the reference kind:key of a resource on its host.
func Ref(r Resource) string { return r.Kind() + ":" + r.Key() }

// SplitRef splits kind:key.
func SplitRef(ref string) (kind, key string, ok bool) { return strings.Cut(ref, ":") }

// Probe returns what is sent to a host to observe r.
func Probe(r Resource) Resource {
	if p, ok := r.(Prober); ok {
		return p.Probe()
	}
	return r
}

// Removal returns what is kept to remove r later.
func Removal(r Resource) Resource {
	if p, ok := r.(Remover); ok {
		return p.Removal()
	}
	return r
}

// IsSensitive reports whether the values of r must not be shown.
func IsSensitive(r Resource) bool {
	s, ok := r.(Sensitive)
	return ok && s.IsSensitive()
}

// Kind describes one kind: its name, what it is for, and how to make an empty
// one to decode into.
type Kind struct {
	Name string
	Doc  string          // one or two sentences, for the reference
	New  func() Resource // a pointer to a zero value
	// Example is the body of an inline resource in a cloud file, as YAML flow
	// or block text; tests hold it valid.
	Example string
}

// Registry is a fixed set of kinds.
type Registry struct{ kinds map[string]Kind }

// NewRegistry returns a registry of the given kinds. It panics if two share a
// name, which is a mistake in the program.
func NewRegistry(kinds ...Kind) *Registry {
	r := &Registry{kinds: make(map[string]Kind, len(kinds))}
	for _, k := range kinds {
		if _, dup := r.kinds[k.Name]; dup {
			panic("resource: kind " + k.Name + " registered twice")
		}
		r.kinds[k.Name] = k
	}
	return r
}

// Lookup returns the kind of that name.
func (r *Registry) Lookup(name string) (Kind, bool) {
	k, ok := r.kinds[name]
	return k, ok
}

// Kinds returns all kinds by name.
func (r *Registry) Kinds() []Kind {
	out := make([]Kind, 0, len(r.kinds))
	for _, k := range r.kinds {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Decode makes a resource of the named kind from JSON that updraft wrote itself.
func (r *Registry) Decode(kind string, body json.RawMessage) (Resource, error) {
	k, ok := r.kinds[kind]
	if !ok {
		return nil, fmt.Errorf("resource kind %q is not known to this version", kind)
	}
	res := k.New()
	if err := json.Unmarshal(body, res); err != nil {
		return nil, fmt.Errorf("cannot decode %s: %w", kind, err)
	}
	return res, nil
}
