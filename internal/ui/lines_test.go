package ui_test

import (
	"bytes"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/ui"
)

// A host that was broken into must not write to the clipboard of whoever looks
// at a plan, or hide lines of it.
func TestWhatHostsSayCannotMoveTheCursor(t *testing.T) {
	const evil = "a\x1b[2J\x1b]52;c;eA==\x07\r\u009bb"
	var out bytes.Buffer
	p := &engine.Plan{
		Steps: []engine.Step{{ID: "a/file:/x", Scope: "a", Action: engine.Update, Changes: []drift.Change{
			{Attr: "content", From: evil, To: "x", Text: evil + "\n", NewText: "x\n"},
		}}},
		Blind: []engine.Blind{{Scope: "b", Err: evil}},
	}
	if err := ui.Plan(&out, "c", p, ui.PlanOptions{Diff: true}); err != nil {
		t.Fatal(err)
	}
	lines := ui.Lines(&out, true)
	lines(engine.Event{Type: engine.EvLine, ID: "a/file:/x", Line: evil})
	lines(engine.Event{Type: engine.EvFail, ID: "a/file:/x", Err: evil})
	ui.Summary(&out, engine.Result{Failed: []engine.Failure{{ID: "x", Err: evil}, {ID: "y", Err: evil}}}, "again")
	if bytes.ContainsAny(out.Bytes(), "\x1b\x07\r\u009b") {
		t.Errorf("%q", out.String())
	}
}
