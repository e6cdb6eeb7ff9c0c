package libvirt_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/libvirt"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.Golden(t, libvirt.Service()) }
