package openvswitch_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/openvswitch"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestGolden(t *testing.T) { stacktest.Golden(t, openvswitch.Service()) }
