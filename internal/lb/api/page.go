package api

import (
	"iter"
	"slices"
	"strings"
)

// source is where a list comes from. sorted says that it is in the order of lists
// that are not told another: by creation, then identifier.
type source[T any] struct {
	all    iter.Seq[T]
	sorted bool
	// marker finds the object that the client saw last, wherever it is.
	marker func(id string) (T, bool)
}

// page filters, orders and cuts a list. It holds two pages at most, however long
// the list is.
func (k *kind[T]) page(q *query, from source[T]) ([]T, *fault) {
	admits, err := k.filter(q)
	if err != nil {
		return nil, err
	}
	order, err := k.order(q)
	if err != nil {
		return nil, err
	}
	if q.marker != "" {
		seen, ok := from.marker(q.marker)
		if !ok {
			return nil, badRequest("Supplied pagination marker '%s' is not valid.", q.marker)
		}
		matches := admits
		if q.reverse { // the page that ends before the marker
			admits = func(o T) bool { return matches(o) && order(o, seen) < 0 }
			last := func(a, b T) int { return order(b, a) }
			items := first(from.all, admits, last, q.limit, false)
			slices.Reverse(items)
			return items, nil
		}
		admits = func(o T) bool { return matches(o) && order(o, seen) > 0 }
	}
	return first(from.all, admits, order, q.limit, from.sorted && len(q.sort) == 0), nil
}

// first returns the first objects in an order, all without a limit. What lies
// behind those that were found already is dropped at once, the others now and then.
func first[T any](all iter.Seq[T], admits func(T) bool, order func(a, b T) int, limit int, sorted bool) []T {
	var found []T
	full := false // then the last of the first ones is a bound
	for o := range all {
		if full && order(o, found[limit-1]) > 0 || !admits(o) {
			continue
		}
		found = append(found, o)
		switch {
		case limit == 0:
		case sorted && len(found) == limit:
			return found
		case !sorted && len(found) == 2*limit:
			slices.SortFunc(found, order)
			found, full = found[:limit], true
		}
	}
	if !sorted {
		slices.SortFunc(found, order)
	}
	return cut(found, limit)
}

func cut[T any](items []T, limit int) []T {
	if limit > 0 && len(items) > limit {
		return items[:limit]
	}
	return items
}

// filter returns what asks whether an object matches.
func (k *kind[T]) filter(q *query) (func(T) bool, *fault) {
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
	return func(o T) bool {
		return !slices.ContainsFunc(tests, func(t func(T) bool) bool { return !t(o) })
	}, nil
}

// order compares by the sort keys, then by age and identifier, so that the order
// is total and pages neither overlap nor leave anything out.
func (k *kind[T]) order(q *query) (func(a, b T) int, *fault) {
	type step struct {
		compare func(a, b T) int
		desc    bool
	}
	var steps []step
	seen := map[string]bool{} // a key that is repeated orders nothing
	for _, s := range q.sort {
		if seen[s.name] {
			continue
		}
		seen[s.name] = true
		a, ok := k.attr(s.name)
		if !ok || a.compare == nil {
			return nil, badRequest("Supplied sort key '%s' is not valid.", s.name)
		}
		steps = append(steps, step{a.compare, s.desc})
	}
	for _, name := range []string{"created_at", "id"} {
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
		return strings.Compare(k.id(a), k.id(b))
	}, nil
}

// appendPage appends a whole answer: the objects, and the links to other pages.
func (k *kind[T]) appendPage(b []byte, q *query, items []T, base string) []byte {
	b = append(b, `{"`...)
	b = append(b, k.many...)
	b = append(b, `":[`...)
	attrs := k.chosen(q.fields) // once: a request may name thousands
	for i, o := range items {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendObject(b, o, attrs)
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
