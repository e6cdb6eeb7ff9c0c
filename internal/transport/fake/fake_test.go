package fake_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/transport/fake"
	"github.com/updraft-cloud/updraft/internal/transport/transporttest"
)

// shell knows the lines of the suite and nothing else.
type shell struct {
	t    *testing.T
	mu   sync.Mutex
	last int
	live map[int]bool
}

func (s *shell) run(ctx context.Context, c fake.Command) int {
	switch c.Line {
	case transporttest.LineTrue:
	case transporttest.LineExit7:
		return 7
	case transporttest.LineSignal:
		return 128 + 15
	case transporttest.LineCat:
		_, _ = io.Copy(c.Stdout, c.Stdin)
	case transporttest.LineBoth:
		fmt.Fprintln(c.Stdout, "out")
		fmt.Fprintln(c.Stderr, "err")
	case transporttest.LineFlood:
		_, _ = c.Stderr.Write(bytes.Repeat([]byte{0}, 5_000_000))
		_, _ = c.Stdout.Write(bytes.Repeat([]byte{0}, 5_000_000))
	case transporttest.LineSleep:
		return s.sleep(ctx, c)
	default:
		s.t.Errorf("unknown command: %s", c.Line)
		return 127
	}
	return 0
}

func (s *shell) sleep(ctx context.Context, c fake.Command) int {
	s.mu.Lock()
	s.last++
	pid := s.last
	s.live[pid] = true
	s.mu.Unlock()
	fmt.Fprintln(c.Stdout, pid)
	<-ctx.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, pid)
	return 0
}

func (s *shell) alive(pid int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.live[pid]
}

func TestSuite(t *testing.T) {
	s := &shell{t: t, live: map[int]bool{}}
	var d fake.Dialer
	d.Add("host1", &fake.Host{Handler: s.run, DialFrom: new(net.Dialer).DialContext})
	transporttest.Suite(t, transporttest.Config{
		Connect: func(t *testing.T) transport.Conn {
			c, err := d.Connect(t.Context(), transport.Target{Name: "host1"})
			if err != nil {
				t.Fatal(err)
			}
			return c
		},
		Alive: s.alive,
		Dials: true,
	})
}
