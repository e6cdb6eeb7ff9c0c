package mount_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/mount"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, mount.Kind(), cases.For("mount")) }
