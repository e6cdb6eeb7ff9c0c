// Package transporttest holds the suite that every transport passes.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// The command lines that the suite runs, for transports that have no shell.
const (
	LineTrue   = "true"
	LineExit7  = "exit 7"
	LineSignal = "kill -TERM $$"
	LineCat    = "cat"
	LineBoth   = "echo out; echo err >&2"
	LineFlood  = "head -c 5000000 /dev/zero >&2; head -c 5000000 /dev/zero"
	LineSleep  = "echo $$; exec sleep 1000"
	LineHello  = "echo hello"
)

// Config says how to make what is tested.
type Config struct {
	// Connect opens a new connection. The suite closes it.
	Connect func(t *testing.T) transport.Conn
	// Alive reports whether the process that printed this number still runs.
	Alive func(pid int) bool
	// Dials says that the host can reach a listener of the test.
	Dials bool
}

const patience = 20 * time.Second

// Suite runs all tests of the contract.
func Suite(t *testing.T, c Config) {
	t.Run("the exit status is an ExitError", c.exitStatus)
	t.Run("outputs are apart", c.outputs)
	t.Run("five megabytes pass in and out", c.largeInput)
	t.Run("five megabytes on both outputs do not deadlock", c.flood)
	t.Run("the end of the context ends the process", c.cancel)
	t.Run("Kill ends the process", c.kill)
	t.Run("Close ends the process and the connection", c.closing)
	t.Run("twenty commands at once", c.concurrent)
	t.Run("a closed connection starts nothing", c.closed)
	if c.Dials {
		t.Run("Dial reaches a listener from the host", c.dial)
	}
}

func (c Config) connect(t *testing.T) transport.Conn {
	conn := c.Connect(t)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// Run runs a command to its end.
func Run(ctx context.Context, c transport.Conn, line string, stdin []byte) (stdout, stderr []byte, err error) {
	p, err := c.Start(ctx, line)
	if err != nil {
		return nil, nil, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = p.Stdin().Write(stdin)
		p.Stdin().Close()
	})
	wg.Go(func() { stderr, _ = io.ReadAll(p.Stderr()) })
	stdout, _ = io.ReadAll(p.Stdout())
	wg.Wait()
	return stdout, stderr, p.Wait()
}

func (c Config) exitStatus(t *testing.T) {
	conn := c.connect(t)
	for line, want := range map[string]int{LineTrue: 0, LineExit7: 7, LineSignal: 128 + 15} {
		_, _, err := Run(t.Context(), conn, line, nil)
		var exit *transport.ExitError
		if want == 0 && err == nil || errors.As(err, &exit) && exit.Code == want {
			continue
		}
		t.Errorf("%s: got %v, want status %d", line, err, want)
	}
}

func (c Config) outputs(t *testing.T) {
	stdout, stderr, err := Run(t.Context(), c.connect(t), LineBoth, nil)
	if string(stdout) != "out\n" || string(stderr) != "err\n" || err != nil {
		t.Errorf("got %q, %q, %v", stdout, stderr, err)
	}
}

func (c Config) largeInput(t *testing.T) {
	in := bytes.Repeat([]byte("0123456789abcde\n"), 5_000_000/16)
	stdout, _, err := Run(t.Context(), c.connect(t), LineCat, in)
	if err != nil || !bytes.Equal(stdout, in) {
		t.Errorf("%d bytes of %d came back: %v", len(stdout), len(in), err)
	}
}

func (c Config) flood(t *testing.T) {
	stdout, stderr, err := Run(t.Context(), c.connect(t), LineFlood, nil)
	if len(stdout) != 5_000_000 || len(stderr) != 5_000_000 || err != nil {
		t.Errorf("got %d and %d bytes: %v", len(stdout), len(stderr), err)
	}
}

// sleeper starts a process that would not end by itself.
func (c Config) sleeper(ctx context.Context, t *testing.T, conn transport.Conn) (transport.Process, int) {
	p, err := conn.Start(ctx, LineSleep)
	if err != nil {
		t.Fatal(err)
	}
	var line []byte
	for b := make([]byte, 1); b[0] != '\n'; line = append(line, b[0]) {
		if _, err := io.ReadFull(p.Stdout(), b); err != nil {
			t.Fatalf("after %q: %v", line, err)
		}
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(line)))
	if err != nil || !c.Alive(pid) {
		t.Fatalf("process %q does not run: %v", line, err)
	}
	return p, pid
}

// Runs reports whether a process of this computer runs. One that has ended and
// that nobody has waited for yet does not.
func Runs(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := bytes.Cut(stat, []byte(") ")) // proc(5)
	return state[0] != 'Z' && state[0] != 'X'
}

func (c Config) gone(t *testing.T, pid int) {
	Eventually(t, fmt.Sprintf("process %d is gone", pid), func() bool { return !c.Alive(pid) })
}

// Eventually waits until f is true, and fails the test when it does not become so.
func Eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !f(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", patience, what)
		}
	}
}

// drain reads what is left and waits for the end.
func drain(p transport.Process) error {
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(io.Discard, p.Stderr()) })
	_, _ = io.Copy(io.Discard, p.Stdout())
	wg.Wait()
	return p.Wait()
}

func (c Config) cancel(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, pid := c.sleeper(ctx, t, c.connect(t))
	cancel()
	if err := drain(p); err == nil {
		t.Error("a command that was cut off ended well")
	}
	c.gone(t, pid)
}

func (c Config) kill(t *testing.T) {
	p, pid := c.sleeper(t.Context(), t, c.connect(t))
	if err := p.Kill(); err != nil {
		t.Error(err)
	}
	if err := drain(p); err == nil {
		t.Error("a command that was killed ended well")
	}
	c.gone(t, pid)
}

func (c Config) closing(t *testing.T) {
	conn := c.connect(t)
	if conn.Err() != nil {
		t.Errorf("Err before Close: %v", conn.Err())
	}
	p, pid := c.sleeper(t.Context(), t, conn)
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-conn.Done():
	case <-time.After(patience):
		t.Fatal("Done is not closed")
	}
	if !errors.Is(conn.Err(), transport.ErrClosed) {
		t.Errorf("Err after Close: %v", conn.Err())
	}
	if err := drain(p); err == nil {
		t.Error("a command whose connection was closed ended well")
	}
	c.gone(t, pid)
}

func (c Config) concurrent(t *testing.T) {
	conn := c.connect(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			in := bytes.Repeat([]byte{byte('a' + i)}, 100_000)
			if out, _, err := Run(t.Context(), conn, LineCat, in); err != nil || !bytes.Equal(out, in) {
				t.Errorf("command %d: %d bytes came back: %v", i, len(out), err)
			}
		})
	}
	wg.Wait()
}

func (c Config) closed(t *testing.T) {
	conn := c.connect(t)
	_ = conn.Close()
	if _, _, err := Run(t.Context(), conn, LineHello, nil); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("got %v", err)
	}
	if _, err := conn.Dial(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, transport.ErrClosed) {
		t.Errorf("Dial: got %v", err)
	}
}

func (c Config) dial(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		if s, err := l.Accept(); err == nil {
			_, _ = io.Copy(s, s)
			s.Close()
		}
	}()
	conn, err := c.connect(t).Dial(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("over and back"))
	got := make([]byte, 13)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "over and back" {
		t.Errorf("got %q, %v", got, err)
	}
}
