package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// Scope is the name of the scope in which things of the API are executed.
const Scope = "openstack"

// Resource is a thing in the cloud's API with a desired state. The kinds are
// plain structs that are decoded from JSON (fields tagged json and doc).
type Resource interface {
	// Kind returns the kind's name, such as "network".
	Kind() string
	// Key tells the resource from others of its kind. It never holds a newline.
	Key() string
	// Validate reports what is wrong with the declaration, as far as it can be
	// known without the cloud. Faults of fields are [*resource.FieldError],
	// several are joined.
	Validate() error
	// Services are the types of the services that keep it, such as "network".
	Services() []string
	// Needs returns references (kind:key) to what it needs if that is declared
	// too. Those that match nothing are ignored: they may be there already.
	Needs() []string
	// identity returns a copy with only what it takes to find the thing.
	identity() Resource
}

// thinger is a resource that is one thing of a collection.
type thinger interface {
	thing(ctx context.Context, v *view) (*thing, error)
}

// Kind describes a kind.
type Kind struct {
	Name string
	Doc  string // one or two sentences, for the reference
	// Example is the body of such a resource in a cloud file, as YAML.
	Example string
	// New returns a pointer to a zero value, to decode into.
	New func() Resource
}

// Kinds returns all kinds by name.
func Kinds() []Kind {
	return []Kind{
		aggregateKind(), aggregateHostKind(), domainKind(), endpointKind(), flavorKind(), imageKind(), keypairKind(), networkKind(), projectKind(), quotaKind(),
		roleKind(), roleAssignmentKind(), routerKind(), securityGroupKind(), serviceKind(), subnetKind(), userKind(),
	}
}

// Ref returns the reference kind:key.
func Ref(r Resource) string { return r.Kind() + ":" + r.Key() }

// ID returns the ID that the resource's node has in the graph.
func ID(r Resource) string { return Scope + "/" + Ref(r) }

// Body is a resource as the body of a node. It implements [engine.Body].
type Body struct{ Resource Resource }

// Digest implements [engine.Body]. No kind holds a secret, only names of some.
func (b Body) Digest() string {
	sum := sha256.Sum256(encode(b.Resource))
	return hex.EncodeToString(sum[:])
}

// Removal implements [engine.Body].
func (b Body) Removal() json.RawMessage { return encode(b.Resource.identity()) }

func encode(r Resource) json.RawMessage {
	b, err := json.Marshal(r)
	if err != nil {
		panic("api: " + err.Error()) // plain structs always encode
	}
	return b
}

// decode returns what a record says how to find.
func decode(kind string, removal json.RawMessage) (Resource, error) {
	kind = strings.TrimPrefix(kind, kindPrefix)
	for _, k := range append(Kinds(), hostKind(), controllerKind(), volumesKind()) {
		if k.Name != kind {
			continue
		}
		r := k.New()
		if err := json.Unmarshal(removal, r); err != nil {
			return nil, fmt.Errorf("the state of a %s is damaged: %w", kind, err)
		}
		return r, nil
	}
	return nil, fmt.Errorf("the API has no resources of kind %s that this version knows", kind)
}

// kindPrefix tells kinds of nodes from those of hosts, which have images and
// networks of their own.
const kindPrefix = "openstack."

// Nodes makes nodes of the resources, with edges between those that need each
// other. A resource of a service also needs the ways to that service, if
// they are among them. Resources of one reference must be the same; they become
// one node.
func Nodes(resources []Resource) ([]*engine.Node, error) {
	known := map[string]Resource{}
	doors := map[string][]string{} // endpoints that updraft uses, by type of service
	var errs []error
	for _, r := range resources {
		ref := Ref(r)
		if before := known[ref]; before != nil && string(encode(before)) != string(encode(r)) {
			errs = append(errs, fmt.Errorf("%s is declared twice, in different ways", ref))
		}
		known[ref] = r
		if e, ok := r.(*Endpoint); ok && e.Interface != "admin" && e.Type != "identity" {
			doors[e.Type] = append(doors[e.Type], ref)
		}
	}
	ways := waysOut(resources)
	var nodes []*engine.Node
	for _, r := range resources {
		if known[Ref(r)] != r {
			continue
		}
		needs := slices.Concat(r.Needs(), ways[r])
		for _, s := range r.Services() {
			needs = append(needs, doors[s]...)
		}
		n := Node(r)
		n.Needs = among(known, Ref(r), needs)
		nodes = append(nodes, n)
	}
	return nodes, errors.Join(errs...)
}

// among returns the IDs of those needs that are declared.
func among(known map[string]Resource, own string, needs []string) []string {
	var out []string
	for _, need := range needs {
		if known[need] != nil && need != own {
			out = append(out, Scope+"/"+need)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// waysOut returns the subnets of each router's external network: without one, the
// router would get no address there.
func waysOut(resources []Resource) map[Resource][]string {
	out := map[Resource][]string{}
	for _, r := range resources {
		router, ok := r.(*Router)
		for _, s := range resources {
			if subnet, is := s.(*Subnet); ok && is && router.External != "" && subnet.Network == router.External {
				out[r] = append(out[r], Ref(s))
			}
		}
	}
	return out
}

// Node returns a node without edges.
func Node(r Resource) *engine.Node {
	n := &engine.Node{
		ID: ID(r), Kind: kindPrefix + r.Kind(), Key: r.Key(), Scope: Scope, Phase: engine.Start, Body: Body{r},
	}
	if g, ok := r.(guarded); ok {
		n.Guarded, n.Outlives = true, g.outlives()
	}
	return n
}

// Validation that several kinds share.

// maxName is the length of names, in characters, that all services take
// (Keystone's project names are the shortest).
const maxName = 64

func validName(field, name string) error {
	switch {
	case name == "":
		return resource.Fieldf(field, "give it a name", "is required")
	case len(name) > maxName:
		return resource.Fieldf(field, "shorten it", "has more than %d characters", maxName)
	case strings.TrimSpace(name) != name || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return resource.Fieldf(field, "use letters, digits and punctuation", "%q begins or ends with a blank, or holds control characters", name)
	}
	return nil
}

func validOptional(field, name string) error {
	if name == "" {
		return nil
	}
	return validName(field, name)
}

func validOneOf(field, value string, allowed ...string) error {
	if value == "" || slices.Contains(allowed, value) {
		return nil
	}
	return resource.Fieldf(field, "use one of "+strings.Join(allowed, ", "), "%q is none of those", value)
}

// inProject is the key of something that belongs to a project.
func inProject(project, name string) string {
	if project == "" {
		return name
	}
	return project + "/" + name
}

// projectNeed is a reference to a project, or none for that of the token.
func projectNeed(project string) []string {
	if project == "" {
		return nil
	}
	return []string{"project:" + project}
}
