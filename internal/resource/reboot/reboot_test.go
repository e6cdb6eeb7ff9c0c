package reboot_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/reboot"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, reboot.Kind(), cases.For("reboot")) }
