package agents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// secretsOf is what this process knows of a load balancer's secrets.
type secretsOf struct {
	told  map[string]bool   // refs of which the key manager knows who uses them
	names map[string]string // of what the refs stand for, empty where nothing is left
	why   string            // some could not be read
}

// regret notes that a secret could not be read.
func (s *secretsOf) regret(ref string, err error) {
	switch {
	case err != nil && s.why == "":
		s.why = err.Error()
	case err != nil:
		s.why += "; nor " + ref
	}
}

// Kept returns what was found out when the secrets were last fetched.
func (r *Remote) Kept(lb string) (names map[string]string, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if k := r.known[lb]; k != nil {
		return k.names, k.why
	}
	return nil, ""
}

// fetched is what the refs of a load balancer stand for.
type fetched struct {
	data map[string][]byte // PEM
	kept map[string]string // names of those that cannot be read any longer
	lost map[string]bool   // refs of which nothing is left
}

// secrets fetches them. A key manager that does not answer, or has a secret no longer,
// does not keep a load balancer from other changes: its amphorae go on with what they
// have. One that has nothing yet waits for an answer, and is without the listeners
// whose secrets are gone for good; those that are with it, too, from then on.
func (r *Remote) secrets(ctx context.Context, want control.Want) (*fetched, error) {
	lb, all, fresh := want.Tree.LB, refs(want.Tree), booting(want)
	f := &fetched{data: map[string][]byte{}, kept: map[string]string{}, lost: map[string]bool{}}
	now := &secretsOf{told: map[string]bool{}, names: map[string]string{}}
	var away error
	for _, ref := range slices.Sorted(maps.Keys(all)) {
		data, err := r.next(ctx, ref, all[ref], &away)
		name, known := lb.SecretNames[ref]
		given := known || slices.Contains(lb.SecretRefs, ref)
		switch {
		case err == nil:
			f.data[ref], name = data, amphora.ContentName(data)
			now.told[ref] = r.tell(ctx, ref, lb.ID)
		case known && name == "", driver.Permanent(err) && (fresh || !given):
			f.lost[ref], name = true, ""
		case !fresh && name != "":
			f.kept[ref] = name
		default:
			return nil, err
		}
		now.names[ref] = name
		now.regret(ref, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known[lb.ID] = now; len(all) == 0 {
		delete(r.known, lb.ID)
	}
	return f, nil
}

// booting reports whether an amphora has nothing yet.
func booting(want control.Want) bool {
	is := func(a *model.Amphora) bool { return a.Status == model.AmphoraBooting }
	return is(want.Amphora) || slices.ContainsFunc(want.Tree.Amphorae(), is)
}

// next fetches a secret, unless the key manager did not answer for one before: a pass
// has to leave time for the agents.
func (r *Remote) next(ctx context.Context, ref string, pair bool, away *error) (data []byte, err error) {
	if *away != nil {
		return nil, *away
	}
	if data, err = r.fetch(ctx, ref, pair); errors.Is(err, driver.ErrUnavailable) {
		*away = err
	}
	return data, err
}

// fetchDeadline bounds the look for one secret, and the word of who uses it.
const fetchDeadline = 10 * time.Second

func (r *Remote) fetch(ctx context.Context, ref string, pair bool) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchDeadline)
	defer cancel()
	if !pair {
		data, err := r.opts.Secrets.Secret(ctx, ref)
		if err != nil {
			return nil, fmt.Errorf("cannot use the secret %s: %w", ref, err)
		}
		return data, nil
	}
	c, err := r.opts.Secrets.Certificate(ctx, ref)
	if err != nil {
		return nil, fmt.Errorf("cannot use the certificate %s: %w", ref, err)
	}
	return bytes.Join([][]byte{c.Certificate, c.Intermediates, c.Key}, nil), nil
}

// tell tells the key manager who uses a secret, once as long as it is used, and
// reports whether it knows. Who may read and not say so may use it nevertheless.
func (r *Remote) tell(ctx context.Context, ref, lb string) bool {
	consumers, ok := r.opts.Secrets.(driver.Consumers)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, fetchDeadline)
	defer cancel()
	r.mu.Lock()
	k := r.known[lb]
	r.mu.Unlock()
	return k != nil && k.told[ref] || consumers.Register(ctx, ref, lb) == nil
}

// without leaves out the listeners that cannot be there without a secret.
func without(t render.Tree, lost map[string]bool) render.Tree {
	if len(lost) == 0 {
		return t
	}
	pools := map[string]bool{}
	for _, p := range t.Pools {
		pools[p.ID] = lost[p.TLSContainerRef] || lost[p.CATLSContainerRef] || lost[p.CRLContainerRef]
	}
	listeners := map[string]bool{}
	for _, y := range t.Policies {
		listeners[y.ListenerID] = listeners[y.ListenerID] || pools[y.RedirectPoolID]
	}
	t.Listeners = slices.DeleteFunc(slices.Clone(t.Listeners), func(l *model.Listener) bool {
		own := append([]string{l.DefaultTLSContainerRef, l.ClientCATLSRef, l.ClientCRLRef}, l.SNIContainerRefs...)
		return listeners[l.ID] || pools[l.DefaultPoolID] || slices.ContainsFunc(own, func(ref string) bool { return lost[ref] })
	})
	return t
}
