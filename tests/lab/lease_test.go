package lab_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/cinder"
	"github.com/updraft-cloud/updraft/internal/openstack/etcd/lease"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// beat is what stands in for cinder-volume: it notes that it runs, and has a child that
// does so as well, and that nobody tells to end.
const beat = `trap "" TERM; (while :; do date +%s%N >>/run/beats; sleep 0.1; done) & trap - TERM; wait`

// TestOneOfThreeControllersRunsWhatTheLeaseIsFor has three real etcds, and takes the one
// that holds the lease away by its power and by its cable.
func TestOneOfThreeControllersRunsWhatTheLeaseIsFor(t *testing.T) {
	all := trio(t)
	for _, it := range cinder.Service().Build(all[0].b.d) {
		f, ok := it.Resource.(*file.Resource)
		if !ok || filepath.Base(f.Path) != "lease.json" {
			continue
		}
		at := filepath.Join(all[0].b.dir, it.Host, "etc", "cinder")
		mk(t, at)
		if err := os.WriteFile(filepath.Join(at, "lease.json"), []byte(f.Content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, m := range all {
		m.leases()
	}
	first := runner(t, all, nil)
	first.cut()
	second := runner(t, all, first)
	first.leases()

	if out, err := all[0].b.run("-euc", "ip -n "+second.name+" link set eth0 down"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	third := runner(t, all, second)
	if out, err := all[0].b.run("-euc", "ip -n "+second.name+" link set eth0 up"); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	wait(t, lease.TTL)
	if now := runner(t, all, nil); now != third {
		t.Errorf("%s runs it, and not %s that did before the other was back", now.name, third.name)
	}
	neverTwo(t, all)
}

// leases starts etcd, and, in a PID name space as in a container, the program for when it is this controller's turn.
func (m *member) leases() {
	ctx, stop := context.WithCancel(context.Background())
	m.stop = stop
	m.keep(ctx, "etcd", "etcd", m.etcd.Exec...)
	m.keep(ctx, "lease", "root", "unshare", "--pid", "--fork", "--kill-child", "/run/updraft-guard", "hold", stack.ConfigDir("cinder")+"/lease.json", "sh", "-c", beat)
}

// beats are the times at which the program ran on the controller.
func (m *member) beats() []time.Time {
	text, err := os.ReadFile(filepath.Join(m.b.dir, m.name, "run", "beats"))
	if err != nil {
		return nil
	}
	var out []time.Time
	for _, l := range strings.Fields(string(text)) {
		if n, err := strconv.ParseInt(l, 10, 64); err == nil {
			out = append(out, time.Unix(0, n))
		}
	}
	return out
}

// runner waits until it runs on a controller other than that one, and returns which.
func runner(t *testing.T, all []*member, not *member) *member {
	t.Helper()
	began := time.Now()
	for time.Since(began) < comesBack {
		for _, m := range all {
			if b := m.beats(); m != not && len(b) > 0 && time.Since(b[len(b)-1]) < time.Second {
				t.Logf("%s runs it after %.1f s", m.name, time.Since(began).Seconds())
				return m
			}
		}
		wait(t, time.Second/5)
	}
	t.Fatal("nobody runs it")
	return nil
}

// neverTwo holds the times against each other: between two beats of one controller that
// follow each other at once there is none of another.
func neverTwo(t *testing.T, all []*member) {
	t.Helper()
	type at struct {
		when time.Time
		who  string
	}
	var beats []at
	for _, m := range all {
		for _, b := range m.beats() {
			beats = append(beats, at{b, m.name})
		}
	}
	slices.SortFunc(beats, func(a, b at) int { return a.when.Compare(b.when) })
	ended := map[string]bool{}
	var turns []string
	for i, b := range beats {
		if i == 0 || beats[i-1].who != b.who {
			turns = append(turns, b.who)
			if ended[b.who] {
				t.Errorf("%s ran it while another did", b.who)
			}
		}
		if i > 0 && beats[i-1].who != b.who {
			ended[beats[i-1].who] = true
		}
	}
	t.Logf("turns: %v", turns)
}
