package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
)

// actor is what can be observed, applied and removed.
type actor interface {
	observe(ctx context.Context, v *view) (drift.Report, error)
	apply(ctx context.Context, v *view) error
	remove(ctx context.Context, v *view) error
}

// thing is a resource in the terms of the API: where it is listed, by what it is
// known, and what is managed of it.
type thing struct {
	coll  collection
	name  string // for people
	match object // the attributes by which it is known
	attrs []attr
	once  object // sent when it is made, and never looked at
	// also finds further differences, and what to send so that they go away.
	also func(ctx context.Context, got object, b *drift.Builder) (object, error)
	// anew names attributes for which the thing is made anew if they differ.
	anew []string
	// make makes the thing; old, if there is one, gives way to it. Nil means
	// that it is sent to the collection, after old was deleted.
	make func(ctx context.Context, old object) (object, error)
	// patch changes the thing; nil means the collection's method.
	patch func(ctx context.Context, got, changed object) (object, error)
	// settle makes agree what is not an attribute.
	settle func(ctx context.Context, got object) error
	// empty removes what keeps the thing from being deleted.
	empty func(ctx context.Context, got object) error
}

// attr is an attribute that is managed.
type attr struct {
	name  string
	want  any
	fixed bool // cannot be changed
	set   bool // a list whose order says nothing
}

// optional adds an attribute if it is declared: a pointer, a list or a map that
// is not nil, a text that is not empty.
func (t *thing) optional(name string, want any) {
	switch w := want.(type) {
	case string:
		if w != "" {
			t.attrs = append(t.attrs, attr{name: name, want: w})
		}
	case *bool:
		if w != nil {
			t.attrs = append(t.attrs, attr{name: name, want: *w})
		}
	case int:
		if w != 0 {
			t.attrs = append(t.attrs, attr{name: name, want: w})
		}
	case []string:
		if w != nil {
			t.attrs = append(t.attrs, attr{name: name, want: w})
		}
	}
}

// fix says that attributes cannot be changed once the thing exists.
func (t *thing) fix(names ...string) {
	for i := range t.attrs {
		t.attrs[i].fixed = t.attrs[i].fixed || slices.Contains(names, t.attrs[i].name)
	}
}

func (t *thing) find(ctx context.Context, v *view) (object, error) {
	things, err := v.list(ctx, t.coll)
	if err != nil {
		return nil, err
	}
	return pick(things, t.String(), t.match)
}

// String names the thing for people.
func (t *thing) String() string { return t.coll.what() + " " + t.name }

// diff compares, and returns what to send so that it agrees.
func (t *thing) diff(ctx context.Context, got object) (drift.Report, object, error) {
	var b drift.Builder
	send := object{}
	for _, a := range t.attrs {
		have, want := a.canonical(got[a.name]), a.canonical(a.want)
		if b.Want(a.name, have, want); have != want {
			send[a.name] = a.want
		}
	}
	if t.also != nil {
		more, err := t.also(ctx, got, &b)
		if err != nil {
			return drift.Report{}, nil, err
		}
		send = send.with(more)
	}
	return b.Report(), send, nil
}

func (t *thing) observe(ctx context.Context, v *view) (drift.Report, error) {
	got, err := t.find(ctx, v)
	if err != nil {
		return drift.Report{}, err
	}
	if got == nil {
		return drift.Missing(), nil
	}
	r, _, err := t.diff(ctx, got)
	return r, err
}

func (t *thing) apply(ctx context.Context, v *view) error {
	got, err := t.find(ctx, v)
	if err != nil {
		return err
	}
	if got, err = t.bring(ctx, v, got); err != nil {
		return err
	}
	if t.settle != nil {
		return t.settle(ctx, got)
	}
	return nil
}

// bring makes the thing, or changes it.
func (t *thing) bring(ctx context.Context, v *view, got object) (object, error) {
	if got == nil {
		return t.create(ctx, v, nil)
	}
	r, send, err := t.diff(ctx, got)
	if err != nil || len(r.Changes) == 0 {
		return got, err
	}
	for _, c := range r.Changes {
		if slices.Contains(t.anew, c.Attr) {
			return t.create(ctx, v, got)
		}
	}
	for _, a := range t.attrs {
		if _, differs := send[a.name]; differs && a.fixed {
			return nil, fmt.Errorf("cannot change %s of %s from %q to %q: OpenStack does not allow it; take it out of the cloud file, run up, and put it in again",
				a.name, t, got.text(a.name), canonical(a.want))
		}
	}
	if len(send) == 0 {
		return got, nil
	}
	return t.update(ctx, v, got, send)
}

// desired is the whole thing as it is sent when it is made.
func (t *thing) desired() object {
	o := t.match.with(t.once)
	for _, a := range t.attrs {
		o[a.name] = a.want
	}
	return o
}

func (t *thing) create(ctx context.Context, v *view, old object) (object, error) {
	if t.make != nil {
		return t.make(ctx, old)
	}
	if old != nil {
		if err := t.erase(ctx, v, old); err != nil {
			return nil, err
		}
	}
	var doc object
	err := v.write(ctx, request{
		service: t.coll.service, method: http.MethodPost, path: t.coll.path,
		body: t.coll.wrapped(t.desired()), out: &doc, doing: "make " + t.String(),
	})
	if err != nil {
		return nil, err
	}
	made := t.coll.unwrap(doc)
	v.note(t.coll, made)
	return made, nil
}

func (t *thing) update(ctx context.Context, v *view, got, send object) (object, error) {
	if t.patch != nil {
		return t.patch(ctx, got, send)
	}
	var doc object
	err := v.write(ctx, request{
		service: t.coll.service, method: t.coll.method, path: t.coll.path + "/" + got.text("id"),
		body: t.coll.wrapped(send), out: &doc, doing: "change " + t.String(),
	})
	if err != nil {
		return nil, err
	}
	changed := t.coll.unwrap(doc)
	v.note(t.coll, changed)
	return changed, nil
}

func (t *thing) remove(ctx context.Context, v *view) error {
	got, err := t.find(ctx, v)
	if err != nil || got == nil {
		return err
	}
	if t.empty != nil {
		if err := t.empty(ctx, got); err != nil {
			return err
		}
	}
	return t.erase(ctx, v, got)
}

// erase deletes the thing. One that is gone already is no error.
func (t *thing) erase(ctx context.Context, v *view, got object) error {
	id := got.text("id")
	err := v.write(ctx, request{
		service: t.coll.service, method: http.MethodDelete, path: t.coll.path + "/" + id, doing: "remove " + t.String(),
	})
	if err != nil && statusOf(err) != http.StatusNotFound {
		return err
	}
	v.gone(t.coll, id)
	return nil
}

func (a attr) canonical(v any) string {
	if !a.set {
		return canonical(v)
	}
	return canonicalSet(v)
}

// canonical renders a value in one way, so that values can be compared: text as
// it is, nothing for null and for what is empty, JSON otherwise.
func canonical(v any) string {
	switch x := v.(type) {
	case nil:
		return ""
	case string:
		return x
	}
	b, err := json.Marshal(v) // sorts the keys of maps
	if err != nil {
		return fmt.Sprint(v)
	}
	if s := string(b); s != "null" && s != "[]" && s != "{}" {
		return s
	}
	return ""
}

// canonicalSet renders a list without regard to its order.
func canonicalSet(v any) string {
	b, err := json.Marshal(v)
	var elements []any
	if err != nil || json.Unmarshal(b, &elements) != nil {
		return canonical(v)
	}
	texts := make([]string, len(elements))
	for i, e := range elements {
		texts[i] = canonical(e)
	}
	slices.Sort(texts)
	return strings.Join(texts, ", ")
}
