package ovn_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/ovn"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestGolden(t *testing.T) { stacktest.Golden(t, ovn.Service()) }
