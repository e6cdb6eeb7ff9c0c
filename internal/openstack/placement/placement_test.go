package placement_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/placement"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.Golden(t, placement.Service()) }
