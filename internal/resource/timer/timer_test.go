package timer_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
	"github.com/updraft-cloud/updraft/internal/resource/timer"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, timer.Kind(), cases.For("timer")) }
