package agent

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/all"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
)

func options() Options {
	h := fakehost.New()
	return Options{
		Registry: all.Registry(),
		Host:     func(log func(string)) resource.Host { return h.WithLog(log) },
	}
}

func TestServeEndsWithItsInput(t *testing.T) {
	var out bytes.Buffer
	if err := Serve(t.Context(), &bytes.Buffer{}, &out, options()); err != nil {
		t.Error(err)
	}
	var hello proto.Hello
	if err := proto.NewReader(&out).Read(&hello); err != nil || hello.Protocol != proto.Version {
		t.Errorf("hello %+v, %v", hello, err)
	}
}

func TestServeEndsWhenNothingIsHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		ended := make(chan error, 1)
		start := time.Now()
		go func() { ended <- Serve(t.Context(), r, io.Discard, options()) }()
		out := proto.NewWriter(w)
		for range 3 { // signs of life put the end off
			<-time.After(50 * time.Second)
			if err := out.Write(proto.Request{Op: proto.OpAlive}); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-ended; !errors.Is(err, ErrSilence) || time.Since(start) != 210*time.Second {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
		w.Close()
	})
}

func TestOSRelease(t *testing.T) {
	got := osRelease([]byte("# comment\nID=debian\nVERSION_ID=\"13\"\nNAME='x y'\n\njunk\n"))
	if got["ID"] != "debian" || got["VERSION_ID"] != "13" || got["NAME"] != "x y" {
		t.Errorf("got %v", got)
	}
}

// TestAnswers uses replies as ping(8) gets them, and what a raw socket sees besides.
func TestAnswers(t *testing.T) {
	msg := echo(echoRequest4)
	reply := append([]byte{}, msg...)
	reply[0] = echoReply4
	other := append([]byte{}, reply...)
	other[4]++
	header := append([]byte{0x46}, make([]byte, 23)...) // an IP header with one option
	packet := func(msg []byte) []byte { return append(header[:24:24], msg...) }
	tests := []struct {
		name   string
		packet []byte
		want   bool
	}{
		{"the reply", packet(reply), true},
		{"the request itself, on the loopback", packet(msg), false},
		{"the reply to another", packet(other), false},
		{"nothing", nil, false},
		{"cut off in the header", header[:4], false},
		{"cut off in the message", packet(reply[:8]), false},
	}
	for _, tt := range tests {
		if got := answers(tt.packet, msg, true); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if sum := checksum(msg); sum != 0 {
		t.Errorf("the checksum over all is %x, want 0", sum)
	}
}

// FuzzRequest sends whatever frames to a server: it must answer or end, and
// never fail in another way.
func FuzzRequest(f *testing.F) {
	f.Add("observe", []byte(`{"items":[{"kind":"file","body":{"path":"/etc/motd","content":"x"}},{"kind":"nothing"}]}`))
	f.Add("apply", []byte(`{"kind":"directory","body":{"path":"/srv/x","mode":"0755"},"found":{"s":2}}`))
	f.Add("remove", []byte(`{"kind":"symlink","body":{"path":"/srv/x"},"made":true}`))
	f.Add("ping", []byte(`{"addr":"nonsense"}`))
	f.Add("exchange", []byte(`{"addr":"[::1]"}`))
	f.Add("cancel", []byte(`null`))
	f.Add("", []byte(`[]`))
	f.Fuzz(func(t *testing.T, op string, body []byte) {
		if op == proto.OpPing || op == proto.OpExchange {
			body = bytes.ReplaceAll(body, []byte("timeout"), nil) // or it would wait
		}
		var in, out bytes.Buffer
		if proto.NewWriter(&in).Write(proto.Request{ID: 1, Op: op, Body: body}) != nil {
			return // not JSON
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := Serve(ctx, &in, &out, options()); err != nil {
			t.Fatal(err)
		}
		r := proto.NewReader(&out)
		for {
			var reply proto.Reply
			if err := r.Read(&reply); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				t.Fatal(err)
			}
			if reply.Err != nil && bytes.Contains([]byte(reply.Err.Msg), []byte("mistake in updraft")) {
				t.Fatal(reply.Err.Msg)
			}
		}
	})
}
