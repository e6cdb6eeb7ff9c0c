package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// limits bound one etcd transaction.
type limits struct {
	requests int // functions in a group
	keys     int // keys in a group, more or less
	level    int // comparisons or operations at one level of nesting
}

// etcd counts the operations along the path of nested transactions
// (etcdserver/api/v3rpc/key.go, checkTxnRequest): a cluster of others has 128
// unless it was told otherwise, so three levels of 40 fit. The member in the
// process takes as many as there are.
var (
	embeddedLimits = limits{requests: 1024, keys: 4096, level: 100_000}
	externalLimits = limits{requests: 256, keys: 40, level: 40}
)

// send commits parts and answers those whose transaction took place. It returns
// the requests that lost against another process.
func (s *Store) send(base *Snapshot, parts []*part) []*request {
	var again []*request
	for len(parts) > 0 {
		var n int
		var ops []clientv3.Op
		var err error
		for n < len(parts) && n < s.limits.level-1 {
			var o clientv3.Op
			if o, err = s.opOf(parts[n]); err != nil {
				break
			}
			ops = append(ops, o)
			n++
		}
		if err != nil && n == 0 {
			again = append(again, s.fail(parts[:1], err)...)
			parts = parts[1:]
			continue
		}
		again = append(again, s.sendOps(base, parts[:n], ops)...)
		parts = parts[n:]
	}
	return again
}

// fail answers with an error. What was only too large together is returned to
// run again one by one.
func (s *Store) fail(parts []*part, err error) []*request {
	all := requestsOf(parts)
	var large *TooLargeError
	if errors.As(err, &large) && len(all) > 1 {
		for _, r := range all {
			r.solo = true
		}
		return all
	}
	for _, r := range all {
		r.done <- err
	}
	return nil
}

func (s *Store) sendOps(base *Snapshot, parts []*part, ops []clientv3.Op) []*request {
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.WriteTimeout)
	defer cancel()
	txn := s.client.Txn(clientv3.WithRequireLeader(ctx))
	resp, err := txn.Then(append(ops, clientv3.OpPut(s.prefix+headKey, ""))...).Commit()
	if err != nil {
		return s.fail(parts, s.refused(err))
	}
	s.gate.open()
	return s.settle(ctx, base, parts, resp)
}

// settle takes in what was committed and answers.
func (s *Store) settle(ctx context.Context, base *Snapshot, parts []*part, resp *clientv3.TxnResponse) []*request {
	rev := resp.Header.Revision
	var won, lost []*part
	events := []event{}
	for i, p := range parts {
		if resp.Responses[i].GetResponseTxn().Succeeded {
			won = append(won, p)
			events = append(events, p.events(base, rev)...)
		} else {
			lost = append(lost, p)
		}
	}
	if !s.index.applyNext(rev, events) {
		if _, err := s.index.wait(ctx, rev); err != nil {
			s.log.Warn("what was written is not heard of", "revision", rev, "error", err)
		}
	}
	for _, p := range won {
		p.answer()
	}
	if len(lost) == 0 {
		return nil
	}
	tries := 0
	for _, r := range requestsOf(lost) {
		r.fresh = 0
		tries = max(tries, r.tries)
	}
	pause(s.ctx, backoff(tries, rand.Float64()))
	return requestsOf(lost)
}

// opOf makes the transaction of a part.
func (s *Store) opOf(p *part) (clientv3.Op, error) {
	cmps := s.compares(p)
	if len(cmps) > s.limits.level {
		return clientv3.Op{}, &TooLargeError{errors.New("it depends on too many objects")}
	}
	keys := make([]string, 0, len(p.ops))
	for k := range p.ops {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	var ops []clientv3.Op
	for _, k := range keys {
		o := p.ops[k]
		if o.deleted {
			ops = append(ops, clientv3.OpDelete(s.prefix+k))
			continue
		}
		value := ""
		if o.value != nil {
			var err error
			if value, err = encode(o.value); err != nil {
				return clientv3.Op{}, err
			}
		}
		ops = append(ops, clientv3.OpPut(s.prefix+k, value))
	}
	return clientv3.OpTxn(cmps, nest(ops, s.limits.level), nil), nil
}

// nest packs operations into transactions when they are too many for one level.
func nest(ops []clientv3.Op, level int) []clientv3.Op {
	if len(ops) <= level {
		return ops
	}
	var out []clientv3.Op
	for chunk := range slices.Chunk(ops, level) {
		out = append(out, clientv3.OpTxn(nil, chunk, nil))
	}
	return out
}

func (s *Store) compares(p *part) []clientv3.Cmp {
	var out []clientv3.Cmp
	tx := p.turns[0].tx // all have the same base
	for k := range p.heads {
		out = append(out, clientv3.Compare(clientv3.ModRevision(s.prefix+k), "=", tx.revision(k)))
	}
	for k, token := range p.fence {
		out = append(out, clientv3.Compare(clientv3.CreateRevision(s.prefix+k), "=", token))
	}
	if p.alone {
		c := clientv3.Compare(clientv3.CreateRevision(s.prefix+lbSpace), "<", tx.base.Rev+1)
		out = append(out, c.WithPrefix())
	}
	return out
}

// latest asks a majority for the revision of the last transaction.
func (s *Store) latest(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	resp, err := s.client.Get(clientv3.WithRequireLeader(ctx), s.prefix+headKey, clientv3.WithKeysOnly())
	if err != nil {
		return 0, s.refused(err)
	}
	if len(resp.Kvs) == 0 {
		return 0, nil
	}
	return resp.Kvs[0].ModRevision, nil
}

// Sync returns when View shows everything that was committed, by whomever,
// before the call.
func (s *Store) Sync(ctx context.Context) error {
	rev, err := s.latest(ctx)
	if err != nil {
		return err
	}
	_, err = s.index.wait(ctx, rev)
	return err
}

// refused explains an error of etcd.
func (s *Store) refused(err error) error {
	switch {
	case s.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(err, rpctypes.ErrNoSpace) || isStatus(err, rpctypes.ErrGRPCNoSpace):
		s.wakeMaintenance()
		return &UnavailableError{Reason: "its space is exhausted", RetryAfter: s.opts.RetryAfter, Err: err}
	case errors.Is(err, rpctypes.ErrTooManyOps), errors.Is(err, rpctypes.ErrRequestTooLarge), isStatus(err, rpctypes.ErrGRPCTooManyOps), isStatus(err, rpctypes.ErrGRPCRequestTooLarge):
		return &TooLargeError{err}
	}
	switch {
	case isAway(err):
	case codeOf(err) == codes.ResourceExhausted: // gRPC has a bound of its own, in both directions
		return &TooLargeError{err}
	default:
		return fmt.Errorf("etcd refused: %w", err)
	}
	s.gate.shut(err)
	return &UnavailableError{Reason: "no majority of its members answers", RetryAfter: s.opts.RetryAfter, Uncertain: true, Err: err}
}

// isAway reports whether an error says that etcd, or a majority of it, did not
// answer.
func isAway(err error) bool {
	for _, away := range []error{
		context.DeadlineExceeded, rpctypes.ErrNoLeader, rpctypes.ErrNotLeader, rpctypes.ErrLeaderChanged, rpctypes.ErrStopped,
		rpctypes.ErrTimeout, rpctypes.ErrTimeoutDueToLeaderFail, rpctypes.ErrTimeoutDueToConnectionLost,
		rpctypes.ErrTimeoutWaitAppliedIndex, rpctypes.ErrUnhealthy, rpctypes.ErrTooManyRequests,
	} {
		if errors.Is(err, away) {
			return true
		}
	}
	switch codeOf(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Canceled, codes.Aborted, codes.Internal, codes.Unknown:
		return true // a member that is being stopped answers with any of these
	}
	return false
}

// codeOf is the code of an error, whether the client has translated it or not.
func codeOf(err error) codes.Code {
	if e := (rpctypes.EtcdError{}); errors.As(err, &e) {
		return e.Code()
	}
	return status.Code(err)
}

// isStatus compares errors that came without the client's translation.
func isStatus(err, with error) bool {
	st, ok := status.FromError(err)
	return ok && st.Code() != codes.OK && st.Message() == status.Convert(with).Message()
}
