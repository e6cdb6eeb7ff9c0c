package store

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// The layout of keys below the prefix:
//
//	head                     written by every transaction: its revision is the latest of all
//	lb/ID                    a load balancer; its revision is that of the whole tree
//	o/LB/KIND/ID             a child
//	m/KIND/NAME              everything else
const (
	defaultPrefix = "/updraft/lb/v1/"
	headKey       = "head"
	lbSpace       = "lb/"
	childSpace    = "o/"
	miscSpace     = "m/"
	// catalogKey is written by every change of flavors, zones and their
	// profiles: they refer to each other and are changed seldom, so one at a time.
	catalogKey = miscSpace + "catalog"
)

// keyOf returns the key of an object, without the prefix.
func keyOf(k model.Kind, p model.Place) string {
	switch {
	case k == model.KindLoadBalancer:
		return lbSpace + p.ID
	case k.IsChild():
		return childSpace + p.LoadBalancer + "/" + k.String() + "/" + p.ID
	}
	return miscSpace + k.String() + "/" + p.ID
}

// parsed is what a key says.
type parsed struct {
	kind model.Kind
	lb   string
	id   string
}

// parseKey reads a key without the prefix. Keys that are not of objects have
// KindNone.
func parseKey(key string) parsed {
	if id, ok := strings.CutPrefix(key, lbSpace); ok {
		return parsed{kind: model.KindLoadBalancer, lb: id, id: id}
	}
	if rest, ok := strings.CutPrefix(key, childSpace); ok {
		lb, rest, _ := strings.Cut(rest, "/")
		kind, id, _ := strings.Cut(rest, "/")
		return parsed{kind: model.KindOf(kind), lb: lb, id: id}
	}
	if rest, ok := strings.CutPrefix(key, miscSpace); ok {
		kind, id, ok := strings.Cut(rest, "/")
		if ok {
			return parsed{kind: model.KindOf(kind), id: id}
		}
	}
	return parsed{}
}

// decode reads the value of a key.
func decode(kind model.Kind, data []byte) (model.Stored, error) {
	o := emptyOf(kind)
	if o == nil {
		return nil, fmt.Errorf("no object is of kind %s", kind)
	}
	if err := json.Unmarshal(data, o); err != nil {
		return nil, fmt.Errorf("cannot read a %s: %w", kind, err)
	}
	return o, nil
}

func emptyOf(kind model.Kind) model.Stored {
	if kind.IsChild() {
		return familyOf[kind].empty()
	}
	switch kind {
	case model.KindLoadBalancer:
		return new(model.LoadBalancer)
	case model.KindFlavor:
		return new(model.Flavor)
	case model.KindFlavorProfile:
		return new(model.FlavorProfile)
	case model.KindAvailabilityZone:
		return new(model.AvailabilityZone)
	case model.KindAvailabilityZoneProfile:
		return new(model.AvailabilityZoneProfile)
	case model.KindQuota:
		return new(model.Quota)
	case model.KindStats:
		return new(model.AmphoraStats)
	case model.KindRecord:
		return new(model.Record)
	case model.KindClaim:
		return new(model.Claim)
	}
	return nil
}

// encode writes a value.
func encode(o model.Stored) (string, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return "", fmt.Errorf("cannot write a %s: %w", o.Kind(), err)
	}
	return string(data), nil
}
