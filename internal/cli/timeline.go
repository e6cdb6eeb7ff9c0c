package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/timeline"
)

func (a *app) timelineCommand() *cobra.Command {
	var html, svg string
	var back int
	cmd := &cobra.Command{
		Use:   "timeline",
		Short: "Show where the time of a run went",
		Long: `timeline shows the last run that did something: the critical path, the slowest
steps, the time per phase; as text, or as a picture in a file.
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			steps, err := lastRun(s.dir, back)
			if err != nil {
				return err
			}
			t := timeline.New(steps)
			if html == "" && svg == "" {
				if a.json {
					return a.printJSON(t)
				}
				return t.Text(a.out)
			}
			title := "updraft: " + s.cloud.Name
			return errors.Join(
				writeIf(html, func(w io.Writer) error { return t.HTML(w, title) }),
				writeIf(svg, func(w io.Writer) error { return t.SVG(w) }))
		},
	}
	cmd.Flags().StringVar(&html, "html", "", "write a page to `FILE`")
	cmd.Flags().StringVar(&svg, "svg", "", "write a picture to `FILE`")
	cmd.Flags().IntVar(&back, "back", 0, "how many runs before the last")
	return cmd
}

// writeIf writes a file whole or not at all; an empty name means none is wanted.
func writeIf(name string, render func(io.Writer) error) error {
	if name == "" {
		return nil
	}
	var b bytes.Buffer
	if err := render(&b); err != nil {
		return err
	}
	return renameio.WriteFile(name, b.Bytes(), 0o644)
}

// lastRun reads the steps of the last recorded run, or of one further back.
func lastRun(dir string, back int) ([]timeline.Step, error) {
	runs, err := filepath.Glob(filepath.Join(dir, "runs", "*.jsonl"))
	if err != nil {
		return nil, err
	}
	if back < 0 || back >= len(runs) {
		return nil, fmt.Errorf("%d runs are recorded", len(runs))
	}
	f, err := os.Open(runs[len(runs)-1-back])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readRun(f)
}

// readRun turns events into steps. A line torn by a kill ends the run.
func readRun(r io.Reader) ([]timeline.Step, error) {
	var steps []timeline.Step
	at := map[string]int{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var e engine.Event
		if json.Unmarshal(sc.Bytes(), &e) != nil {
			break
		}
		switch i, known := at[e.ID]; {
		case e.Type == engine.EvStart:
			at[e.ID] = len(steps)
			steps = append(steps, timeline.Step{ID: e.ID, Phase: string(e.Phase), Scope: e.Scope, Start: e.Time, Needs: e.Needs})
		case known && e.Type == engine.EvDone:
			steps[i].End, steps[i].Status = e.Time, "done"
		case known && e.Type == engine.EvFail:
			steps[i].End, steps[i].Status = e.Time, "failed"
		}
	}
	return steps, sc.Err()
}
