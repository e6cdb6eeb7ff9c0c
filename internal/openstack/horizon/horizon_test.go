package horizon_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/horizon"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.GoldenPublic(t, horizon.Service()) }
