package user_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

func TestNewUsersAreMadeTogetherWithoutAProcess(t *testing.T) {
	h := fakehost.New()
	no := false
	var all []resource.Resource
	for i := range 8 {
		all = append(all, &user.Resource{Name: fmt.Sprintf("u%d", i), UID: 3001 + i, Shell: "/bin/sh", CreateHome: &no, Groups: []string{"adm"}})
	}
	all = append(all,
		&user.Resource{Name: "home", Shell: "/bin/sh", Locked: true},
		&user.Resource{Name: "system", System: true},
		&user.Resource{Name: "daemon", Shell: "/bin/sh"},
	)
	done := all[0].(resource.Joiner).ApplyTogether(t.Context(), h, all, make([]resource.Cause, len(all)))
	want := append(slices.Repeat([]bool{true}, 9), false, false)
	if !slices.Equal(done, want) || len(h.Ran()) > 0 {
		t.Fatalf("done %v by %q", done, h.Ran())
	}
	for i, r := range all[:9] {
		if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Agrees() {
			t.Errorf("user %d: %+v, %v", i, rep, err)
		}
	}
	for _, r := range all[:9] {
		if err := r.Remove(t.Context(), h, true); err != nil {
			t.Error(err)
		}
	}
	if _, err := h.Lstat("/home/home"); err == nil {
		t.Error("a home stays")
	}
}
