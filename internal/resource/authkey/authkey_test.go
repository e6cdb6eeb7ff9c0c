package authkey_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/authkey"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, authkey.Kind(), cases.For("authkey")) }
