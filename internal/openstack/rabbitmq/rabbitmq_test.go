package rabbitmq_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/openstack/rabbitmq"
	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
)

func TestGolden(t *testing.T) { stacktest.Golden(t, rabbitmq.Service()) }
