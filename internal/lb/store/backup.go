package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

// A backup is a compressed text: a line that says what it is, a line for each
// key, and a line with the number of keys and the sum over all lines before. It
// does not depend on the version of etcd, or on how many members there were.
const backupFormat = "updraft-lb-backup-1"

type backupHead struct {
	Format   string    `json:"format"`
	Made     time.Time `json:"made"`
	Revision int64     `json:"revision"`
}

type backupLine struct {
	Key   string          `json:"key"`
	Value json.RawMessage `json:"value"`
}

type backupTail struct {
	Keys   int    `json:"keys"`
	SHA256 string `json:"sha256"`
}

// Backup writes everything that is stored, as it was at one revision. Claims are
// left out: they belong to processes that run now.
func (s *Store) Backup(ctx context.Context, to io.Writer) error {
	z, err := zstd.NewWriter(to)
	if err != nil {
		return err
	}
	sum := sha256.New()
	lines := json.NewEncoder(io.MultiWriter(z, sum))
	keys, err := s.backupLines(ctx, lines)
	if err != nil {
		return fmt.Errorf("cannot back up the store: %w", err)
	}
	if err := json.NewEncoder(z).Encode(backupTail{keys, hex.EncodeToString(sum.Sum(nil))}); err != nil {
		return fmt.Errorf("cannot back up the store: %w", err)
	}
	return z.Close()
}

func (s *Store) backupLines(ctx context.Context, lines *json.Encoder) (int, error) {
	head := false
	keys := 0
	rev, err := s.scan(ctx, func(rev int64, kv keyValue) error {
		if !head {
			head = true
			if err := lines.Encode(backupHead{backupFormat, model.Now(), rev}); err != nil {
				return err
			}
		}
		if k := parseKey(kv.key); k.kind == model.KindNone || k.kind == model.KindClaim {
			return nil
		}
		keys++
		return lines.Encode(backupLine{kv.key, kv.value})
	})
	if err == nil && !head {
		err = lines.Encode(backupHead{backupFormat, model.Now(), rev})
	}
	return keys, err
}

// keyValue is a key without the prefix, and what it holds.
type keyValue struct {
	key      string
	value    []byte
	mod, new int64
}

// scan reads everything as it is at one revision, which it returns.
func (s *Store) scan(ctx context.Context, take func(rev int64, kv keyValue) error) (int64, error) {
	from, end := s.prefix, clientv3.GetPrefixRangeEnd(s.prefix)
	var rev int64
	for {
		opts := []clientv3.OpOption{clientv3.WithRange(end), clientv3.WithLimit(loadPage)}
		if rev > 0 {
			opts = append(opts, clientv3.WithRev(rev))
		}
		resp, err := s.client.Get(ctx, from, opts...)
		if err != nil {
			return rev, err
		}
		if rev == 0 {
			rev = resp.Header.Revision
		}
		for _, kv := range resp.Kvs {
			if err := take(rev, s.keyValueOf(kv)); err != nil {
				return rev, err
			}
		}
		if !resp.More {
			return rev, nil
		}
		from = string(resp.Kvs[len(resp.Kvs)-1].Key) + "\x00"
	}
}

// ErrNotEmpty is returned by Restore into a store that holds something.
var ErrNotEmpty = errors.New("the store is not empty")

// Restore fills an empty store with a backup. Nothing is written unless the
// backup is whole. Stop the controllers and the API before.
func (s *Store) Restore(ctx context.Context, from io.Reader) error {
	lines, err := readBackup(from)
	if err != nil {
		return fmt.Errorf("cannot restore the store: %w", err)
	}
	if err := s.Sync(ctx); err != nil {
		return err
	}
	if v := s.View(); v.Len() > 0 || v.misc.Len() > 0 {
		return ErrNotEmpty
	}
	if lines, err = restored(lines); err != nil {
		return fmt.Errorf("cannot restore the store: %w", err)
	}
	// Load balancers come last: what is not yet whole is not seen.
	for _, lbs := range []bool{false, true} {
		var ops []clientv3.Op
		for _, l := range lines {
			if strings.HasPrefix(l.Key, lbSpace) == lbs {
				ops = append(ops, clientv3.OpPut(s.prefix+l.Key, string(l.Value)))
			}
		}
		if err := s.putAll(ctx, ops); err != nil {
			return fmt.Errorf("cannot restore the store: %w", err)
		}
	}
	return s.reload(ctx)
}

// What goes in one transaction, which any cluster takes: etcd has 128 operations and
// 1.5 MB for one unless it was told otherwise.
const (
	restoreKeys  = 100
	restoreBytes = 1 << 20
)

// chunk is how many operations go in one transaction.
func chunk(ops []clientv3.Op) int {
	size := 0
	for i, o := range ops[:min(restoreKeys, len(ops))] {
		if size += len(o.KeyBytes()) + len(o.ValueBytes()); size > restoreBytes && i > 0 {
			return i
		}
	}
	return min(restoreKeys, len(ops))
}

// restoredRecord says where versions begin since the last restoration.
const restoredRecord = "service/restored"

// restored adds where versions begin from now on: after all that there ever were,
// of this store and of what was lost. Revisions begin anew with an empty etcd, and
// amphorae, which outlive it, refuse what is older than what they have.
func restored(lines []backupLine) ([]backupLine, error) {
	const revisions = 1 << 40 // more than a store ever has
	rec := &model.Record{Name: restoredRecord}
	key := keyOf(rec.Kind(), rec.Place())
	begin := uint64(time.Now().UnixMicro())
	for _, l := range lines {
		if o, err := decode(model.KindRecord, l.Value); l.Key == key && err == nil {
			begin = max(begin, begins(o.(*model.Record))+revisions)
		}
	}
	rec.Data = strconv.AppendUint(nil, begin, 10)
	value, err := encode(rec)
	lines = slices.DeleteFunc(lines, func(l backupLine) bool { return l.Key == key })
	return append(lines, backupLine{key, []byte(value)}), err
}

func begins(r *model.Record) uint64 {
	if r == nil {
		return 0
	}
	n, _ := strconv.ParseUint(string(r.Data), 10, 64) // it is the store's own
	return n
}

// Version numbers a tree: it grows with every change of it, also over restorations.
func (s *Snapshot) Version(t *Tree) uint64 { return begins(s.Record(restoredRecord)) + uint64(t.Rev) }

func (s *Store) putAll(ctx context.Context, ops []clientv3.Op) error {
	for len(ops) > 0 {
		n := chunk(ops)
		all := slices.Concat(ops[:n], []clientv3.Op{clientv3.OpPut(s.prefix+headKey, "")})
		if _, err := s.client.Txn(ctx).Then(all...).Commit(); err != nil {
			return err
		}
		ops = ops[n:]
	}
	return nil
}

// maxLine bounds a line of a backup: etcd takes no larger value.
const maxLine = 32 << 20

func readBackup(from io.Reader) ([]backupLine, error) {
	z, err := zstd.NewReader(from)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	in := bufio.NewScanner(z)
	in.Buffer(make([]byte, 1<<16), maxLine)
	sum := sha256.New()
	var head backupHead
	if !in.Scan() || json.Unmarshal(in.Bytes(), &head) != nil || head.Format != backupFormat {
		return nil, errors.New("this is no backup of load balancers")
	}
	var lines []backupLine
	for {
		sum.Write(in.Bytes())
		sum.Write([]byte{'\n'})
		if !in.Scan() {
			return nil, errors.Join(errors.New("the backup ends early"), in.Err())
		}
		var l backupLine
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			return nil, fmt.Errorf("the backup is damaged: %w", err)
		}
		if l.Key == "" {
			return lines, checkTail(in.Bytes(), len(lines), hex.EncodeToString(sum.Sum(nil)))
		}
		lines = append(lines, l)
	}
}

func checkTail(line []byte, keys int, sum string) error {
	var tail backupTail
	if err := json.Unmarshal(line, &tail); err != nil || tail.Keys != keys || tail.SHA256 != sum {
		return errors.New("the backup is damaged: its sum does not match")
	}
	return nil
}
