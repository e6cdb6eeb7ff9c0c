package unit_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

func TestWhatWorksAndWhatWouldDisturbIt(t *testing.T) {
	differs := func(attrs ...string) drift.Report {
		var b drift.Builder
		for _, a := range attrs {
			b.Add(drift.Change{Attr: a})
		}
		return b.Report()
	}
	for _, tt := range []struct {
		rule, unit, state string
		found             drift.Report
		triggered         []string
		works, disturbs   bool
	}{
		{"one that agrees", "x.service", unit.Started, differs(), nil, true, false},
		{"one that a trigger restarts", "x.service", unit.Started, differs(), []string{"c1/file:/etc/x"}, true, true},
		{"one whose file differs", "x.service", unit.Started, differs("content"), nil, true, true},
		{"one that is only to be enabled", "x.service", unit.Started, differs("enabled"), nil, true, false},
		{"one that does not run", "x.service", unit.Started, differs("state"), nil, false, true},
		{"one that is to be stopped", "x.service", unit.Stopped, differs("state"), nil, true, true},
		{"one that is off and stays so", "x.service", unit.Stopped, differs(), []string{"c1/file:/etc/x"}, true, false},
		{"a timer does no work of its own", "x.timer", unit.Started, differs("content"), nil, true, false},
		{"one that cannot be seen", "x.service", unit.Started, drift.Report{}, nil, false, false},
	} {
		r := &unit.Resource{Name: tt.unit, State: tt.state}
		if works, disturbs := r.Works(tt.found), r.Disturbs(tt.found, tt.triggered); works != tt.works || disturbs != tt.disturbs {
			t.Errorf("%s: works %t, disturbs %t", tt.rule, works, disturbs)
		}
	}
}
