package hostos_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource/hostos"
)

func TestCachedUntilAFileChanges(t *testing.T) {
	dir := t.TempDir()
	file, other := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	h, err := hostos.New(hostos.Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	loads := 0
	get := func() string {
		t.Helper()
		v, err := h.Cached("k", []string{"/a"}, func() (any, error) {
			loads++
			data, err := h.ReadFile("/a")
			return string(data), err
		})
		if err != nil {
			t.Fatal(err)
		}
		return v.(string)
	}
	write(file, "one")
	for deadline := time.Now().Add(10 * time.Second); ; { // a fresh file is read each time
		before := loads
		if get(); loads == before || time.Now().After(deadline) {
			break
		}
	}
	loads = 0
	write(other, "x")
	h.Forget()
	if got := get(); got != "one" || loads != 0 {
		t.Errorf("another file's change: %q after %d loads", got, loads)
	}
	write(file, "two")
	if got := get(); got != "two" {
		t.Errorf("after a change it is %q", got)
	}
	write(file, "six") // of the same size, within the same tick
	if got := get(); got != "six" {
		t.Errorf("after a second change it is %q", got)
	}
}

func TestLockFileKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	h, err := hostos.New(hostos.Options{Root: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	unlock, err := h.LockFile(t.Context(), "/lock")
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan error)
	go func() {
		free, err := h.LockFile(t.Context(), "/lock")
		if err == nil {
			free()
		}
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("a second lock was given: %v", err)
	case <-time.After(60 * time.Millisecond):
	}
	unlock()
	if err := <-got; err != nil {
		t.Error(err)
	}
}
