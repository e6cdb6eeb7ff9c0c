// Package hostagenttest runs the host agent in tests: inside the test's process
// over the fake transport, or as the real program.
package hostagenttest

import (
	"context"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/updraft-cloud/updraft/internal/hostagent"
	"github.com/updraft-cloud/updraft/internal/hostagent/agent"
	"github.com/updraft-cloud/updraft/internal/hostagent/embedded"
	"github.com/updraft-cloud/updraft/internal/transport/fake"
)

// Handler returns a handler for the fake transport on whose hosts the agent is
// already there. Other commands go to next.
func Handler(o agent.Options, next fake.Handler) fake.Handler {
	return func(ctx context.Context, c fake.Command) int {
		if !strings.Contains(c.Line, "updraft-agent") {
			return next(ctx, c)
		}
		if _, err := c.Stdout.Write([]byte("a login shell's greeting\nupdraft-agent have\n")); err != nil {
			return 1
		}
		if err := agent.Serve(ctx, c.Stdin, c.Stdout, o); err != nil {
			return 1
		}
		return 0
	}
}

var build = sync.OnceValues(func() ([]byte, error) { // one build serves all tests of a package
	dir, err := os.MkdirTemp("", "updraft-agent")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path, err := embedded.Build(context.Background(), dir, embedded.Host, runtime.GOARCH)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

// Agents returns the real agent for this computer, built from the source once.
func Agents(t testing.TB) map[string]hostagent.Binary {
	t.Helper()
	gz, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return map[string]hostagent.Binary{runtime.GOARCH: {GZ: gz, SHA: embedded.Digest(gz)}}
}
