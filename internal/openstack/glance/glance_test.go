package glance_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/glance"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestWhatItAsksFor(t *testing.T) { stacktest.Golden(t, glance.Service()) }
