package pkgcache

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func kib(c string) file { return file{content: strings.Repeat(c, 1024)} }

func TestTheLeastRecentlyUsedIsEvicted(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxBytes = 3 * 1024 })
	for _, n := range []string{"a", "b", "c", "d"} {
		r.up.put("/"+n+".deb", kib(n))
	}
	for _, n := range []string{"a", "b", "c", "a", "d"} { // b is the oldest when d comes
		r.get("/" + n + ".deb")
		r.settle()
	}
	for n, want := range map[string]string{"a": "hit", "c": "hit", "d": "hit"} {
		if got := r.get("/" + n + ".deb"); got.state != want {
			t.Errorf("%s: %s, want %s", n, got.state, want)
		}
	}
	if s := r.cache.Stats(); s.Bytes != 3*1024 || s.Evicted != 1 || s.Objects != 3 {
		t.Errorf("stats: %+v", s)
	}
	if n := len(filesIn(t, r.cache.opts.Dir)); n != 6 {
		t.Errorf("%d files, want content and metadata of three objects", n)
	}
}

func TestTheOrderOfUseSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	write := func(s *store, key string) {
		f, err := os.CreateTemp(filepath.Join(dir, "tmp"), "fetch-")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if !s.reserve(1) {
			t.Fatal("no room")
		}
		if _, err := f.WriteString("x"); err != nil {
			t.Fatal(err)
		}
		if err := s.put(key, meta{Size: 1}, f); err != nil {
			t.Fatal(err)
		}
	}
	s := openTest(t, dir, 3)
	for i, key := range []string{"aa", "bb", "cc"} {
		write(s, key)
		then := time.Unix(int64(1000+i), 0)
		if err := os.Chtimes(s.path(key, key+".json"), then, then); err != nil {
			t.Fatal(err)
		}
	}
	s.open("aa").release() // used now
	s.close()
	s = openTest(t, dir, 2)
	defer s.close()
	if s.entries["aa"] == nil || s.entries["bb"] != nil || s.entries["cc"] == nil {
		t.Errorf("kept: %v", s.entries)
	}
}

func openTest(t *testing.T, dir string, limit int64) *store {
	t.Helper()
	c, err := New(Options{Dir: dir, MaxBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	return c.store
}

func TestWhatIsBeingServedIsNotEvicted(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxBytes = 1024 })
	r.up.put("/a.deb", kib("a"))
	r.up.put("/b.deb", kib("b"))
	r.get("/a.deb")
	r.settle()
	held := r.cache.store.open(mustTarget(t, r.up.url("/a.deb")).key)
	r.wantBody(r.get("/b.deb"), "relayed", strings.Repeat("b", 1024))
	r.settle()
	held.release()
	r.wantBody(r.get("/b.deb"), "miss", strings.Repeat("b", 1024))
}

func TestAnObjectLargerThanTheCacheIsRelayed(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxBytes = 1000 })
	r.up.put("/small.deb", file{content: "small"})
	r.up.put("/a.deb", kib("a"))
	r.get("/small.deb")
	r.settle()
	r.wantBody(r.get("/a.deb"), "relayed", strings.Repeat("a", 1024))
	r.settle()
	r.wantBody(r.get("/small.deb"), "hit", "small") // nothing was evicted in vain
}

func TestOnAFullDiskObjectsAreRelayed(t *testing.T) {
	r := newRig(t, nil)
	r.cache.store.free = func() int64 { return spare + 1000 }
	r.up.put("/small.deb", file{content: "small"})
	r.up.put("/a.deb", kib("a"))
	r.wantBody(r.get("/a.deb"), "relayed", strings.Repeat("a", 1024))
	r.wantBody(r.get("/small.deb"), "miss", "small")
	r.settle()
	r.cache.store.free = func() int64 { return spare + 1020 } // the small one makes up for the rest
	r.wantBody(r.get("/a.deb"), "miss", strings.Repeat("a", 1024))
	if s := r.cache.Stats(); s.Evicted != 1 {
		t.Errorf("stats: %+v", s)
	}
}

func TestABodyThatOutgrowsTheCacheBreaksOff(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxBytes = 1000 })
	r.up.put("/a.deb", file{serve: func(w http.ResponseWriter, _ *http.Request) {
		for range 100 {
			fmt.Fprint(w, strings.Repeat("x", 1000))
			http.NewResponseController(w).Flush()
		}
	}})
	resp, err := r.client.Get(r.up.url("/a.deb"))
	if err == nil { // the break may come before or after the header
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Error("client saw a whole body")
	}
	r.settle()
	if n := len(filesIn(t, r.cache.opts.Dir)); n != 0 {
		t.Errorf("%d files left", n)
	}
}

func TestWhatACrashLeavesIsCleanedUp(t *testing.T) {
	tests := []struct {
		name  string
		wreck func(blob, meta string) error
	}{
		{"an unfinished fetch", func(blob, _ string) error {
			return os.WriteFile(filepath.Join(filepath.Dir(blob), "..", "..", "tmp", "fetch-1"), nil, 0o600)
		}},
		{"content without metadata", func(_, meta string) error { return os.Remove(meta) }},
		{"metadata without content", func(blob, _ string) error { return os.Remove(blob) }},
		{"content cut short", func(blob, _ string) error { return os.Truncate(blob, 3) }},
		{"metadata cut short", func(_, meta string) error { return os.Truncate(meta, 3) }},
		{"metadata that names a foreign file", func(_, meta string) error {
			return os.WriteFile(meta, []byte(`{"blob":"../../../etc/passwd","size":1}`), 0o644)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, nil)
			r.up.put(deb, file{content: "package"})
			r.get(deb)
			r.settle()
			files := filesIn(t, r.cache.opts.Dir)
			if len(files) != 2 {
				t.Fatalf("files: %v", files)
			}
			if err := tt.wreck(files[0], files[1]); err != nil {
				t.Fatal(err)
			}
			if err := r.cache.store.close(); err != nil {
				t.Fatal(err)
			}
			r.cache.store.lock = nopLock(t)
			again := newRigFor(t, r.up, func(o *Options) { o.Dir = r.cache.opts.Dir })
			left := filesIn(t, r.cache.opts.Dir)
			if s := again.cache.Stats(); len(left) != 2*s.Objects || s.Bytes != int64(7*s.Objects) {
				t.Errorf("files %v, stats %+v", left, s)
			}
			if got := again.get(deb); got.body != "package" {
				t.Errorf("got %q", got.body)
			}
		})
	}
}

func TestAnObjectWhoseFileIsGoneIsFetchedAgain(t *testing.T) {
	r := newRig(t, nil)
	r.up.put(deb, file{content: "package"})
	r.get(deb)
	r.settle()
	for _, f := range filesIn(t, r.cache.opts.Dir) {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	r.wantBody(r.get(deb), "miss", "package")
	r.settle()
	r.wantBody(r.get(deb), "hit", "package")
}

func TestADirectoryHasOneOwner(t *testing.T) {
	dir := t.TempDir()
	c, err := New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "used by another process") {
		t.Errorf("second owner: %v", err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	c, err = New(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}
