package hostname_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/hostname"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, hostname.Kind(), cases.For("hostname")) }
