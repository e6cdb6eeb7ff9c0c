package beat_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/lb/amphora/beat"
)

var (
	oldKey = []byte("the key of yesterday")
	newKey = []byte("the key of today")
)

func a(boot, seq uint64) *beat.Beat {
	return &beat.Beat{
		Amphora: "a", Boot: boot, Seq: seq, Version: 3, Digest: "d", Holds: true,
		Listeners: map[string]beat.Listener{"l": {Status: beat.Full, Counters: beat.Counters{BytesIn: 1, Total: 2}}},
		Pools:     map[string]beat.Pool{"p": {Status: beat.Up, Members: map[string]string{"m": beat.Drain}}},
	}
}

func sealed(t testing.TB, b *beat.Beat, key []byte) []byte {
	t.Helper()
	data, err := beat.Seal(b, key)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func knows(keys ...[]byte) func(string) [][]byte {
	return func(amphora string) [][]byte {
		if amphora != "a" {
			return nil
		}
		return keys
	}
}

func TestWhatIsSentArrives(t *testing.T) {
	got, err := receiver(knows(newKey)).Open(sealed(t, a(1, 1), newKey))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a(1, 1), got); diff != "" {
		t.Error(diff)
	}
}

func TestTheKeyCanBeChangedWhileBeatsArrive(t *testing.T) {
	r := receiver(knows(newKey, oldKey))
	for i, key := range [][]byte{oldKey, newKey, oldKey} {
		if _, err := r.Open(sealed(t, a(1, uint64(i+1)), key)); err != nil {
			t.Errorf("beat %d: %v", i, err)
		}
	}
}

func TestForgeriesAreRefused(t *testing.T) {
	good := sealed(t, a(1, 1), newKey)
	stranger := a(1, 1)
	stranger.Amphora = "b"
	for name, data := range map[string][]byte{
		"another key": sealed(t, a(1, 1), []byte("guess")), "unknown amphora": sealed(t, stranger, newKey),
		"cut off": good[:len(good)-1], "longer": append(bytes.Clone(good), 0), "head only": good[:10], "empty": nil,
	} {
		if _, err := receiver(knows(newKey)).Open(data); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	for i := range good {
		data := bytes.Clone(good)
		data[i] ^= 1
		if _, err := receiver(knows(newKey)).Open(data); err == nil {
			t.Errorf("byte %d was changed, and it was taken", i)
		}
	}
	if _, err := beat.Seal(a(1, 1), nil); err == nil {
		t.Error("without a key it was sealed")
	}
}

// receiver is one that knows the beginning of all.
func receiver(keys func(string) [][]byte) *beat.Receiver {
	r := beat.NewReceiver(keys, func(string) {})
	r.Seed("a", 0, 0)
	r.Seed("b", 0, 0)
	return r
}

func TestOnlyWhatIsNewerIsTaken(t *testing.T) {
	asked := 0
	r := beat.NewReceiver(knows(newKey), func(string) { asked++ })
	recorded := sealed(t, a(5, 9), newKey)
	if _, err := r.Open(recorded); !errors.Is(err, beat.ErrUnseeded) || asked != 1 {
		t.Errorf("after a restart a beat was taken: %v, and asked %d times", err, asked)
	}
	r.Seed("a", 5, 10)
	r.Seed("a", 5, 3) // answered before, and came later
	for _, tc := range []struct {
		boot, seq uint64
		ok        bool
	}{{5, 10, false}, {5, 9, false}, {4, 100, false}, {5, 11, true}, {5, 11, false}, {5, 20, true}, {5, 12, false}, {6, 1, true}, {5, 21, false}} {
		_, err := r.Open(sealed(t, a(tc.boot, tc.seq), newKey))
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, beat.ErrReplay) {
			t.Errorf("start %d, beat %d: %v", tc.boot, tc.seq, err)
		}
	}
	r.Seed("a", 2, 7) // it has lost its memory
	if _, err := r.Open(sealed(t, a(2, 8), newKey)); err != nil {
		t.Errorf("of an agent that began anew: %v", err)
	}
	r.Keep(func(string) bool { return false })
	if _, err := r.Open(sealed(t, a(2, 9), newKey)); !errors.Is(err, beat.ErrUnseeded) {
		t.Errorf("after it was forgotten: %v", err)
	}
}

func TestManyMembersFitIntoADatagram(t *testing.T) {
	b := a(1, 1)
	for p := range 10 {
		pool := beat.Pool{Status: beat.Up, Members: map[string]string{}}
		for m := range 100 {
			pool.Members[fmt.Sprintf("%08x-0000-4000-8000-%012x", p*7919*(m+1), m*104729)] = beat.Up
		}
		b.Pools[fmt.Sprint(p)] = pool
	}
	if n := len(sealed(t, b, newKey)); n > beat.MaxDatagram/2 {
		t.Errorf("1000 members take %d bytes", n)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sealed(f, a(1, 1), newKey))
	f.Add([]byte("UB1\xffa"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := receiver(func(string) [][]byte { return [][]byte{oldKey} })
		if b, err := r.Open(data); err == nil {
			t.Errorf("%+v was taken without a key", b)
		}
	})
}
