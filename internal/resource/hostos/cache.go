package hostos

import (
	"slices"
	"sync"
	"syscall"
	"time"
)

// cache holds values that were made of files.
type cache struct {
	mu  sync.Mutex
	set map[string]*cached
}

type cached struct {
	mu     sync.Mutex // held while loading, so that it is done once
	stamps []stamp
	value  any
}

// stamp tells a file from what replaces it, and from itself after a change.
type stamp struct {
	dev, ino uint64
	size     int64
	changed  time.Time // zero when there is no file
}

// settled is for how long a file must have been left alone before what is read
// of it is kept: ctime is of the kernel's tick, so that two changes within one
// might look alike. The slowest tick is 10 ms.
const settled = 20 * time.Millisecond

func (f *files) stamp(name string) stamp {
	fi, err := f.tree.Stat(name)
	if err != nil {
		return stamp{}
	}
	st := fi.Sys().(*syscall.Stat_t)
	return stamp{dev: st.Dev, ino: st.Ino, size: st.Size, changed: timeOf(st.Ctim)}
}

// Cached returns the value under key, loading it when a file has changed. A value
// is kept only if its files had been at rest and have not changed meanwhile.
func (h *Host) Cached(key string, names []string, load func() (any, error)) (any, error) {
	for _, name := range names {
		if err := checkPath("stat", name); err != nil {
			return nil, err
		}
	}
	c := h.cache.get(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	now := h.stamps(names)
	if c.stamps != nil && slices.Equal(c.stamps, now) {
		return c.value, nil
	}
	c.stamps = nil
	value, err := load()
	if err != nil {
		return nil, err
	}
	rests := !slices.ContainsFunc(now, func(s stamp) bool { return time.Since(s.changed) < settled })
	if rests && slices.Equal(now, h.stamps(names)) {
		c.stamps, c.value = now, value
	}
	return value, nil
}

func (h *Host) stamps(names []string) []stamp {
	out := make([]stamp, len(names))
	for i, name := range names {
		out[i] = h.stamp(name)
	}
	return out
}

func (c *cache) get(key string) *cached {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.set == nil {
		c.set = map[string]*cached{}
	}
	if c.set[key] == nil {
		c.set[key] = &cached{}
	}
	return c.set[key]
}
