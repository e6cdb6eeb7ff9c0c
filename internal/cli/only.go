package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/engine"
)

// onlyHelp says what --only does.
const onlyHelp = `
PARTS OF A CLOUD
  --only SELECTOR works on a part; given several times, on all of them together.

    --only host=web1            all on a host, and its machine; also group=, role=
    --only kind=file            all resources of a kind
    --only role=web,kind=unit   joined by a comma: what is both
    --only web1                 a host, a group or a role, whichever has the name
    --only web1/unit:nginx      one resource, by the name that plan shows

  What the part needs elsewhere, and is not there or not as the file says, comes
  along: plan marks it "(needed)". With --alone the run is refused instead, and
  nothing is touched. Nothing else is changed, and nothing is removed, also not
  what left the cloud file. What would act on the changes outside of the part is
  named, and does so in the next run that has it.
`

// onlyFlags choose a part of the cloud.
type onlyFlags struct {
	selectors []string
	alone     bool
}

func (f *onlyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringArrayVar(&f.selectors, "only", nil, "work on the part that `SELECTOR` stands for, such as role=web or web1/unit:nginx (repeatable)")
	cmd.Flags().BoolVar(&f.alone, "alone", false, "with --only: refuse when something outside of the part would have to change for it")
}

// options narrows the session's graph down to what the flags choose.
func (f *onlyFlags) options(s *session) (engine.Options, error) {
	if f.alone && len(f.selectors) == 0 {
		return engine.Options{}, errors.New("--alone goes with --only: alone is what it chooses")
	}
	return s.only(f.selectors)
}

// only narrows the session's graph down to what the selectors stand for and need.
func (s *session) only(selectors []string) (engine.Options, error) {
	if len(selectors) == 0 {
		return engine.Options{}, nil
	}
	match, err := compile.Select(s.cloud, s.out.Graph, selectors)
	if err != nil {
		return engine.Options{}, err
	}
	g, err := s.out.Graph.Only(match)
	if err != nil {
		return engine.Options{}, err
	}
	s.out.Graph, s.part = g, onlyArgs(selectors)
	return engine.Options{Partial: true}, nil
}

// refuse returns an error when the part is to be worked on alone and something
// elsewhere is in the way.
func (f *onlyFlags) refuse(p *engine.Plan) error {
	needed := neededSteps(p)
	if !f.alone || len(needed) == 0 {
		return nil
	}
	var b strings.Builder
	fmt.Fprintf(&b, "cannot work on %s alone: it needs what is not as the cloud file says elsewhere:", strings.Join(f.selectors, " and "))
	for _, st := range needed {
		fmt.Fprintf(&b, "\n  %s (%s)", st.ID, st.Action)
	}
	b.WriteString("\nWithout --alone these come along; nothing was done")
	return fmt.Errorf("%s", b.String())
}

func neededSteps(p *engine.Plan) []engine.Step {
	return slices.DeleteFunc(slices.Clone(p.Steps), func(st engine.Step) bool { return !st.Needed })
}

// confirm tells, before a part is worked on, what comes along and what is left for
// later, or refuses. It is nil where the whole is meant.
func (f *onlyFlags) confirm(s *session) func(*engine.Engine, *engine.Plan) error {
	if len(f.selectors) == 0 {
		return nil
	}
	if f.alone {
		s.part = append(s.part, "--alone")
	}
	return func(_ *engine.Engine, p *engine.Plan) error {
		if err := f.refuse(p); err != nil || s.a.json {
			return err
		}
		needed := neededSteps(p)
		fmt.Fprintf(s.a.err, "Only %s: %d to do", strings.Join(f.selectors, " and "), len(p.Steps)-len(needed))
		if len(needed) > 0 {
			fmt.Fprintf(s.a.err, ", and %d elsewhere that it needs (plan names them)", len(needed))
		}
		fmt.Fprintln(s.a.err)
		if len(p.Later) > 0 {
			fmt.Fprintf(s.a.err, "Left for a run that has them, as they act on these changes: %s\n", strings.Join(p.Later, ", "))
		}
		return nil
	}
}
