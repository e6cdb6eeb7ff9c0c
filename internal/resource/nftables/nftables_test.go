package nftables_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/nftables"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, nftables.Kind(), cases.For("nftables")) }
