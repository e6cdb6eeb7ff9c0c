package sysctl_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
	"github.com/updraft-cloud/updraft/internal/resource/sysctl"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, sysctl.Kind(), cases.For("sysctl")) }
