package keepalived_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/keepalived"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestGolden(t *testing.T) { stacktest.GoldenPublic(t, keepalived.Service()) }
