package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// apply makes the host agree with a resource, and looks whether it does. A
// resource that takes the host down is not looked at: the deployer does that
// when the host is back.
func (s *server) apply(ctx context.Context, log func(string), req proto.ApplyRequest) error {
	res, err := s.o.Registry.Decode(req.Kind, req.Body)
	if err != nil {
		return err
	}
	h := s.o.Host(log)
	h.Forget()
	err = errAlone
	if goesTogether(res) {
		err = s.batches.apply(ctx, &member{res: res, found: req.Found, why: req.Cause, log: log, host: s.o.Host})
		if _, ok := res.(resource.Joiner); ok && err == nil {
			return nil // it was looked at with the others
		}
	}
	if errors.Is(err, errAlone) {
		err = res.Apply(ctx, h, req.Found, req.Cause)
	}
	if err != nil {
		return err
	}
	if r, ok := res.(resource.Rebooter); ok && r.Reboots() {
		return nil
	}
	h.Forget()
	return s.agrees(ctx, h, req.Kind, res)
}

// goesTogether reports whether the resource waits for others of its kind.
func goesTogether(res resource.Resource) bool {
	switch res.(type) {
	case resource.Batcher, resource.Joiner:
		return true
	}
	return false
}

// agrees returns an error that names what differs.
func (s *server) agrees(ctx context.Context, h resource.Host, kind string, res resource.Resource) error {
	if err := s.prepare(ctx, h, map[string][]resource.Resource{kind: {res}})[kind]; err != nil {
		return fmt.Errorf("cannot tell whether it worked: %w", err)
	}
	found, err := res.Observe(ctx, h)
	switch {
	case err != nil:
		return fmt.Errorf("cannot tell whether it worked: %w", err)
	case found.Agrees():
		return nil
	case found.Status == drift.Absent:
		return fmt.Errorf("it is still absent after it was made")
	}
	attrs := make([]string, len(found.Changes))
	for i, c := range found.Changes {
		attrs[i] = c.Attr
		if c.From+c.To != "" && !resource.IsSensitive(res) {
			attrs[i] = fmt.Sprintf("%s (is %q, should be %q)", c.Attr, c.From, c.To)
		}
	}
	err = fmt.Errorf("it still differs after it was changed, in %s", strings.Join(attrs, ", "))
	if settles(res, found) {
		return retry.Mark(err, retry.Transient)
	}
	return err
}

// settles reports whether all that differs may come right by itself.
func settles(res resource.Resource, found drift.Report) bool {
	st, ok := res.(resource.Settler)
	return ok && len(found.Changes) > 0 && !slices.ContainsFunc(found.Changes, func(c drift.Change) bool { return !st.Settles(c.Attr) })
}

func (s *server) remove(ctx context.Context, log func(string), req proto.RemoveRequest) error {
	res, err := s.o.Registry.Decode(req.Kind, req.Body)
	if err != nil {
		return err
	}
	h := s.o.Host(log)
	h.Forget()
	return res.Remove(ctx, h, req.Made)
}

// guard turns a panic into an error.
func guard(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("this is a mistake in updraft: %v", p)
		}
	}()
	return f()
}
