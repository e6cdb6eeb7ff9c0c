package unit

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/retry"
)

// properties are those of org.freedesktop.systemd1(5) that are looked at.
const properties = "Id,LoadState,LoadError,ActiveState,SubState,UnitFileState,Type,Result,CanReload,NeedDaemonReload," +
	"RemainAfterExit,ActiveEnterTimestamp,ExecMainStartTimestamp,NRestarts"

// state is what systemd says of a unit.
type state map[string]string

func (s state) found() bool   { return s["LoadState"] != "not-found" }
func (s state) running() bool { return s["ActiveState"] == "active" || s.reloading() }
func (s state) reloading() bool {
	return s["ActiveState"] == "reloading" || s["ActiveState"] == "refreshing"
}

// stopped holds for failed as well: nothing runs.
func (s state) stopped() bool { return s["ActiveState"] == "inactive" || s["ActiveState"] == "failed" }

// enabled reports whether the unit is started at boot. A generator (Quadlet,
// fstab) that made the unit has decided that for itself.
func (s state) enabled() bool {
	return s["UnitFileState"] == "enabled" || s["UnitFileState"] == "generated"
}

// disabled is not the contrary: a unit enabled until the next boot is neither.
func (s state) disabled() bool {
	return s["UnitFileState"] != "enabled" && s["UnitFileState"] != "enabled-runtime"
}

func (s state) masked() bool { return strings.HasPrefix(s["UnitFileState"], "masked") }

// startedAt is when the process began, or for units without one when it became active.
func (s state) startedAt() (time.Time, error) {
	for _, p := range []string{"ExecMainStartTimestamp", "ActiveEnterTimestamp"} {
		if v := s[p]; v != "" && v != "n/a" {
			// Go reads the fraction of a second though the layout has none.
			return time.Parse("Mon 2006-01-02 15:04:05 MST", v)
		}
	}
	return time.Time{}, nil
}

// shown caches what systemd said, until the next change.
type shown struct {
	mu     sync.Mutex
	states map[string]state
}

// Show asks for the states of units in one process, unless they are known.
// Other kinds that consist of units call it to prepare.
func Show(ctx context.Context, h resource.Host, names ...string) error {
	_, err := lookup(ctx, h, names...)
	return err
}

func lookup(ctx context.Context, h resource.Host, names ...string) (map[string]state, error) {
	v, err := h.Memo("unit: shown", func() (any, error) { return &shown{states: map[string]state{}}, nil })
	if err != nil {
		return nil, err
	}
	c := v.(*shown)
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]state{}
	var ask []string
	for _, n := range names {
		s, known := c.states[n]
		if _, asked := out[n]; !known && !asked {
			ask = append(ask, n)
		}
		out[n] = s
	}
	if len(ask) == 0 {
		return out, nil
	}
	fresh, err := show(ctx, h, ask)
	if err != nil {
		return nil, err
	}
	for i, n := range ask {
		c.states[n], out[n] = fresh[i], fresh[i]
	}
	return out, nil
}

// show runs systemctl show. Times are asked for in microseconds; a systemd
// before 247 cannot do that and prints whole seconds, rounded down, at which a
// process seems older than it is: that costs a restart too many at worst.
func show(ctx context.Context, h resource.Host, names []string) ([]state, error) {
	cmd := resource.Command{Name: "systemctl", Quiet: true, Reads: true, Env: []string{"TZ=UTC"},
		Args: append([]string{"show", "--timestamp=us+utc", "-p", properties, "--"}, names...)}
	out, err := h.Run(ctx, cmd)
	if err != nil && strings.Contains(string(out.Stderr), "--timestamp") {
		cmd.Args = append([]string{"show", "-p", properties, "--"}, names...)
		out, err = h.Run(ctx, cmd)
	}
	if err != nil {
		return nil, systemctlError(err)
	}
	blocks := strings.Split(strings.TrimSpace(string(out.Stdout)), "\n\n")
	if len(blocks) != len(names) {
		return nil, fmt.Errorf("cannot read the output of systemctl show: %d units for %d names", len(blocks), len(names))
	}
	states := make([]state, len(blocks))
	for i, b := range blocks {
		states[i] = state{}
		for line := range strings.Lines(b) {
			k, v, _ := strings.Cut(strings.TrimSpace(line), "=")
			states[i][k] = v
		}
	}
	return states, nil
}

// systemctlError words and classifies the failure to speak to systemd.
func systemctlError(err error) error {
	var exit *resource.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	switch {
	case strings.Contains(exit.Stderr, "has not been booted with systemd"):
		return errors.New("cannot manage units: systemd does not run on this host")
	case strings.Contains(exit.Stderr, "Failed to connect to bus"), strings.Contains(exit.Stderr, "Transport endpoint is not connected"):
		return retry.Mark(fmt.Errorf("systemd does not answer: %w", err), retry.Transient)
	}
	return err
}

// Status is what matters of a unit to kinds that are more than units.
type Status struct {
	Found    bool
	Running  bool
	Active   string    // as systemd calls it: active, activating, failed, …
	Restarts int       // how often systemd has started it by itself
	Started  time.Time // when its process began, zero if there was none
}

// Look returns the status of a unit.
func Look(ctx context.Context, h resource.Host, name string) (Status, error) {
	states, err := lookup(ctx, h, name)
	if err != nil {
		return Status{}, err
	}
	s := states[name]
	out := Status{Found: s.found(), Running: s.running(), Active: s["ActiveState"]}
	if n := s["NRestarts"]; n != "" {
		if out.Restarts, err = strconv.Atoi(n); err != nil {
			return Status{}, fmt.Errorf("cannot read the output of systemctl show: %w", err)
		}
	}
	out.Started, err = s.startedAt()
	return out, err
}
