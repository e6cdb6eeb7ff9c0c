package neutron_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/neutron"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.Golden(t, neutron.Service()) }
