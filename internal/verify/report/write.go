package report

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/google/renameio/v2"

	"github.com/updraft-cloud/updraft/internal/timeline"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// Write writes the page to the file html and JUnit XML to the file junit, each
// whole or not at all; an empty name means that it is not wanted. The page also
// shows the steps of the run, if any.
func Write(r verify.Report, html, junit string, run ...timeline.Step) error {
	return errors.Join(
		writeFile(html, func(w io.Writer) error { return HTML(w, r, run) }),
		writeFile(junit, func(w io.Writer) error { return JUnit(w, r) }))
}

func writeFile(name string, render func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	if err := render(&b); err != nil {
		return err
	}
	if err := renameio.WriteFile(name, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("cannot write the report: %w", err)
	}
	return nil
}
