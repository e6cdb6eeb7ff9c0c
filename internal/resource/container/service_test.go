package container

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
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
		rule            string
		found           drift.Report
		triggered       []string
		works, disturbs bool
	}{
		{"one that agrees", differs(), nil, true, false},
		{"one that a trigger restarts", differs(), []string{"c1/file:/etc/x"}, true, true},
		{"one whose configuration is newer", differs("config"), nil, true, true},
		{"one of another image", differs("file"), nil, true, true},
		{"one that is not ready", differs("ready"), nil, false, false},
		{"one of another image that is not ready", differs("file", "ready"), nil, false, true},
		{"one that does not run", differs("state"), nil, false, false},
		{"one that is not there", drift.Missing(), nil, false, true},
		{"one that cannot be seen", drift.Report{}, nil, false, false},
	} {
		r := &Resource{Name: "x"}
		if works, disturbs := r.Works(tt.found), r.Disturbs(tt.found, tt.triggered); works != tt.works || disturbs != tt.disturbs {
			t.Errorf("%s: works %t, disturbs %t", tt.rule, works, disturbs)
		}
	}
}
