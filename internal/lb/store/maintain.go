package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// compactStep is how many revisions go at a time, so that no compaction holds
// up writers for long.
const compactStep = 5000

// defragWaste is from how much unused space on a defragmentation is worth that a
// member does not answer while it lasts (about a second per 100 MB).
const defragWaste = 64 << 20

// maintain compacts and defragments. What is older than two intervals goes:
// watchers that were away for that long read everything anew.
func (s *Store) maintain(ctx context.Context) {
	tick := time.NewTicker(s.opts.CompactEvery)
	defer tick.Stop()
	var previous int64
	compacted := int64(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			if err := s.recoverSpace(ctx); err != nil {
				s.log.Error("the store's space is exhausted and could not be won back", "error", err)
				pause(ctx, s.opts.RetryInterval)
			}
			continue
		case <-tick.C:
		}
		to := previous
		previous = s.View().Rev
		if to <= compacted {
			continue
		}
		if err := s.compact(ctx, compacted, to); err != nil {
			s.log.Warn("the store's history was not compacted", "error", err)
			continue
		}
		compacted = to
		if err := s.defragment(ctx, false); err != nil {
			s.log.Warn("the store was not defragmented", "error", err)
		}
	}
}

func (s *Store) wakeMaintenance() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// compact drops the history up to a revision, a step at a time. The first step
// may be the longest: where the last one ended is not stored.
func (s *Store) compact(ctx context.Context, from, to int64) error {
	if from == 0 {
		from = max(0, to-compactStep)
	}
	for at := min(from+compactStep, to); ; at = min(at+compactStep, to) {
		_, err := s.client.Compact(ctx, at, clientv3.WithCompactPhysical())
		if err != nil && !errors.Is(err, rpctypes.ErrCompacted) && !isStatus(err, rpctypes.ErrGRPCCompacted) {
			return fmt.Errorf("cannot compact to revision %d: %w", at, err)
		}
		if at == to {
			return nil
		}
	}
}

// defragment gives unused space back, one member after the other, where there is
// much of it or always.
func (s *Store) defragment(ctx context.Context, always bool) error {
	for _, ep := range s.members() {
		st, err := s.client.Status(ctx, ep)
		if err != nil {
			return fmt.Errorf("cannot ask %s for its size: %w", ep, err)
		}
		waste := st.DbSize - st.DbSizeInUse
		if !always && (waste < defragWaste || waste < st.DbSize/2) {
			continue
		}
		if err := s.defragmentMember(ctx, ep); err != nil {
			return fmt.Errorf("cannot defragment %s: %w", ep, err)
		}
	}
	return nil
}

// defragmentMember calls the store's own member directly: the client in the
// process cannot (it has nothing to tell health to).
func (s *Store) defragmentMember(ctx context.Context, ep string) error {
	if s.member != nil {
		return s.member.etcd.Server.Backend().Defrag()
	}
	_, err := s.client.Defragment(ctx, ep)
	return err
}

// members are the endpoints of all members; the store's own has none.
func (s *Store) members() []string {
	if s.member != nil {
		return []string{""}
	}
	return s.client.Endpoints()
}

// recoverSpace makes room after etcd refused to grow: the history goes, then
// the space that it had, then the alarm.
func (s *Store) recoverSpace(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := s.compact(ctx, 0, s.View().Rev); err != nil {
		return err
	}
	if err := s.defragment(ctx, true); err != nil {
		return err
	}
	alarms, err := s.client.AlarmList(ctx)
	if err != nil {
		return fmt.Errorf("cannot list alarms: %w", err)
	}
	for _, a := range alarms.Alarms {
		if a.Alarm != etcdserverpb.AlarmType_NOSPACE {
			continue
		}
		if _, err := s.client.AlarmDisarm(ctx, (*clientv3.AlarmMember)(a)); err != nil {
			return fmt.Errorf("cannot disarm the alarm: %w", err)
		}
	}
	s.log.Warn("the store's space was exhausted; its history was dropped")
	return nil
}
