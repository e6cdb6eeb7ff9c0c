package nova_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/nova"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.Golden(t, nova.Service()) }
