package fleet

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// body is a host resource as a node's body.
type body struct{ resource.Resource }

// service is the body of a resource that works all the time.
type service struct {
	body
	resource.Service
}

// Body returns a resource as the body of a node.
func Body(r resource.Resource) engine.Body {
	if s, ok := r.(resource.Service); ok {
		return service{body{r}, s}
	}
	return body{r}
}

// Digest is that of the resource's JSON.
func (b body) Digest() string {
	sum := sha256.Sum256(encode(b.Resource))
	return hex.EncodeToString(sum[:])
}

// Removal is what the resource's Remove needs.
func (b body) Removal() json.RawMessage { return encode(resource.Removal(b.Resource)) }

// Takes implements [engine.Timed] for resources that say how long they may take.
func (b body) Takes() time.Duration {
	if t, ok := b.Resource.(interface{ Takes() time.Duration }); ok {
		return t.Takes()
	}
	return 0
}

func encode(r resource.Resource) []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic("fleet: " + resource.Ref(r) + ": " + err.Error()) // plain structs always encode
	}
	return data
}

func resourceOf(n *engine.Node) (resource.Resource, error) {
	switch b := n.Body.(type) {
	case body:
		return b.Resource, nil
	case service:
		return b.Resource, nil
	}
	return nil, fmt.Errorf("%s is not a resource of a host", n.ID)
}

// Observe implements [engine.Executor]: one round trip for all nodes of a host.
// Payloads that are not needed for it stay here (resource.Probe).
func (f *Fleet) Observe(ctx context.Context, scope string, nodes []*engine.Node) ([]drift.Report, error) {
	all := make([]resource.Resource, len(nodes))
	for i, n := range nodes {
		r, err := resourceOf(n)
		if err != nil {
			return nil, err
		}
		all[i] = r
	}
	a, err := f.agent(ctx, scope)
	if err != nil {
		return nil, err
	}
	reports, err := a.Observe(ctx, all)
	if err != nil {
		return nil, err
	}
	for i := range all {
		withNewText(all[i], &reports[i])
	}
	return reports, nil
}

// Texter is a resource whose content a plan can show a diff of. ok is false where
// people must not or cannot read it.
type Texter interface {
	Text() (text string, ok bool)
}

// withNewText adds the wanted text beside the old one that the host reported. Where
// there is none, the old one goes: alone it would look like lines that are removed.
func withNewText(res resource.Resource, r *drift.Report) {
	t, ok := res.(Texter)
	if !ok {
		return
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		if c.Text == "" || c.NewText != "" {
			continue
		}
		if text, ok := t.Text(); ok {
			c.NewText = text
		} else {
			c.Text = ""
		}
	}
}

// Apply implements [engine.Executor].
func (f *Fleet) Apply(ctx context.Context, n *engine.Node, found drift.Report, why engine.Cause, log func(string)) error {
	r, err := resourceOf(n)
	if err != nil {
		return err
	}
	a, err := f.agent(ctx, n.Scope)
	if err != nil {
		return err
	}
	boot := a.BootID()
	err = a.Apply(ctx, r, slim(found), resource.Cause{Triggered: why.Triggered, Made: why.Made}, log)
	if rb, ok := r.(resource.Rebooter); ok && rb.Reboots() && (err == nil || retry.ClassOf(err) == retry.Unreachable) {
		return f.reboot(ctx, n, boot, log)
	}
	return err
}

// slim drops the texts that are for people: the host has the old one and is
// sent the new one.
func slim(r drift.Report) drift.Report {
	out := r
	out.Changes = make([]drift.Change, len(r.Changes))
	for i, c := range r.Changes {
		c.Text, c.NewText = "", ""
		out.Changes[i] = c
	}
	return out
}

// reboot waits for the host to come back, and looks whether the node agrees then.
func (f *Fleet) reboot(ctx context.Context, n *engine.Node, boot string, log func(string)) error {
	if err := f.awaitReboot(ctx, n.Scope, boot, log); err != nil {
		return err
	}
	found, err := f.Observe(ctx, n.Scope, []*engine.Node{n})
	switch {
	case err != nil:
		return err
	case found[0].Status == drift.Unknown:
		return fmt.Errorf("cannot tell whether the reboot helped: %s", found[0].Err)
	case !found[0].Agrees():
		return errors.New("the host has booted anew, and still something asks for a reboot")
	}
	return nil
}

// awaitReboot waits until the host answers with another boot.
func (f *Fleet) awaitReboot(ctx context.Context, name, boot string, log func(string)) error {
	log("waiting for the host to come back")
	ctx, cancel := context.WithTimeout(ctx, f.opts.Patience)
	defer cancel()
	policy := retry.Policy{First: 100 * time.Millisecond, Most: time.Second}
	return policy.Do(ctx, nil, func(ctx context.Context) error {
		f.Forget(name)
		f.Expect(name)
		a, err := f.agent(ctx, name)
		if err != nil {
			return err
		}
		if a.BootID() == boot {
			return retry.Mark(fmt.Errorf("%s has not gone down yet", name), retry.Transient)
		}
		return nil
	})
}

// Remove implements [engine.Executor].
func (f *Fleet) Remove(ctx context.Context, rec engine.Record, log func(string)) error {
	r, err := f.opts.Registry.Decode(rec.Kind, rec.Removal)
	if err != nil {
		return err
	}
	a, err := f.agent(ctx, rec.Scope)
	if err != nil {
		return err
	}
	return a.Remove(ctx, r, rec.Made, log)
}
