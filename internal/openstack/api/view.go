package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
)

// collection is a list of things of the API.
type collection struct {
	service string // type in the catalogue
	path    string // below the API's base
	query   string // of the list
	// plural and single are the keys under which bodies hold the things. No
	// single: a thing is the body itself.
	plural, single string
	// method is how a thing is changed; empty: not at all.
	method string
	// exact says that path is where the list is read.
	exact bool
}

// The collections.
func domains() collection {
	return collection{service: "identity", path: "domains", plural: "domains", single: "domain", method: http.MethodPatch}
}

func networks() collection {
	return collection{service: "network", path: "networks", plural: "networks", single: "network", method: http.MethodPut}
}

func subnets() collection {
	return collection{service: "network", path: "subnets", plural: "subnets", single: "subnet", method: http.MethodPut}
}

func images() collection {
	// Glance's pages hold 25 unless more are asked for, and no community images
	// unless all are.
	return collection{service: "image", path: "images", query: "limit=1000&visibility=all", plural: "images", method: http.MethodPatch}
}

func flavors() collection {
	// A "detail" list holds extra specs; is_public=None lists private ones too.
	return collection{service: "compute", path: "flavors", query: "is_public=None", plural: "flavors", single: "flavor"}
}

// listPath is where the whole list is read.
func (c collection) listPath() string {
	path := c.path
	if c.plural == "flavors" && !c.exact {
		path += "/detail"
	}
	if c.query != "" {
		path += "?" + c.query
	}
	return path
}

// wrapped returns a body that holds the thing.
func (c collection) wrapped(o object) any {
	if c.single == "" {
		return o
	}
	return map[string]any{c.single: o}
}

// unwrap returns the thing that an answer holds.
func (c collection) unwrap(doc object) object {
	if c.single == "" {
		return doc
	}
	o, _ := doc[c.single].(map[string]any)
	return o
}

// memo keeps lists for the time of an observation and of what is applied after
// it, in which our own changes are noted.
type memo struct {
	mu    sync.Mutex
	lists map[string]*listing
}

type listing struct {
	mu     sync.Mutex
	loaded bool
	things []object
}

func newMemo() *memo { return &memo{lists: map[string]*listing{}} }

func (m *memo) of(key string) *listing {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.lists[key]
	if l == nil {
		l = &listing{}
		m.lists[key] = l
	}
	return l
}

// forget has the list read again; all lists without a key.
func (m *memo) forget(keys ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(keys) == 0 {
		clear(m.lists)
	}
	for _, k := range keys {
		delete(m.lists, k)
	}
}

// view is how resources see the API: through lists that are read once.
type view struct {
	c       *Client
	memo    *memo
	secrets func(name string) (string, error)
	// applying says that what is not in a list may have come since.
	applying bool
	log      func(line string)
}

func key(c collection) string { return c.service + "/" + c.listPath() }

// list returns all things of a collection.
func (v *view) list(ctx context.Context, c collection) ([]object, error) {
	l := v.memo.of(key(c))
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.loaded {
		things, err := v.c.list(ctx, c)
		if err != nil {
			return nil, err
		}
		l.things, l.loaded = things, true
	}
	return slices.Clone(l.things), nil
}

// note keeps a list up to date with a thing as an answer showed it.
func (v *view) note(c collection, o object) {
	l := v.memo.of(key(c))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.things = slices.DeleteFunc(l.things, func(x object) bool { return x.text("id") == o.text("id") })
	l.things = append(l.things, o)
}

// gone takes a thing out of a list.
func (v *view) gone(c collection, id string) {
	l := v.memo.of(key(c))
	l.mu.Lock()
	defer l.mu.Unlock()
	l.things = slices.DeleteFunc(l.things, func(x object) bool { return x.text("id") == id })
}

// forget has a collection read again.
func (v *view) forget(c collection) { v.memo.forget(key(c)) }

// write sends a request that changes something. If the world turns out not to be
// as it was seen, all is seen anew.
func (v *view) write(ctx context.Context, r request) error {
	err := v.c.call(ctx, r)
	if s := statusOf(err); s == http.StatusConflict || s == http.StatusNotFound {
		v.memo.forget()
	}
	return err
}

// list reads all pages of a collection.
func (c *Client) list(ctx context.Context, coll collection) ([]object, error) {
	var out []object
	for path := coll.listPath(); path != ""; {
		var doc object
		r := request{service: coll.service, path: path, out: &doc, doing: "list " + coll.plural}
		if err := c.call(ctx, r); err != nil {
			return nil, err
		}
		page, ok := doc[coll.plural].([]any)
		if !ok {
			return nil, fmt.Errorf("cannot list %s: the answer holds none", coll.plural)
		}
		for _, x := range page {
			if o, ok := x.(map[string]any); ok {
				out = append(out, o)
			}
		}
		path = nextPage(doc, coll.plural)
	}
	return out, nil
}

// nextPage returns the path of the next page. Hosts in links are those that the
// service believes to be on, so only path and query count.
func nextPage(doc object, plural string) string {
	next, _ := doc["next"].(string) // Glance
	if links, ok := doc[plural+"_links"].([]any); ok {
		for _, l := range links { // Nova, Neutron
			if link, ok := l.(map[string]any); ok && link["rel"] == "next" {
				next, _ = link["href"].(string)
			}
		}
	}
	if links, ok := doc["links"].(map[string]any); ok && links["next"] != nil {
		next, _ = links["next"].(string) // Keystone
	}
	u, err := url.Parse(next)
	if err != nil || next == "" {
		return ""
	}
	return u.RequestURI()
}

// pick returns the one thing that agrees with match, or nil. Two are an error.
func pick(things []object, what string, match object) (object, error) {
	var found []object
	for _, o := range things {
		if o.agrees(match) {
			found = append(found, o)
		}
	}
	if len(found) > 1 {
		return nil, fmt.Errorf("%s is not clear: %s and %s are both called that (%d in all); remove or rename all but one",
			what, found[0].text("id"), found[1].text("id"), len(found))
	}
	if len(found) == 0 {
		return nil, nil //nolint:nilnil // nothing found is an answer
	}
	return found[0], nil
}

// ref returns the ID of the thing that agrees with match.
func (v *view) ref(ctx context.Context, c collection, name string, match object) (string, error) {
	for again := v.applying; ; again = false {
		things, err := v.list(ctx, c)
		if err != nil {
			return "", err
		}
		o, err := pick(things, c.what()+" "+name, match)
		if err != nil || o != nil {
			return o.text("id"), err
		}
		if !again {
			return "", &absentError{c.what(), name}
		}
		v.forget(c)
	}
}

// what is what people call a thing of the collection.
func (c collection) what() string {
	if c.single == "" {
		return strings.TrimSuffix(c.plural, "s")
	}
	return strings.ReplaceAll(c.single, "_", " ")
}

func (v *view) domain(ctx context.Context, name string) (string, error) {
	if name == "" {
		name = "Default"
	}
	return v.ref(ctx, domains(), name, object{"name": name})
}

// project returns the ID of a project; that of the token for an empty name.
func (v *view) project(ctx context.Context, name string) (string, error) {
	if name == "" {
		return v.c.ProjectID()
	}
	return v.ref(ctx, projects(), name, object{"name": name})
}

// within returns the ID of a thing of Neutron: that of the project, or else one
// that others share.
func (v *view) within(ctx context.Context, c collection, name, project string) (string, error) {
	id, err := v.ref(ctx, c, name, object{"name": name, "project_id": project})
	var absent *absentError
	if !errors.As(err, &absent) {
		return id, err
	}
	return v.ref(ctx, c, name, object{"name": name})
}

// object is a thing as the API shows it.
type object map[string]any

// text returns an attribute as text: nothing for null, JSON for what is not a
// string.
func (o object) text(key string) string { return canonical(o[key]) }

// agrees reports whether all attributes of match are the same.
func (o object) agrees(match object) bool {
	for k, want := range match {
		if o.text(k) != canonical(want) {
			return false
		}
	}
	return true
}

// clone returns a copy with more attributes.
func (o object) with(more object) object {
	out := maps.Clone(o)
	if out == nil {
		out = object{}
	}
	maps.Copy(out, more)
	return out
}
