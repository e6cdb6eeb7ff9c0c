package ui

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/engine"
)

func TestAPlanCountsItsStepsByPhaseInTheOrderOfPhases(t *testing.T) {
	steps := func(phases ...engine.Phase) *engine.Plan {
		p := &engine.Plan{}
		for _, ph := range phases {
			p.Steps = append(p.Steps, engine.Step{ID: "x", Action: engine.Create, Phase: ph})
		}
		return p
	}
	for _, tc := range []struct {
		rule string
		plan *engine.Plan
		want string
	}{
		{"all phases", steps(engine.Start, engine.Build, engine.Configure, engine.Provision, engine.Start), "Steps by phase: provision 1, build 1, configure 1, start 2.\n"},
		{"steps without one", steps(""), ""},
		{"no steps", steps(), ""},
	} {
		var b strings.Builder
		if err := Plan(&b, "demo", tc.plan, PlanOptions{}); err != nil {
			t.Fatal(err)
		}
		_, got, _ := strings.Cut(b.String(), "resources.\n")
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.rule, got, tc.want)
		}
	}
}
