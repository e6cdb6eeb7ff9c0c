// Package fakehost is a strict operating system in memory: a file system and
// just the commands that resource kinds use, as stateful fakes.
//
// It guarantees that what it accepts, the real thing accepts too: commands know
// their arguments, files need their directories, an unknown command or option
// is an error that [Host.Refused] keeps for the test to find. [Host.String]
// renders all of it as an operator would see it, so that two states can be
// compared as text. Faults are injected at any change: see [Host.CutAfter],
// [Host.FailAfter] and [Host.Fill].
//
// Commands come in families, one file each; [Standard] lists them.
package fakehost

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// ErrPowerCut is what every operation returns once the power is gone.
var ErrPowerCut = errors.New("fake host: the power is cut")

// Handler is a command. It returns a [*resource.ExitError] where the real one
// exits with a status (see [Exit]) and [Refuse] for arguments that the fake
// does not know. It reads and changes the host with [Host.View] and [Host.Change].
type Handler func(ctx context.Context, h *Host, c resource.Command) (resource.Output, error)

// Family is a group of commands with the state they share.
type Family interface {
	// Install registers the commands with [Host.Handle] and lays down files.
	Install(h *Host, f *FS)
	// Render returns the family's state as an operator would see it, or ""
	// where all of it is in files. It must not call methods of a Host.
	Render(f *FS) string
}

// Host is a fake host. It is safe for concurrent use.
type Host struct {
	*state
	log      func(line string)
	readOnly string // the command marked Reads that is running
}

type state struct {
	mu       sync.Mutex
	fs       *FS
	commands map[string]Handler
	families []Family
	memos    map[string]memo
	refused  []error
	locks    map[string]*sync.Mutex
	lines    []string // the log
	ran      []string // command lines

	changes int // made so far
	cutAt   int // no change beyond this number; -1 for none
	failAt  int // the number of the change that fails; -1 for none
	failErr error
	off     bool
}

type memo struct {
	value any
	err   error
}

var _ resource.Host = (*Host)(nil)

// New returns a host with the given families on a small base system; with
// [Standard] when none are given.
func New(families ...Family) *Host {
	if len(families) == 0 {
		families = Standard()
	}
	h := &Host{state: &state{fs: newFS(), commands: map[string]Handler{}, families: families, cutAt: -1, failAt: -1}}
	layBase(h.fs)
	for _, f := range families {
		f.Install(h, h.fs)
	}
	return h
}

// Get returns the host's family of type F. It panics if there is none.
func Get[F Family](h *Host) F {
	for _, f := range h.families {
		if got, ok := f.(F); ok {
			return got
		}
	}
	panic(fmt.Sprintf("fakehost: no family %T", *new(F)))
}

// WithLog returns the same host with another place for the log's lines.
func (h *Host) WithLog(log func(line string)) *Host {
	return &Host{state: h.state, log: log, readOnly: h.readOnly}
}

// Cached is a memo: any change might be one of the files.
func (h *Host) Cached(key string, _ []string, load func() (any, error)) (any, error) {
	return h.Memo(key, load)
}

// LockFile makes the file, and waits for the turn among those who lock it.
func (h *Host) LockFile(_ context.Context, name string) (unlock func(), err error) {
	if _, err := h.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		if err := h.WriteFile(name, nil, resource.Access{Mode: 0o600}); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return h.Lock(name), nil
}

// Handle registers a command.
func (h *Host) Handle(name string, f Handler) { h.commands[name] = f }

// Uninstall takes a command away, so that running it says that it is missing.
func (h *Host) Uninstall(name string) { h.commands[name] = nil }

// CutAfter cuts the power after n more changes. Everything fails with
// [ErrPowerCut] then, until [Host.PowerOn].
func (h *Host) CutAfter(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.cutAt = h.changes + n
}

// PowerOn brings the host back. What is not in files is lost to the kinds (the
// memos), but not the state of the families.
func (h *Host) PowerOn() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.off, h.cutAt, h.memos = false, -1, nil
}

// FailAfter lets the change after n more fail with err, once, without effect.
func (h *Host) FailAfter(n int, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failAt, h.failErr = h.changes+n, err
}

// Fill leaves no space below the directories; without any there is space again.
func (h *Host) Fill(dirs ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.fs.full = dirs
}

// Changes returns how many changes were made so far.
func (h *Host) Changes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changes
}

// Now returns the fake clock, which advances a second with each change.
func (h *Host) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.fs.now
}

// Refused returns what the fake did not know how to do. A test fails if there
// is any.
func (h *Host) Refused() []error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.refused)
}

// Log returns the lines logged so far, output of commands included.
func (h *Host) Log() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.lines)
}

// Ran returns the command lines run so far.
func (h *Host) Ran() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.ran)
}

// Change makes one change: all of what f does, or nothing if a fault is due. It
// counts as one and forgets the memos. If f fails, what it did stays.
func (h *Host) Change(f func(*FS) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off || h.changes == h.cutAt {
		h.off = true
		return ErrPowerCut
	}
	if h.readOnly != "" {
		return h.refuse(fmt.Errorf("%s is marked as only reading and changes the host", h.readOnly))
	}
	h.changes++
	if h.changes-1 == h.failAt {
		return h.failErr
	}
	h.fs.now = h.fs.now.Add(time.Second)
	h.memos = nil
	return f(h.fs)
}

// View calls f with the file system, to read.
func (h *Host) View(f func(*FS) error) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.off {
		return ErrPowerCut
	}
	return f(h.fs)
}

func (h *Host) refuse(err error) error {
	h.refused = append(h.refused, err)
	return err
}

// Run runs a registered command.
func (h *Host) Run(ctx context.Context, c resource.Command) (resource.Output, error) {
	line := CommandLine(c)
	h.mu.Lock()
	f, known := h.commands[c.Name]
	h.ran = append(h.ran, line)
	off := h.off
	h.mu.Unlock()
	switch {
	case off:
		return resource.Output{}, ErrPowerCut
	case ctx.Err() != nil:
		return resource.Output{}, fmt.Errorf("cannot finish %s: %w", line, context.Cause(ctx))
	case !known:
		h.mu.Lock()
		defer h.mu.Unlock()
		return resource.Output{}, h.refuse(fmt.Errorf("fake host: unknown command: %s", line))
	case f == nil:
		return resource.Output{}, fmt.Errorf("cannot run %s: %w", c.Name, pathErr("exec", c.Name, fs.ErrNotExist))
	}
	return h.call(ctx, f, c)
}

func (h *Host) call(ctx context.Context, f Handler, c resource.Command) (resource.Output, error) {
	view := *h
	if c.Reads {
		view.readOnly = CommandLine(c)
	} else {
		defer h.Forget()
	}
	out, err := f(ctx, &view, c)
	if !c.Quiet {
		h.Logf("%s%s", out.Stdout, out.Stderr)
	}
	var refusal *refusal
	if errors.As(err, &refusal) {
		h.mu.Lock()
		defer h.mu.Unlock()
		return out, h.refuse(err)
	}
	return out, err
}

// Memo returns the value under key, loading it the first time.
func (h *Host) Memo(key string, load func() (any, error)) (any, error) {
	h.mu.Lock()
	m, ok := h.memos[key]
	before := h.changes
	h.mu.Unlock()
	if ok {
		return m.value, m.err
	}
	m.value, m.err = load()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.changes == before {
		if h.memos == nil {
			h.memos = map[string]memo{}
		}
		h.memos[key] = m
	}
	return m.value, m.err
}

// Lock waits for the turn on what name stands for.
func (h *Host) Lock(name string) (unlock func()) {
	h.mu.Lock()
	if h.locks == nil {
		h.locks = map[string]*sync.Mutex{}
	}
	m := h.locks[name]
	if m == nil {
		m = &sync.Mutex{}
		h.locks[name] = m
	}
	h.mu.Unlock()
	m.Lock()
	return m.Unlock
}

// Forget drops all memos.
func (h *Host) Forget() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.memos = nil
}

// Logf logs lines.
func (h *Host) Logf(format string, args ...any) {
	for line := range strings.Lines(fmt.Sprintf(format, args...)) {
		line = strings.TrimRight(line, "\n")
		h.mu.Lock()
		h.lines = append(h.lines, line)
		h.mu.Unlock()
		if h.log != nil {
			h.log(line)
		}
	}
}

// Confine calls f with the host's own operations, refusing paths outside dir
// and, unlike the real one, any symlink on the way.
func (h *Host) Confine(dir string, f func(resource.Files) error) error {
	if _, err := h.Stat(dir); err != nil {
		return err
	}
	return f(confined{h, path.Clean(dir)})
}
