package cron_test

import (
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/cron"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
)

func TestGolden(t *testing.T) {
	h := fakehost.New()
	r := &cron.Resource{
		Name: "report", Schedule: "*/5 0-6,22 1-31/2 jan mon-fri", Command: `report "$(date +%F)" >/dev/null`, User: "daemon",
		Env: map[string]string{"MAILTO": "", "PATH": "/usr/bin:/bin"},
	}
	if err := r.Apply(t.Context(), h, drift.Missing(), resource.Cause{}); err != nil {
		t.Fatal(err)
	}
	got, err := h.ReadFile("/etc/cron.d/updraft-report")
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("testdata/report")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Error(diff)
	}
}

func TestSchedules(t *testing.T) {
	valid := []string{"* * * * *", "0 0 1 1 0", "59 23 31 12 7", "*/15 * * * *", "1,2,3-9/3 * * dec SUN", "@daily", "@reboot"}
	invalid := []string{
		"", "* * * *", "* * * * * *", "60 * * * *", "* 24 * * *", "* * 0 * *", "* * * 13 *", "* * * * 8", "*/0 * * * *", "5/2 * * * *",
		"9-3 * * * *", "@sometimes", "*\t* * * *", "* * * * * root", "a * * * *", "- * * * *", "*  * * * *",
	}
	check := func(s string) bool {
		return (&cron.Resource{Name: "x", Schedule: s, Command: "true"}).Validate() == nil
	}
	for _, s := range valid {
		if !check(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range invalid {
		if check(s) {
			t.Errorf("%q is let through", s)
		}
	}
}

func TestFaultsOfFields(t *testing.T) {
	for _, c := range []struct {
		reason, field string
		r             cron.Resource
	}{
		{"cron reads no names with a period", "name", cron.Resource{Name: "a.b", Schedule: "@daily", Command: "true"}},
		{"a command is one line", "command", cron.Resource{Name: "a", Schedule: "@daily", Command: "true\n* * * * * root evil"}},
		{"a user is one", "user", cron.Resource{Name: "a", Schedule: "@daily", Command: "true", User: "root evil"}},
		{"a variable is one line", "env", cron.Resource{Name: "a", Schedule: "@daily", Command: "true", Env: map[string]string{"A": "b\n* * * * * root evil"}}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			var f *resource.FieldError
			if err := c.r.Validate(); !errors.As(err, &f) || f.Field != c.field {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAHostWithoutCronIsToldSo(t *testing.T) {
	h := fakehost.New()
	if err := h.Remove("/etc/cron.d"); err != nil {
		t.Fatal(err)
	}
	r := &cron.Resource{Name: "a", Schedule: "@daily", Command: "true"}
	err := r.Apply(t.Context(), h, drift.Missing(), resource.Cause{})
	if err == nil || err.Error() != "cannot add cron job a: this host has no /etc/cron.d; install cron, or use a timer" {
		t.Errorf("error is %v", err)
	}
}
