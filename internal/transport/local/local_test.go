package local_test

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/local"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

func TestSuite(t *testing.T) {
	transporttest.Suite(t, transporttest.Config{
		Connect: func(*testing.T) transport.Conn { return local.New() },
		Alive:   transporttest.Runs,
		Dials:   true,
	})
}
