package hostos

import (
	"sync"
	"syscall"
	"time"
)

// memos holds values until the next change. A load that began before a change
// keeps its place in the old set, so what it finds is never given to those who
// ask after the change.
type memos struct {
	mu  sync.Mutex
	set map[string]*memo
}

type memo struct {
	once  sync.Once
	value any
	err   error
}

func (m *memos) get(key string, load func() (any, error)) (any, error) {
	m.mu.Lock()
	e := m.set[key]
	if e == nil {
		if m.set == nil {
			m.set = make(map[string]*memo)
		}
		e = &memo{}
		m.set[key] = e
	}
	m.mu.Unlock()
	e.once.Do(func() { e.value, e.err = load() })
	return e.value, e.err
}

func (m *memos) forget() {
	m.mu.Lock()
	m.set = nil
	m.mu.Unlock()
}

func timeOf(t syscall.Timespec) time.Time { return time.Unix(t.Unix()) }

// locks are mutexes by name. They are never dropped: there are few names.
type locks struct {
	mu  sync.Mutex
	set map[string]*sync.Mutex
}

func (l *locks) lock(name string) (unlock func()) {
	l.mu.Lock()
	if l.set == nil {
		l.set = make(map[string]*sync.Mutex)
	}
	m := l.set[name]
	if m == nil {
		m = &sync.Mutex{}
		l.set[name] = m
	}
	l.mu.Unlock()
	m.Lock()
	return m.Unlock
}
