package lease

import (
	"context"
	"strconv"

	"github.com/updraft-cloud/updraft/internal/openstack/etcd/client"
)

// Etcd is the [Store] of one key.
type Etcd struct {
	client.Client
	Key string
}

// Acquire implements [Store].
func (e Etcd) Acquire(ctx context.Context, host string) (lease, holder string, err error) {
	// Under the host's own name there may be what it had before it was started anew:
	// that is waited for, as it cannot be told from a key that was just lost.
	holder, err = e.holder(ctx)
	if err != nil || holder != "" {
		return "", holder, err
	}
	lease, err = e.Grant(ctx, TTL)
	if err != nil {
		return "", "", err
	}
	holder, err = e.Take(ctx, client.Pair{Key: []byte(e.Key), Value: []byte(host), LeaseID: lease})
	return lease, holder, err
}

// holder returns who has the key; "" for nobody.
func (e Etcd) holder(ctx context.Context) (string, error) {
	var answer struct {
		KVs []client.Pair `json:"kvs"`
	}
	if err := e.Call(ctx, "kv/range", client.Pair{Key: []byte(e.Key)}, &answer); err != nil || len(answer.KVs) == 0 {
		return "", err
	}
	return string(answer.KVs[0].Value), nil
}

// Renew implements [Store].
func (e Etcd) Renew(ctx context.Context, lease string) error {
	var answer struct {
		Result struct {
			TTL string `json:"TTL"`
		} `json:"result"`
	}
	if err := e.Call(ctx, "lease/keepalive", map[string]string{"ID": lease}, &answer); err != nil {
		return err
	}
	// A lease that is over has no time left, and none is said.
	if left, err := strconv.Atoi(answer.Result.TTL); err != nil || left <= 0 {
		return ErrOver
	}
	return nil
}

// Release implements [Store].
func (e Etcd) Release(ctx context.Context, lease string) error {
	return e.Call(ctx, "lease/revoke", map[string]string{"ID": lease}, &struct{}{})
}
