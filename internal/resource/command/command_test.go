package command_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/command"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, command.Kind(), cases.For("command")) }
