package symlink_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
	"github.com/updraft-cloud/updraft/internal/resource/symlink"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, symlink.Kind(), cases.For("symlink")) }
