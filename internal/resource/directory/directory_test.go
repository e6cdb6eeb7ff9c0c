package directory_test

import (
	"errors"
	"io/fs"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/directory"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, directory.Kind(), cases.For("directory")) }

func TestWhatADirectoryHoldsGoesOnlyWithADisposableOneThatWasMade(t *testing.T) {
	for name, c := range map[string]struct{ disposable, was, stays bool }{
		"disposable and made":       {disposable: true},
		"disposable and was there":  {disposable: true, was: true, stays: true},
		"not disposable":            {stays: true},
		"not disposable, was there": {was: true, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakehost.New()
			if c.was {
				if err := h.Mkdir("/srv/x", resource.Access{Mode: 0o755}); err != nil {
					t.Fatal(err)
				}
			}
			r := &directory.Resource{Path: "/srv/x", Disposable: c.disposable}
			if err := r.Apply(t.Context(), h, drift.Report{}, resource.Cause{}); err != nil {
				t.Fatal(err)
			}
			if err := h.WriteFile("/srv/x/file", []byte("x"), resource.Access{Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if err := r.Remove(t.Context(), h, !c.was); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Stat("/srv/x/file"); errors.Is(err, fs.ErrNotExist) == c.stays {
				t.Errorf("its file: %v", err)
			}
		})
	}
}
