package store

import (
	"context"
	"fmt"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// Session is a life sign: what it claims is free again soon after its process
// ended or was cut off.
type Session struct {
	store  *Store
	owner  string
	lease  clientv3.LeaseID
	lost   chan struct{}
	cancel context.CancelFunc
}

// Held is a claim that a session holds.
type Held struct {
	Name string
	// Token is the revision at which the claim was made: greater than that of
	// every claim on the same name before. [Tx.Fence] checks it.
	Token int64

	session *Session
}

// NewSession begins a session. It ends when it could not be renewed for ttl
// (whole seconds, at least 2), which closes Lost.
func (s *Store) NewSession(ctx context.Context, owner string, ttl time.Duration) (*Session, error) {
	ctx, cancelGrant := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancelGrant()
	grant, err := s.client.Grant(ctx, max(2, int64(ttl/time.Second)))
	if err != nil {
		return nil, s.refused(err)
	}
	keep, cancel := context.WithCancel(s.ctx)
	alive, err := s.client.KeepAlive(keep, grant.ID)
	if err != nil {
		cancel()
		return nil, s.refused(err)
	}
	n := &Session{store: s, owner: owner, lease: grant.ID, lost: make(chan struct{}), cancel: cancel}
	s.start(func() {
		defer close(n.lost)
		n.keep(keep, alive, time.Duration(grant.TTL)*time.Second)
	})
	return n, nil
}

// keep returns when the session is over: it was closed, or no renewal was heard
// of for as long as etcd would keep it without.
func (n *Session) keep(ctx context.Context, alive <-chan *clientv3.LeaseKeepAliveResponse, ttl time.Duration) {
	t := time.NewTimer(ttl)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			return
		case r, ok := <-alive:
			if !ok {
				return
			}
			if r.TTL > 0 {
				t.Reset(time.Duration(r.TTL) * time.Second)
			}
		}
	}
}

// Lost is closed when the session is over. Its claims may be others' then.
func (n *Session) Lost() <-chan struct{} { return n.lost }

// Close ends the session and frees its claims.
func (n *Session) Close(ctx context.Context) error {
	n.cancel()
	ctx, cancel := context.WithTimeout(ctx, n.store.opts.WriteTimeout)
	defer cancel()
	if _, err := n.store.client.Revoke(ctx, n.lease); err != nil {
		return fmt.Errorf("cannot end the session; its claims end by themselves: %w", err)
	}
	return nil
}

// Claim takes a name ("shard/17") for the session, or says who has it with a
// [ClaimedError]. Claiming again what the session has returns the same claim.
func (n *Session) Claim(ctx context.Context, name string) (*Held, error) {
	s := n.store
	if err := s.gate.refuse(); err != nil {
		return nil, err
	}
	c := &model.Claim{Name: name, Owner: n.owner}
	value, err := encode(c)
	if err != nil {
		return nil, err
	}
	key := s.prefix + keyOf(c.Kind(), c.Place())
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	resp, err := s.client.Txn(clientv3.WithRequireLeader(ctx)).
		If(clientv3.Compare(clientv3.CreateRevision(key), "=", 0)).
		Then(clientv3.OpPut(key, value, clientv3.WithLease(n.lease)), clientv3.OpPut(s.prefix+headKey, "")).
		Else(clientv3.OpGet(key)).Commit()
	if err != nil {
		return nil, s.refused(err)
	}
	if resp.Succeeded {
		return n.held(ctx, name, resp.Header.Revision)
	}
	kvs := resp.Responses[0].GetResponseRange().Kvs
	if len(kvs) == 1 && clientv3.LeaseID(kvs[0].Lease) == n.lease {
		return n.held(ctx, name, kvs[0].CreateRevision)
	}
	other := &ClaimedError{Name: name}
	if o, err := decode(model.KindClaim, kvs[0].Value); err == nil {
		other.Owner = o.(*model.Claim).Owner
	}
	return nil, other
}

// held returns a claim when the index has it: Fence looks there.
func (n *Session) held(ctx context.Context, name string, token int64) (*Held, error) {
	if _, err := n.store.index.wait(ctx, token); err != nil {
		return nil, n.store.late(ctx)
	}
	return &Held{Name: name, Token: token, session: n}, nil
}

// Release gives the claim back.
func (h *Held) Release(ctx context.Context) error {
	s := h.session.store
	key := s.prefix + keyOf(model.KindClaim, model.Place{ID: h.Name})
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	_, err := s.client.Txn(ctx).If(clientv3.Compare(clientv3.CreateRevision(key), "=", h.Token)).
		Then(clientv3.OpDelete(key), clientv3.OpPut(s.prefix+headKey, "")).Commit()
	if err != nil {
		return s.refused(err)
	}
	return nil
}
