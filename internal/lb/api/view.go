package api

import (
	"strconv"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

// row is an object with the tree that it is in, which knows its neighbours.
type row[M any] struct {
	o    M
	tree *store.Tree
}

// based is what has the attributes that all objects of tenants have.
type based interface{ Common() *model.Base }

func base[M based](r row[M]) *model.Base { return r.o.Common() }

// Parts of the tables below, by the groups in which Octavia writes them.

func identity[M based]() []attribute[row[M]] {
	return []attribute[row[M]]{textual("id", func(r row[M]) string { return base(r).ID })}
}

func names[M based]() []attribute[row[M]] {
	return []attribute[row[M]]{
		textual("name", func(r row[M]) string { return base(r).Name }),
		textual("description", func(r row[M]) string { return base(r).Description }),
	}
}

func statuses[M based]() []attribute[row[M]] {
	return []attribute[row[M]]{
		textual("provisioning_status", func(r row[M]) model.ProvisioningStatus { return base(r).ProvisioningStatus }),
		textual("operating_status", func(r row[M]) model.OperatingStatus { return base(r).OperatingStatus }),
		toggle("admin_state_up", func(r row[M]) bool { return base(r).AdminStateUp }),
	}
}

func owner[M based]() []attribute[row[M]] {
	project := textual("project_id", func(r row[M]) string { return base(r).ProjectID })
	return []attribute[row[M]]{project, renamed("tenant_id", project)}
}

func history[M based]() []attribute[row[M]] {
	return []attribute[row[M]]{
		moment("created_at", func(r row[M]) time.Time { return base(r).CreatedAt }),
		moment("updated_at", func(r row[M]) time.Time { return base(r).UpdatedAt }),
	}
}

func tagsOf[M based]() []attribute[row[M]] {
	return []attribute[row[M]]{shownAs("tags", arrayOf("string"), func(b []byte, r row[M]) []byte { return appendTexts(b, base(r).Tags) })}
}

// parent are the filters by the load balancer that an object belongs to.
func parent[M based]() []attribute[row[M]] {
	lb := hidden(textual("loadbalancer_id", func(r row[M]) string { return r.tree.LB.ID }))
	return []attribute[row[M]]{lb, renamed("load_balancer_id", lb)}
}

func attributes[T any](lists ...[]attribute[T]) []attribute[T] {
	var out []attribute[T]
	for _, l := range lists {
		out = append(out, l...)
	}
	return out
}

func tenantKind[M based](one, many string, attrs ...[]attribute[row[M]]) *kind[row[M]] {
	return &kind[row[M]]{
		one: one, many: many, attrs: attributes(attrs...),
		id:   func(r row[M]) string { return base(r).ID },
		tags: func(r row[M]) []string { return base(r).Tags },
	}
}

func arrayOf(typ string) schema { return schema{Type: "array", Items: &schema{Type: typ}} }

func appendID(b []byte, id string) []byte {
	b = append(b, `{"id":"`...)
	b = append(b, id...)
	return append(b, `"}`...)
}

// references is a list of objects of which only the identifiers are shown.
func references[M, C based](name string, list func(row[M]) []C) attribute[row[M]] {
	return shownAs(name, arrayOf("object"), func(b []byte, r row[M]) []byte { return appendIDs(b, list(r)) })
}

func appendIDs[C based](b []byte, list []C) []byte {
	b = append(b, '[')
	for i, c := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendID(b, c.Common().ID)
	}
	return append(b, ']')
}

// nestedAs is a list of whole objects, as the answer to a single-call create has.
func nestedAs[M, C based](name string, k func() *kind[row[C]], list func(row[M]) []C) attribute[row[M]] {
	return shownAs(name, arrayOf("object"), func(b []byte, r row[M]) []byte {
		b = append(b, '[')
		for i, c := range list(r) {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendObject(b, row[C]{c, r.tree}, k().attrs)
		}
		return append(b, ']')
	})
}

// lbReference is the list of the one load balancer that an object belongs to.
func lbReference[M based]() []attribute[row[M]] {
	return []attribute[row[M]]{shownAs("loadbalancers", arrayOf("object"), func(b []byte, r row[M]) []byte {
		b = appendID(append(b, '['), r.tree.LB.ID)
		return append(b, ']')
	})}
}

// optionalInt shows a number that may be missing.
func optionalInt[T any](name string, get func(T) *int) attribute[T] {
	return shownAs(name, schema{Type: "integer"}.nullable(), func(b []byte, o T) []byte { return appendInt(b, get(o)) })
}

func appendInt(b []byte, n *int) []byte {
	if n == nil {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, int64(*n), 10)
}
