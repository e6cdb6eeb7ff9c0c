package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	etcdclient "github.com/updraft-cloud/updraft/internal/openstack/etcd/client"
)

// Where in etcd guards say how their servers are, and who began a cluster from
// which view.
const (
	reportsPrefix = "/updraft/galera/report/"
	lockPrefix    = "/updraft/galera/begun/"
)

// leaseTime is how long a report counts. A guard that is cut off is forgotten by the
// others after that.
const leaseTime = 20 * time.Second

// Store is etcd.
type Store struct{ etcdclient.Client }

// NewStore returns the store, as [etcdclient.New] does.
func NewStore(endpoints []string, leaf, ca string) (*Store, error) {
	c, err := etcdclient.New(endpoints, leaf, ca)
	return &Store{c}, err
}

// Reports returns what all guards say.
func (s *Store) Reports(ctx context.Context) ([]Report, error) {
	var answer struct {
		KVs []etcdclient.Pair `json:"kvs"`
	}
	question := struct {
		Key []byte `json:"key"`
		End []byte `json:"range_end"`
	}{[]byte(reportsPrefix), etcdclient.PrefixEnd(reportsPrefix)}
	if err := s.Call(ctx, "kv/range", question, &answer); err != nil {
		return nil, err
	}
	var out []Report
	for _, kv := range answer.KVs {
		var r Report
		if err := json.Unmarshal(kv.Value, &r); err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", kv.Key, err)
		}
		out = append(out, r)
	}
	return out, nil
}

// Publish says how the server is, for as long as a lease lasts.
func (s *Store) Publish(ctx context.Context, r Report) error {
	id, err := s.Grant(ctx, leaseTime)
	if err != nil {
		return err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return err
	}
	return s.Call(ctx, "kv/put", etcdclient.Pair{Key: []byte(reportsPrefix + r.Host), Value: text, LeaseID: id}, &struct{}{})
}

// Withdraw takes back what was said.
func (s *Store) Withdraw(ctx context.Context, host string) error {
	return s.Call(ctx, "kv/deleterange", etcdclient.Pair{Key: []byte(reportsPrefix + host)}, &struct{}{})
}

// Take takes the right to begin the cluster from a view, which is for one host
// only, for good. It returns whose it is.
func (s *Store) Take(ctx context.Context, view, host string) (holder string, err error) {
	return s.Client.Take(ctx, etcdclient.Pair{Key: []byte(lockPrefix + view), Value: []byte(host)})
}
