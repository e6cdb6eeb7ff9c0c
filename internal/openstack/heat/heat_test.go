package heat_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/heat"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.Golden(t, heat.Service()) }

func TestAccountsAreWhole(t *testing.T) {
	for _, r := range heat.Service().Accounts() {
		if err := r.Validate(); err != nil {
			t.Errorf("%s %s: %v", r.Kind(), r.Key(), err)
		}
	}
}
