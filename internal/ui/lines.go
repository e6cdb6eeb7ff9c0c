package ui

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/engine"
)

// Lines returns a sink that writes a line for each step that ends. verbose adds
// the steps' own output and their starts.
func Lines(w io.Writer, verbose bool) engine.Sink {
	return func(e engine.Event) {
		if line := printable(eventLine(e, verbose)); line != "" {
			// Progress that cannot be written is no reason to stop the work.
			_, _ = fmt.Fprintln(w, line)
		}
	}
}

func eventLine(e engine.Event, verbose bool) string {
	took := e.Took.Round(10 * time.Millisecond)
	switch e.Type {
	case engine.EvDone:
		if e.Kind == engine.KindTurn {
			return fmt.Sprintf("→ %-12s has its turn: the others do their work (%s)", where(e), took)
		}
		if !e.Changed && !verbose {
			return ""
		}
		return fmt.Sprintf("%s %-12s %s (%s)", doneMark(e), where(e), what(e), took)
	case engine.EvFail:
		return fmt.Sprintf("✗ %-12s %s: %s (%s)", where(e), what(e), e.Err, took)
	case engine.EvRetry:
		return fmt.Sprintf("… %-12s %s: %s; try %d failed, again in %s", where(e), what(e), e.Err, e.Try, e.Pause.Round(100*time.Millisecond))
	case engine.EvBlocked:
		return fmt.Sprintf("· %-12s %s: not started, it needs %s", where(e), what(e), e.Cause)
	case engine.EvLine:
		if verbose {
			return fmt.Sprintf("  %-12s %s | %s", where(e), what(e), e.Line)
		}
	}
	return ""
}

func where(e engine.Event) string { return cmp.Or(e.Scope, "deployer") }

func what(e engine.Event) string { return strings.TrimPrefix(e.ID, e.Scope+"/") }

func doneMark(e engine.Event) string {
	if m, ok := marks[e.Action]; ok && e.Changed {
		return m
	}
	return "="
}

// JSONLines returns a sink that writes each event as a line of [JSONLine].
func JSONLines(w io.Writer) engine.Sink {
	return func(e engine.Event) {
		_ = JSONLine(w, "event", e) // as in Lines
	}
}

// JSONLine writes one line with one object: its type, and under the type's name
// the value. A command that writes several such lines writes nothing else.
func JSONLine(w io.Writer, kind string, value any) error {
	name, err := json.Marshal(kind)
	if err != nil {
		return err
	}
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `{"type":%s,%s:%s}`+"\n", name, name, body)
	return err
}

// Tee returns a sink that hands every event to all of them.
func Tee(sinks ...engine.Sink) engine.Sink {
	return func(e engine.Event) {
		for _, s := range sinks {
			s(e)
		}
	}
}

// Summary writes how a run ended and, if it did not end well, the first cause
// and the command that goes on.
func Summary(w io.Writer, r engine.Result, again string) {
	total := r.Changed + r.Removed
	switch {
	case len(r.Failed) == 0 && !r.Stopped && total == 0:
		fmt.Fprintf(w, "No changes (%s).\n", r.Took.Round(10*time.Millisecond))
		return
	default:
		fmt.Fprintf(w, "%d changed, %d removed, %d failed, %d not started (%s).\n",
			r.Changed, r.Removed, len(r.Failed), len(r.Blocked), r.Took.Round(10*time.Millisecond))
	}
	for i, f := range r.Failed {
		if i == 0 {
			fmt.Fprintf(w, "\nFirst cause: %s\n  %s\n", f.ID, printable(strings.ReplaceAll(f.Err, "\n", "\n  ")))
			continue
		}
		fmt.Fprintf(w, "also failed: %s: %s\n", f.ID, printable(firstLine(f.Err)))
	}
	if len(r.Failed) > 0 || r.Stopped {
		fmt.Fprintf(w, "\nNothing is lost. To go on: %s\n", again)
	}
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
