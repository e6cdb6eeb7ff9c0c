package api

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// Volumes are all that Cinder keeps. Cloud files do not declare it: it comes and goes
// with the service.
//
// Its node is guarded: Cinder is not removed while there are volumes. There is nothing
// else to it.
type Volumes struct{}

// volumesKind is not among [Kinds], as nobody declares it.
func volumesKind() Kind {
	return Kind{Name: "volumes", New: func() Resource { return &Volumes{} }}
}

// blockStorage is Cinder's type in the catalogue.
const blockStorage = "block-storage"

// Kind returns "volumes".
func (*Volumes) Kind() string { return "volumes" }

// Key returns "all".
func (*Volumes) Key() string { return "all" }

// Validate finds no fault: nobody writes it.
func (*Volumes) Validate() error { return nil }

// Services returns "block-storage".
func (*Volumes) Services() []string { return []string{blockStorage} }

// Needs returns nothing.
func (*Volumes) Needs() []string { return nil }

func (s *Volumes) identity() Resource { return s }

// observe never differs: it is not asked how many there are.
func (*Volumes) observe(context.Context, *view) (drift.Report, error) {
	var b drift.Builder
	return b.Report(), nil
}

func (*Volumes) apply(context.Context, *view) error  { return nil }
func (*Volumes) remove(context.Context, *view) error { return nil }

// outlives returns nothing.
func (*Volumes) outlives() []string { return nil }

// object says which volumes there are.
func (*Volumes) object(ctx context.Context, v *view) error {
	v.memo.forget()
	found, err := v.list(ctx, collection{service: blockStorage, path: "volumes/detail", query: "all_tenants=1", plural: "volumes"})
	if isAbsent(err) {
		return nil // where there is no such service there are no volumes
	}
	if err != nil {
		return fmt.Errorf("it cannot be seen which volumes there are: %w", err)
	}
	if len(found) == 0 {
		return nil
	}
	return errors.New(volumesInTheWay(found))
}

// seal only looks: nothing keeps others from making volumes in the moment that is left.
func (s *Volumes) seal(ctx context.Context, v *view) error { return s.object(ctx, v) }

// volumesInTheWay names volumes, and says how to go on.
func volumesInTheWay(found []object) string {
	var names []string
	for _, s := range found[:min(len(found), shownServers)] {
		name := s.text("id")
		if n := s.text("name"); n != "" {
			name = n + " (" + name
		} else {
			name = "(" + name
		}
		names = append(names, name+", "+s.text("status")+")")
	}
	if more := len(found) - len(names); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return fmt.Sprintf("Cinder has volumes: %s. Nothing was changed. Delete them with their snapshots (updraft openstack -- volume delete --purge ID), "+
		"or put cinder back into services", strings.Join(names, ", "))
}
