package unit_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

const installed = "[Service]\nType=%s\nExecStart=/bin/%s\n[Install]\nWantedBy=multi-user.target\n"

// install puts a unit file on the host, as a package does.
func install(t *testing.T, h *fakehost.Host, name, kind, program string) {
	t.Helper()
	err := h.WriteFile("/usr/lib/systemd/system/"+name, fmt.Appendf(nil, installed, kind, program), resource.Access{Mode: 0o644})
	if err != nil {
		t.Fatal(err)
	}
}

// together applies units in one go and returns which are done and what was run,
// but for looking.
func together(t *testing.T, h *fakehost.Host, why []resource.Cause, all ...resource.Resource) (done []bool, ran []string) {
	t.Helper()
	if why == nil {
		why = make([]resource.Cause, len(all))
	}
	before := len(h.Ran())
	done = all[0].(resource.Joiner).ApplyTogether(t.Context(), h, all, why)
	for _, line := range h.Ran()[before:] {
		if !strings.HasPrefix(line, "systemctl show") {
			ran = append(ran, line)
		}
	}
	return done, ran
}

func service(i int) *unit.Resource {
	on := true
	return &unit.Resource{Name: fmt.Sprintf("s%d.service", i), Enabled: &on, State: unit.Started}
}

func TestUnitsAreEnabledByOneCommandAndStartedByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHost(t)
		var all []resource.Resource
		for i := range 5 {
			install(t, h, fmt.Sprintf("s%d.service", i), "simple", "x")
			all = append(all, service(i))
		}
		done, ran := together(t, h, nil, all...)
		names := "s0.service s1.service s2.service s3.service s4.service"
		if want := []string{"systemctl enable -- " + names, "systemctl start --no-block -- " + names}; !reflect.DeepEqual(ran, want) {
			t.Errorf("ran %q", ran)
		}
		if slices.Contains(done, false) {
			t.Errorf("done: %v", done)
		}
		for _, r := range all {
			if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Agrees() {
				t.Errorf("%s: %v, %v", r.Key(), rep, err)
			}
		}
		if _, ran := together(t, h, nil, all...); len(ran) > 0 {
			t.Errorf("a second time: %q", ran)
		}
	})
}

func TestWhatCannotBeDoneTogetherIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHost(t)
		for i := range 3 {
			install(t, h, fmt.Sprintf("s%d.service", i), "simple", "x")
		}
		install(t, h, "dies.service", "simple", "x dies")
		on := true
		done, ran := together(t, h, nil,
			service(0),
			&unit.Resource{Name: "dies.service", Enabled: &on, State: unit.Started},
			&unit.Resource{Name: "ours.service", Content: fmt.Sprintf(installed, "simple", "x"), Enabled: &on, State: unit.Started},
			&unit.Resource{Name: "none.service", State: unit.Started},
			&unit.Resource{Name: "s1.service", State: unit.Stopped},
			service(2),
		)
		if want := []bool{true, false, false, false, false, true}; !reflect.DeepEqual(done, want) {
			t.Errorf("done: %v", done)
		}
		for _, line := range ran {
			for _, name := range []string{"ours", "none", "s1"} {
				if strings.Contains(line, name) {
					t.Errorf("ran %s", line)
				}
			}
		}
	})
}

func TestARunningUnitThatIsTriggeredIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHost(t)
		for i := range 3 {
			install(t, h, fmt.Sprintf("s%d.service", i), "simple", "x")
		}
		if err := apply(t, h, service(0)); err != nil {
			t.Fatal(err)
		}
		why := []resource.Cause{{Triggered: []string{"file:/etc/x"}}, {Triggered: []string{"file:/etc/x"}}, {}}
		done, ran := together(t, h, why, service(0), service(1), service(2))
		if want := []bool{false, true, true}; !reflect.DeepEqual(done, want) {
			t.Errorf("done: %v; ran %q", done, ran)
		}
	})
}

func TestUnitsApplyTogetherRestoresWhatWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, _ := newHost(t)
		for i := range 2 {
			install(t, h, fmt.Sprintf("s%d.service", i), "simple", "x")
		}
		before := h.String()
		all := []resource.Resource{service(0), service(1)}
		together(t, h, nil, all...)
		for _, r := range all {
			if err := r.Remove(t.Context(), h, false); err != nil {
				t.Fatal(err)
			}
		}
		if after := h.String(); after != before {
			t.Errorf("before:\n%s\nafter:\n%s", before, after)
		}
	})
}
