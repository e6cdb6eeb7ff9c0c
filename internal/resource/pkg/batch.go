package pkg

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// ApplyBatch makes all packages agree: one removal, then one installation for
// all with the same options.
func (r *Resource) ApplyBatch(ctx context.Context, h resource.Host, all []resource.Resource, found []drift.Report) []error {
	b := &batch{h: h, errs: map[*Resource]error{}}
	for _, a := range all {
		b.all = append(b.all, a.(*Resource))
	}
	if err := b.run(ctx, found); err != nil {
		for _, p := range b.all {
			b.fail(p, err)
		}
	}
	out := make([]error, len(b.all))
	for i, p := range b.all {
		out[i] = b.errs[p]
	}
	return out
}

// batch is the work on packages that wait at the same time.
type batch struct {
	h    resource.Host
	m    manager
	all  []*Resource
	errs map[*Resource]error
}

func (b *batch) fail(p *Resource, err error) {
	if b.errs[p] == nil {
		b.errs[p] = err
	}
}

func (b *batch) run(ctx context.Context, found []drift.Report) (err error) {
	if b.m, err = managerOf(b.h); err != nil {
		return err
	}
	defer b.h.Lock("package")()
	broken := false
	for i, p := range b.all {
		if err := b.m.pin(b.h, p); err != nil {
			b.fail(p, err)
		}
		broken = broken || i < len(found) && p.State != Absent && found[i].Status == drift.Differs && found[i].Has("state")
	}
	if !broken {
		if broken, err = b.m.interrupted(b.h); err != nil {
			return err
		}
	}
	if broken {
		if err := b.m.settle(ctx, b.h); err != nil {
			return err
		}
	}
	gone, wanted, err := b.split(ctx)
	if err != nil {
		return err
	}
	b.each(ctx, gone, func(some []*Resource) error { return b.m.remove(ctx, b.h, names(some)) })
	for _, group := range byOptions(wanted) {
		b.each(ctx, group, func(some []*Resource) error { return b.m.install(ctx, b.h, some) })
	}
	return nil
}

// split returns what is to be removed and what is to be installed, as of now:
// settling, or another program, may have changed what was observed.
func (b *batch) split(ctx context.Context) (gone, wanted []*Resource, err error) {
	if err := b.m.prepare(ctx, b.h, names(b.all)); err != nil {
		return nil, nil, err
	}
	for _, p := range b.all {
		got, err := b.m.status(ctx, b.h, p.Name)
		if err != nil {
			return nil, nil, err
		}
		switch done, err := p.satisfied(ctx, b.h, b.m, got); {
		case err != nil:
			return nil, nil, err
		case done:
		case p.State == Absent:
			gone = append(gone, p)
		default:
			wanted = append(wanted, p)
		}
	}
	return gone, wanted, nil
}

// satisfied reports whether the package is as wanted, its pin aside.
func (r *Resource) satisfied(ctx context.Context, h resource.Host, m manager, got status) (bool, error) {
	switch {
	case r.State == Absent:
		return got.state == "", nil
	case got.state != Installed || !matches(got.version, r.Version):
		return false, nil
	case r.State != Latest:
		return true, nil
	}
	newest, err := candidates(ctx, h, m, []string{r.Name})
	return newest[r.Name] == "" || newest[r.Name] == got.version, err
}

// each does the work for all at once. Packages to which the error can be traced
// are left out and the rest is tried again; an error that cannot be traced is
// found by trying them one by one. What may go away by itself (a held lock, a
// mirror that does not answer) holds for all of them alike.
func (b *batch) each(ctx context.Context, some []*Resource, work func([]*Resource) error) {
	for len(some) > 0 {
		err := work(some)
		if err == nil {
			return
		}
		var about *packageError
		guilty := -1
		if errors.As(err, &about) {
			guilty = slices.IndexFunc(some, func(p *Resource) bool { return p.Name == about.name })
		}
		if guilty < 0 && (transient(err) || len(some) == 1 || ctx.Err() != nil) {
			for _, p := range some {
				b.fail(p, err)
			}
			return
		}
		if guilty < 0 {
			for _, p := range some {
				b.each(ctx, []*Resource{p}, work)
			}
			return
		}
		b.fail(some[guilty], err)
		some = b.unfinished(ctx, slices.Delete(slices.Clone(some), guilty, guilty+1))
	}
}

// unfinished leaves out packages with which a failed transaction got through.
func (b *batch) unfinished(ctx context.Context, some []*Resource) []*Resource {
	return slices.DeleteFunc(some, func(p *Resource) bool {
		got, err := b.m.status(ctx, b.h, p.Name)
		if err != nil {
			return false
		}
		done, err := p.satisfied(ctx, b.h, b.m, got)
		return err == nil && done
	})
}

func names(some []*Resource) []string {
	out := make([]string, len(some))
	for i, p := range some {
		out[i] = p.Name
	}
	return out
}

// byOptions groups packages that can be installed by the same command, in the
// order in which the groups first appear.
func byOptions(some []*Resource) [][]*Resource {
	var out [][]*Resource
	at := map[string]int{}
	for _, p := range some {
		key := strings.Join(p.Options, "\n")
		if p.Recommends {
			key = "\n" + key
		}
		i, ok := at[key]
		if !ok {
			i = len(out)
			at[key], out = i, append(out, nil)
		}
		out[i] = append(out[i], p)
	}
	return out
}
