package file_test

import (
	"context"
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/file"
)

func apply(t *testing.T, h resource.Host, r *file.Resource) error {
	t.Helper()
	return r.Apply(t.Context(), h, drift.Report{}, resource.Cause{})
}

func TestAFullDiskIsToldAndLeavesTheOldFile(t *testing.T) {
	h := fakehost.New()
	h.Fill("/etc")
	before := h.String()
	if err := apply(t, h, &file.Resource{Path: "/etc/x", Content: "x"}); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("error is %v", err)
	}
	if h.String() != before {
		t.Error("the host was changed")
	}
}

func TestContentThatIsRefusedIsNotPutInPlace(t *testing.T) {
	for name, c := range map[string]struct {
		sensitive bool
		want      string
	}{
		"the reason is told":                   {false, "line 1: sesame"},
		"the reason of a sensitive one is not": {true, "withheld"},
	} {
		t.Run(name, func(t *testing.T) {
			h := fakehost.New()
			h.Handle("visudo", func(_ context.Context, _ *fakehost.Host, c resource.Command) (resource.Output, error) {
				return fakehost.Exit(c, 1, "%s line 1: sesame", c.Args[1])
			})
			before := h.String()
			r := &file.Resource{Path: "/etc/sudoers", Content: "sesame", Check: []string{"visudo", "-cf", "%s"}, Sensitive: c.sensitive}
			err := apply(t, h, r)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "updraft-check") {
				t.Errorf("error is %v", err)
			}
			if told := err.Error() + strings.Join(h.Log(), ""); c.sensitive && strings.Contains(told, "sesame") {
				t.Errorf("the secret is told: %s", told)
			}
			if h.String() != before {
				t.Error("the host was changed")
			}
		})
	}
}

func TestASmallTextIsReportedForADiff(t *testing.T) {
	h := fakehost.New()
	rep, err := (&file.Resource{Path: "/etc/hostname", Content: "other\n"}).Observe(t.Context(), h)
	if err != nil || len(rep.Changes) != 1 || rep.Changes[0].Text != "fake\n" {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

func TestADirectoryInThePlaceIsAnError(t *testing.T) {
	if err := apply(t, fakehost.New(), &file.Resource{Path: "/etc/skel"}); err == nil || !strings.Contains(err.Error(), "there is a directory") {
		t.Errorf("error is %v", err)
	}
}

func TestAnUnknownOwnerIsADifferenceThenAnError(t *testing.T) {
	h := fakehost.New()
	r := &file.Resource{Path: "/etc/hostname", Content: "fake\n", Owner: "later"}
	if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Has("owner") {
		t.Errorf("report is %+v, %v", rep, err)
	}
	if err := apply(t, h, r); err == nil || !strings.Contains(err.Error(), "user later does not exist") {
		t.Errorf("error is %v", err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name, field string
		r           file.Resource
	}{
		{"a relative path", "path", file.Resource{Path: "etc/motd"}},
		{"a path that goes up", "path", file.Resource{Path: "/etc/../motd"}},
		{"the root", "path", file.Resource{Path: "/"}},
		{"a mode in letters", "mode", file.Resource{Path: "/a", Mode: "rw"}},
		{"a mode that is too large", "mode", file.Resource{Path: "/a", Mode: "77777"}},
		{"an owner with a blank", "owner", file.Resource{Path: "/a", Owner: "a b"}},
		{"text and bytes", "data", file.Resource{Path: "/a", Content: "a", Data: []byte("b")}},
		{"a check that checks nothing", "validate", file.Resource{Path: "/a", Check: []string{"visudo"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.r.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.field+":") {
				t.Errorf("error is %v, want one of field %s", err, c.field)
			}
		})
	}
}
