package agent

import (
	"context"
	"sync"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/resource"
)

// observe compares resources with the host: facts that many of a kind need are
// gathered first, once per kind, then all are compared by a few workers.
func (s *server) observe(ctx context.Context, log func(string), req proto.ObserveRequest) (any, error) {
	h := s.o.Host(log)
	h.Forget() // what is remembered may be older than this request
	reports := make([]drift.Report, len(req.Items))
	all := make([]resource.Resource, len(req.Items))
	byKind := map[string][]resource.Resource{}
	for i, item := range req.Items {
		res, err := s.o.Registry.Decode(item.Kind, item.Body)
		if err != nil {
			reports[i].Err = err.Error()
			continue
		}
		all[i] = res
		byKind[item.Kind] = append(byKind[item.Kind], res)
	}
	failed := s.prepare(ctx, h, byKind)
	s.each(ctx, len(all), func(i int) {
		switch {
		case all[i] == nil:
		case failed[req.Items[i].Kind] != nil:
			reports[i].Err = failed[req.Items[i].Kind].Error()
		default:
			reports[i] = observeOne(ctx, h, all[i])
		}
	})
	return sparse(reports), ctx.Err()
}

// prepare lets each kind gather its facts, and returns the errors by kind.
func (s *server) prepare(ctx context.Context, h resource.Host, byKind map[string][]resource.Resource) map[string]error {
	var mu sync.Mutex
	var wg sync.WaitGroup
	failed := map[string]error{}
	for kind, all := range byKind {
		p, ok := all[0].(resource.Preparer)
		if !ok {
			continue
		}
		wg.Go(func() {
			if err := guard(func() error { return p.Prepare(ctx, h, all) }); err != nil {
				mu.Lock()
				defer mu.Unlock()
				failed[kind] = err
			}
		})
	}
	wg.Wait()
	return failed
}

// each calls f for 0 … n-1, bounded by the workers of the session.
func (s *server) each(ctx context.Context, n int, f func(i int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, cap(s.workers)) {
		wg.Go(func() {
			s.workers <- struct{}{}
			defer func() { <-s.workers }()
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
}

// observeOne compares one resource. An error becomes part of the report, so that
// it does not hide the others.
func observeOne(ctx context.Context, h resource.Host, res resource.Resource) (r drift.Report) {
	err := guard(func() (err error) {
		r, err = res.Observe(ctx, h)
		return err
	})
	if err != nil {
		return drift.Report{Err: err.Error()}
	}
	if resource.IsSensitive(res) {
		r.Changes = withoutValues(r.Changes)
	}
	return r
}

// withoutValues drops the values of changes, in case a kind has not.
func withoutValues(changes []drift.Change) []drift.Change {
	var out []drift.Change
	for _, c := range changes {
		out = append(out, drift.Change{Attr: c.Attr})
	}
	return out
}

// sparse keeps the reports that say anything.
func sparse(reports []drift.Report) proto.ObserveReply {
	var reply proto.ObserveReply
	for i, r := range reports {
		if r.Agrees() && len(r.Notes) == 0 && len(r.Changes) == 0 {
			continue
		}
		if reply.Reports == nil {
			reply.Reports = map[int]drift.Report{}
		}
		reply.Reports[i] = r
	}
	return reply
}
