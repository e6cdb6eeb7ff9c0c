package statedir_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/statedir"
	"github.com/updraft-cloud/updraft/internal/engine/storetest"
)

func TestStore(t *testing.T) {
	dir := t.TempDir()
	storetest.Suite(t, func(_ *testing.T, name string) engine.Store {
		return statedir.Open(filepath.Join(dir, name))
	})
}

func entries(ids ...string) []engine.Entry {
	var out []engine.Entry
	for _, id := range ids {
		out = append(out, engine.Entry{Op: engine.OpIntend, ID: id, Record: &engine.Record{ID: id}, Found: drift.Absent})
	}
	return out
}

// TestCutAnywhere cuts the journal after every byte, as a crash in the middle of
// a write would, and asks that what was whole is kept and writing goes on.
func TestCutAnywhere(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if err := statedir.Open(dir).Append(ctx, entries("a", "b")...); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "journal.jsonl")
	whole, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	head := strings.IndexByte(string(whole), '\n') + 1
	for n := head; n <= len(whole); n++ {
		if err := os.WriteFile(name, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := statedir.Open(dir).Records(ctx)
		if want := strings.Count(string(whole[head:n]), "\n"); err != nil || len(got) != want {
			t.Fatalf("cut at %d: %d records, want %d; %v", n, len(got), want, err)
		}
	}
	if err := os.WriteFile(name, whole[:len(whole)-3], 0o600); err != nil {
		t.Fatal(err)
	}
	if err := statedir.Open(dir).Append(ctx, entries("c")...); err != nil {
		t.Fatal(err)
	}
	got, err := statedir.Open(dir).Records(ctx)
	if err != nil || len(got) != 2 || got["a"].ID == "" || got["c"].ID == "" {
		t.Errorf("after going on: %v, %v", got, err)
	}
}

func TestAnOldJournalBesideANewSnapshotIsNotReadTwice(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if err := statedir.Open(dir).Append(ctx, entries("a")...); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "journal.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	s := statedir.Open(dir)
	if err := s.Append(ctx, engine.Entry{Op: engine.OpRemoved, ID: "a"}); err != nil {
		t.Fatal(err)
	}
	if err := statedir.Open(dir).Append(ctx, entries("b")...); err != nil { // compacts: a is gone from the snapshot
		t.Fatal(err)
	}
	// A crash between snapshot and journal leaves the journal before it.
	if err := os.WriteFile(filepath.Join(dir, "journal.jsonl"), old, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := statedir.Open(dir).Records(ctx)
	if err != nil || len(got) != 0 {
		t.Errorf("records %v, %v; want none: the old journal was read again", got, err)
	}
}

func TestDamageIsReportedWithItsPlace(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	if err := statedir.Open(dir).Append(ctx, entries("a", "b")...); err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(dir, "journal.jsonl")
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(strings.Replace(string(data), `"op"`, `"op`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := statedir.Open(dir).Records(ctx); err == nil || !strings.Contains(err.Error(), "journal.jsonl:2") {
		t.Errorf("damage was reported as %v", err)
	}
}

func TestFilesAreForTheOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "clouds", "web")
	if err := statedir.Open(dir).Append(context.Background(), entries("a")...); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{".", "state.json", "journal.jsonl"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}
