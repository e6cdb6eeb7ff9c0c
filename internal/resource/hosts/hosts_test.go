package hosts_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/hosts"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, hosts.Kind(), cases.For("hosts")) }
