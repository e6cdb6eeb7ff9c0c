package cron_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/cron"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, cron.Kind(), cases.For("cron")) }
