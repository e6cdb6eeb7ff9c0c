package agent

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

// TestWhatSettlesIsTriedAgain holds for the member of a cluster that answers, and
// then for a moment does not; nothing else that differs after it was changed
// comes right by waiting.
func TestWhatSettlesIsTriedAgain(t *testing.T) {
	ready, image := drift.Change{Attr: "ready", From: "no", To: "yes"}, drift.Change{Attr: "image"}
	tests := []struct {
		rule    string
		res     resource.Resource
		changes []drift.Change
		want    bool
	}{
		{"a container that is not ready yet", &container.Resource{}, []drift.Change{ready}, true},
		{"a container that is another, too", &container.Resource{}, []drift.Change{ready, image}, false},
		{"a container of which nothing is said", &container.Resource{}, nil, false},
		{"a file", &file.Resource{}, []drift.Change{ready}, false},
	}
	for _, tt := range tests {
		if got := settles(tt.res, drift.Report{Status: drift.Differs, Changes: tt.changes}); got != tt.want {
			t.Errorf("%s: %v", tt.rule, got)
		}
	}
}
