package api

import (
	"slices"
)

// page filters, orders and cuts a list. marker finds the object that the client
// saw last, wherever it is.
func (k *kind[T]) page(q *query, items []T, marker func(id string) (T, bool)) ([]T, *fault) {
	items, err := k.filter(q, items)
	if err != nil {
		return nil, err
	}
	order, err := k.order(q)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(items, order)
	if q.marker == "" {
		return cut(items, q.limit), nil
	}
	seen, ok := marker(q.marker)
	if !ok {
		return nil, badRequest("Supplied pagination marker '%s' is not valid.", q.marker)
	}
	at, found := slices.BinarySearchFunc(items, seen, order)
	if q.reverse { // the page that ends before the marker
		items = items[:at]
		if q.limit > 0 && len(items) > q.limit {
			items = items[len(items)-q.limit:]
		}
		return items, nil
	}
	if found {
		at++
	}
	return cut(items[at:], q.limit), nil
}

func cut[T any](items []T, limit int) []T {
	if limit > 0 && len(items) > limit {
		return items[:limit]
	}
	return items
}

// filter returns what matches, in a slice of its own.
func (k *kind[T]) filter(q *query, items []T) ([]T, *fault) {
	var tests []func(T) bool
	for _, f := range q.filters {
		a, ok := k.attr(f.name)
		if !ok || a.match == nil || f.name == "tenant_id" {
			return nil, errBadFilter
		}
		test, ok := a.match(f.value)
		if !ok {
			test = func(T) bool { return false } // no object has such a value
		}
		tests = append(tests, test)
	}
	if q.tagged() {
		if k.tags == nil {
			return nil, errBadFilter
		}
		tests = append(tests, func(o T) bool { return q.admits(k.tags(o)) })
	}
	out := make([]T, 0, len(items))
	for _, o := range items {
		if !slices.ContainsFunc(tests, func(t func(T) bool) bool { return !t(o) }) {
			out = append(out, o)
		}
	}
	return out, nil
}

// order compares by the sort keys, then by age and identifier, so that the order
// is total and pages neither overlap nor leave anything out.
func (k *kind[T]) order(q *query) (func(a, b T) int, *fault) {
	type step struct {
		compare func(a, b T) int
		desc    bool
	}
	var steps []step
	for _, s := range q.sort {
		a, ok := k.attr(s.name)
		if !ok || a.compare == nil {
			return nil, badRequest("Supplied sort key '%s' is not valid.", s.name)
		}
		steps = append(steps, step{a.compare, s.desc})
	}
	for _, name := range []string{"created_at", "id", "name"} {
		if a, ok := k.attr(name); ok && a.compare != nil {
			steps = append(steps, step{compare: a.compare})
		}
	}
	return func(a, b T) int {
		for _, s := range steps {
			if c := s.compare(a, b); c != 0 {
				if s.desc {
					return -c
				}
				return c
			}
		}
		return 0
	}, nil
}

// appendPage appends a whole answer: the objects, and the links to other pages.
func (k *kind[T]) appendPage(b []byte, q *query, items []T, base string) []byte {
	b = append(b, `{"`...)
	b = append(b, k.many...)
	b = append(b, `":[`...)
	for i, o := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = k.appendObject(b, o, q.fields)
	}
	b = append(b, ']')
	for _, key := range k.linkKeys() {
		b = append(b, `,"`...)
		b = append(b, key...)
		b = append(b, `":[`...)
		b = k.appendLinks(b, q, items, base)
		b = append(b, ']')
	}
	return append(b, '}')
}

// appendLinks appends "previous" when a marker was given, and "next" when the
// page is full.
func (k *kind[T]) appendLinks(b []byte, q *query, items []T, base string) []byte {
	if len(items) == 0 || q.limit == 0 {
		return b
	}
	link := func(b []byte, rel string, o T) []byte {
		b = append(b, `{"rel":"`+rel+`","href":`...)
		b = appendText(b, q.link(base, k.id(o), rel == "previous"))
		return append(b, '}')
	}
	if q.marker != "" {
		b = link(b, "previous", items[0])
	}
	if len(items) >= q.limit || q.reverse && q.marker != "" {
		if q.marker != "" {
			b = append(b, ',')
		}
		b = link(b, "next", items[len(items)-1])
	}
	return b
}
