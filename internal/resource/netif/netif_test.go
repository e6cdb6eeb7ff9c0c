package netif_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/netif"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, netif.Kind(), cases.For("interface")) }
