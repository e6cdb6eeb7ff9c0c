package user_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
	"github.com/updraft-cloud/updraft/internal/resource/user"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, user.Kind(), cases.For("user")) }
