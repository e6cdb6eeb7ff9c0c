package repository_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/repository"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestSuite(t *testing.T) { resourcetest.Suite(t, repository.Kind(), cases.For("repository")) }
