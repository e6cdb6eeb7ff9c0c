package cases_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/resource/all"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

func TestEveryKindHasCases(t *testing.T) {
	for _, kind := range all.Registry().Kinds() {
		if len(cases.For(kind.Name)) == 0 {
			t.Errorf("kind %s has no cases", kind.Name)
		}
	}
}
