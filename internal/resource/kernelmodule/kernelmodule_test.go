package kernelmodule_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/kernelmodule"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, kernelmodule.Kind(), cases.For("kernelmodule")) }
