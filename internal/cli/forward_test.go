package cli

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// listen returns a listener on any port of this computer.
func listen(t *testing.T) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.(*net.TCPListener)
}

// shout answers each connection with what it got in upper case, once that has
// ended.
func shout(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			text, _ := io.ReadAll(c)
			io.WriteString(c, strings.ToUpper(string(text)))
		}()
	}
}

// start serves a forward and returns what ends it and waits for it.
func start(t *testing.T, dial func(context.Context) (net.Conn, error), failed func(error)) (addr string, end func() error) {
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	f := &forward{listener: l, dial: dial, failed: failed}
	go func() { done <- f.serve(ctx) }()
	return l.Addr().String(), func() error { cancel(); return <-done }
}

func TestForwardCarriesManyConnectionsAtOnce(t *testing.T) {
	far := listen(t)
	go shout(far)
	addr, end := start(t, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", far.Addr().String())
	}, func(err error) { t.Error(err) })
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			io.WriteString(c, "hello")
			c.(*net.TCPConn).CloseWrite()
			if got, err := io.ReadAll(c); err != nil || string(got) != "HELLO" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	wg.Wait()
	if err := end(); err != nil {
		t.Error(err)
	}
}

func TestForwardGoesOnWhenTheOtherSideDoesNotAnswer(t *testing.T) {
	far := listen(t)
	go shout(far)
	var dials atomic.Int32
	failures := make(chan error, 2)
	addr, end := start(t, func(ctx context.Context) (net.Conn, error) {
		if dials.Add(1) == 1 {
			return nil, errors.New("connection refused")
		}
		return (&net.Dialer{}).DialContext(ctx, "tcp", far.Addr().String())
	}, func(err error) { failures <- err })
	for _, want := range []string{"", "A"} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, "a")
		c.(*net.TCPConn).CloseWrite()
		if got, _ := io.ReadAll(c); string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
		c.Close()
	}
	<-failures // it is told after the connection is closed, and not any more after the end
	if err := end(); err != nil || len(failures) != 0 {
		t.Errorf("%v, %d more failures", err, len(failures))
	}
}

func TestForwardEndsWithOpenConnections(t *testing.T) {
	far := listen(t)
	entered := make(chan net.Conn, 1)
	go func() {
		if c, err := far.Accept(); err == nil {
			entered <- c
		}
	}()
	addr, end := start(t, func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", far.Addr().String())
	}, func(err error) { t.Error(err) })
	near, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	c := <-entered
	defer c.Close()
	if err := end(); err != nil { // hangs if the connections are waited for
		t.Error(err)
	}
	if _, err := io.ReadAll(near); err != nil && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
}
