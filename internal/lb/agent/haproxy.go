package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// Refused is what HAProxy says against a configuration.
type Refused struct{ Output string }

func (r *Refused) Error() string { return "HAProxy refuses the configuration" }

// haproxy is HAProxy as master and worker, in a directory that it finds its
// files from.
type haproxy struct {
	dir, program string
	log          *slog.Logger
	process      *process
	// leaving are removed servers that still have connections.
	leaving []string
	// noCookies says that this HAProxy has refused a server with a cookie.
	noCookies bool
}

func newHAProxy(dir, program string, log *slog.Logger, ended func()) *haproxy {
	h := &haproxy{dir: dir, program: program, log: log}
	h.process = &process{name: "haproxy", dir: dir, log: log, ended: ended, command: func() *exec.Cmd {
		// A relative name, because the paths of sockets have 107 bytes at most.
		return exec.Command(program, "-W", "-S", "unix@master.sock,mode,600", "-f", configFile)
	}}
	return h
}

const (
	configFile    = "haproxy.cfg"
	candidateFile = "haproxy.cfg.new"
	stateFile     = "server-state"
	certsDir      = "certs"
)

// startTimeout is how long HAProxy may take to start or to reload, with many
// certificates on a busy computer.
const startTimeout = 30 * time.Second

// apply makes HAProxy be as wanted, and returns how.
func (h *haproxy) apply(ctx context.Context, from, to *amphora.HAProxy, files []amphora.File) (by, why string, err error) {
	running := h.process.running()
	switch {
	case to == nil && !running:
		return amphora.ByNothing, "", nil
	case to == nil:
		return amphora.ByStop, "", h.process.stop(ctx)
	case !running:
		return amphora.ByStart, "", h.start(ctx, to, files)
	}
	plan := amphora.Diff(from, to)
	switch {
	case plan.Empty():
		return amphora.ByNothing, "", nil
	case plan.Reload:
		return amphora.ByReload, plan.Why, h.reload(ctx, to, files)
	case plan.Cookies && h.noCookies:
		return amphora.ByReload, "this HAProxy takes no server with a cookie at run time", h.reload(ctx, to, files)
	}
	if err := h.commands(plan); err != nil {
		h.log.Warn("what could not be done at run time is done by a reload", "error", err)
		h.noCookies = h.noCookies || strings.Contains(err.Error(), "'cookie' option is not accepted")
		return amphora.ByReload, err.Error(), h.insist(ctx, from, to, files)
	}
	return amphora.ByRuntime, "", h.keep(ctx, from, to, files)
}

// insist reloads after a part of what is wanted was done at run time. If HAProxy
// refuses the whole, that part is taken back.
func (h *haproxy) insist(ctx context.Context, from, to *amphora.HAProxy, files []amphora.File) error {
	err := h.reload(ctx, to, files)
	if refused := (*Refused)(nil); errors.As(err, &refused) {
		err = errors.Join(err, h.reload(ctx, from, files))
	}
	return err
}

func (h *haproxy) commands(plan amphora.Plan) error {
	for _, c := range plan.Commands {
		if err := h.command(c); err != nil {
			return err
		}
	}
	h.leaving = append(h.leaving, plan.Leaving...)
	return nil
}

// keep writes what has taken effect, for the next start. HAProxy has checked
// each command; if it refused the file nevertheless, it goes back.
func (h *haproxy) keep(ctx context.Context, from, to *amphora.HAProxy, files []amphora.File) error {
	err := h.check(ctx, to, files)
	if err != nil {
		return errors.Join(err, h.reload(ctx, from, files))
	}
	return h.commit()
}

// purge deletes servers whose last connection has ended.
func (h *haproxy) purge() {
	var rest []string
	for _, s := range h.leaving {
		if answer, err := ask(h.socket(), "del server "+s); err != nil || !strings.HasPrefix(answer, "Server deleted") && !strings.HasPrefix(answer, "No such server") {
			rest = append(rest, s)
		}
	}
	h.leaving = rest
}

func (h *haproxy) path(name string) string { return filepath.Join(h.dir, name) }

// check writes the candidate and has HAProxy look at it.
func (h *haproxy) check(ctx context.Context, to *amphora.HAProxy, files []amphora.File) error {
	if err := os.MkdirAll(h.path(certsDir), 0o700); err != nil {
		return err
	}
	for _, f := range files {
		if err := h.put(f); err != nil {
			return err
		}
	}
	if err := replace(h.path(candidateFile), []byte(to.Text())); err != nil {
		return err
	}
	if _, err := os.Stat(h.path(stateFile)); err != nil {
		if err := replace(h.path(stateFile), []byte(noState)); err != nil {
			return err
		}
	}
	cmd := exec.CommandContext(ctx, h.program, "-c", "-f", candidateFile)
	cmd.Dir = h.dir
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return &Refused{Output: brief(string(out))}
	}
	return err
}

// put writes a file, unless it is there: it is named after its content.
func (h *haproxy) put(f amphora.File) error {
	path := filepath.Join(h.path(certsDir), f.Name)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	if len(f.Data) == 0 {
		return fmt.Errorf("cannot go on with the secret %s: it is not here", f.Name)
	}
	return replace(path, f.Data)
}

// brief leaves what is against a configuration.
func brief(output string) string {
	var alerts []string
	for line := range strings.Lines(output) {
		if strings.Contains(line, "[ALERT]") {
			alerts = append(alerts, strings.TrimSpace(line))
		}
	}
	if len(alerts) == 0 {
		return output
	}
	return strings.Join(alerts, "\n")
}

func (h *haproxy) commit() error { return os.Rename(h.path(candidateFile), h.path(configFile)) }

func (h *haproxy) start(ctx context.Context, to *amphora.HAProxy, files []amphora.File) error {
	if err := h.check(ctx, to, files); err != nil {
		return err
	}
	if err := h.commit(); err != nil {
		return err
	}
	return h.restart(ctx)
}

// noState is a state file that says nothing.
const noState = "1\n"

// restart starts it as it was. What was seen at the last reload is too old to be
// true.
func (h *haproxy) restart(ctx context.Context) error {
	if err := errors.Join(replace(h.path(stateFile), []byte(noState)), h.process.start()); err != nil {
		return err
	}
	h.leaving = nil
	return h.until(ctx, "start", func(w workers) bool { return w.current != 0 })
}

// reload has the master start another worker, which gets the listening sockets
// of this one over the runtime API (expose-fd listeners).
func (h *haproxy) reload(ctx context.Context, to *amphora.HAProxy, files []amphora.File) error {
	if err := h.check(ctx, to, files); err != nil {
		return err
	}
	before, err := h.workers()
	if err != nil {
		return err
	}
	dump, err := ask(h.socket(), "show servers state")
	if err != nil {
		return err
	}
	if err := replace(h.path(stateFile), []byte(serverState(dump, to))); err != nil {
		return err
	}
	undo, err := os.ReadFile(h.path(configFile))
	if err != nil {
		return err
	}
	if err := h.commit(); err != nil {
		return err
	}
	// The master's answer ends with itself.
	if _, err := ask(h.master(), "reload"); err != nil {
		h.log.Debug("the master's socket was closed by the reload", "error", err)
	}
	failed := false
	err = h.until(ctx, "reload", func(w workers) bool {
		failed = w.failed > before.failed
		return failed || w.current != 0 && w.current != before.current
	})
	if failed {
		err = &Refused{Output: "the new process did not start: " + h.process.tail()}
	}
	if err != nil {
		return errors.Join(err, replace(h.path(configFile), undo))
	}
	h.leaving = nil
	h.prune(files)
	return nil
}

// until waits for the processes to be as they shall be, and to answer.
func (h *haproxy) until(ctx context.Context, what string, ready func(workers) bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if w, err := h.workers(); err == nil && ready(w) {
			if _, err := ask(h.socket(), "show version"); err == nil {
				return nil
			}
		}
		if !h.process.running() {
			return &Refused{Output: "HAProxy ended: " + h.process.tail()}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("HAProxy does not %s: %w", what, ctx.Err())
		case <-tick.C:
		}
	}
}

// prune removes files that no configuration names any longer.
func (h *haproxy) prune(files []amphora.File) {
	keep := map[string]bool{}
	for _, f := range files {
		keep[f.Name] = true
	}
	entries, _ := os.ReadDir(h.path(certsDir))
	for _, e := range entries {
		if !keep[e.Name()] {
			_ = os.Remove(filepath.Join(h.path(certsDir), e.Name()))
		}
	}
}

// replace writes a file that is whole or not there; it may hold a key.
func replace(path string, data []byte) error {
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
