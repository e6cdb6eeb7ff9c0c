package group_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/group"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, group.Kind(), cases.For("group")) }
