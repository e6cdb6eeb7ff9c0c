package unit_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, unit.Kind(), cases.For("unit")) }
