package kernelmodule_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/kernelmodule"
)

func TestAKernelWithoutTheModule(t *testing.T) {
	noModules := func(h *fakehost.Host) error {
		return h.Change(func(f *fakehost.FS) error { f.RemoveAll("/proc/modules"); return nil })
	}
	hasModules := func(*fakehost.Host) error { return nil }
	for _, c := range []struct {
		reason, module string
		given          func(*fakehost.Host) error
		want           string
	}{
		{"a kernel that loads no modules", "dummy", noModules, "this kernel loads no modules and dummy is not built in; set optional: true"},
		{"a kernel that lacks it", "nonesuch", hasModules, "Module nonesuch not found"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			h := fakehost.New()
			if err := c.given(h); err != nil {
				t.Fatal(err)
			}
			r := &kernelmodule.Resource{Name: c.module}
			rep, err := r.Observe(t.Context(), h)
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Apply(t.Context(), h, rep, resource.Cause{}); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v", err)
			}
			r.Optional = true
			rep, err = r.Observe(t.Context(), h)
			if err != nil || !rep.Agrees() || len(rep.Notes) != 1 {
				t.Errorf("when optional: %+v, %v", rep, err)
			}
		})
	}
}

func TestAModuleInUseStays(t *testing.T) {
	h := fakehost.New()
	r := &kernelmodule.Resource{Name: "dummy"}
	if err := r.Apply(t.Context(), h, drift.Missing(), resource.Cause{}); err != nil {
		t.Fatal(err)
	}
	fakehost.Get[*fakehost.Modules](h).Busy["dummy"] = true
	if err := r.Remove(t.Context(), h, true); err != nil {
		t.Fatal(err)
	}
	if log := strings.Join(h.Log(), "\n"); !strings.Contains(log, "stays until the next boot") {
		t.Errorf("the log says %q", log)
	}
}
