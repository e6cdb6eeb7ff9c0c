package memcached_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/memcached"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestGolden(t *testing.T) { stacktest.Golden(t, memcached.Service()) }
