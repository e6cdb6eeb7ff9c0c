package dbus

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestCallAsOnTheWire holds a call to the bytes that the specification asks for.
func TestCallAsOnTheWire(t *testing.T) {
	var out bytes.Buffer
	encodeCall(&out, 1, Call{Destination: "a.b", Path: "/c", Interface: "d.e", Method: "F", Args: []any{[]string{"x", "yz"}, true}})
	want := "6c010001" + "18000000" + "01000000" + "49000000" + // 24 bytes of body, serial 1, 73 bytes of fields
		"01016f00020000002f63000000000000" + // path
		"0201730003000000642e650000000000" + // interface
		"03017300010000004600000000000000" + // member
		"0601730003000000612e620000000000" + // destination
		"080167000361736200" + "00000000000000" + // signature, and up to a multiple of 8
		"0f000000" + "010000007800" + "0000" + "02000000797a00" + "00" + "01000000"
	if diff := cmp.Diff(want, hex.EncodeToString(out.Bytes())); diff != "" {
		t.Error(diff)
	}
}

// serve answers one connection with the given bytes after the log-in.
func serve(t *testing.T, answer []byte) *Conn {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		nc, err := l.Accept()
		if err != nil {
			return
		}
		defer nc.Close()
		r := bufio.NewReader(nc)
		if line, err := r.ReadString('\n'); err != nil || line != "\x00AUTH EXTERNAL 30\r\n" {
			return
		}
		if _, err := nc.Write(append([]byte("OK 0123\r\n"), answer...)); err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, r)
	}()
	c, err := Dial(t.Context(), path, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// encodeMessage writes a message of fields and body that are given as bytes.
func encodeMessage(kind byte, fields, body []byte) []byte {
	out := append([]byte{'l', kind, 0, 1}, binary.LittleEndian.AppendUint32(nil, uint32(len(body)))...)
	out = binary.LittleEndian.AppendUint32(out, 9)
	out = binary.LittleEndian.AppendUint32(out, uint32(len(fields)))
	out = append(out, fields...)
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	return append(out, body...)
}

// replyFields are the fields of a header that say which call is answered, and by what.
func replyFields(serial byte, signature string) []byte {
	out := []byte{fieldReplySerial, 1, 'u', 0, serial, 0, 0, 0, fieldSignature, 1, 'g', 0, byte(len(signature))}
	return append(append(out, signature...), 0)
}

func TestRepliesComeInAnyOrderAmongSignals(t *testing.T) {
	text := append([]byte{2, 0, 0, 0}, "ok\x00"...)
	variant := append([]byte{1, 's', 0, 0}, text...)
	failure := append([]byte{fieldErrorName, 1, 's', 0, 3, 0, 0, 0, 'a', '.', 'b', 0, 0, 0, 0, 0}, replyFields(1, "s")...)
	c := serve(t, bytes.Join([][]byte{
		encodeMessage(4, nil, nil), // a signal
		encodeMessage(methodReturn, replyFields(2, "v"), variant),
		encodeMessage(methodError, failure, text),
	}, nil))
	replies, err := c.Do(Call{Path: "/", Method: "A"}, Call{Path: "/", Method: "B"})
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	if !errors.As(replies[0].Err, &e) || e.Name != "a.b" || e.Msg != "ok" {
		t.Errorf("the first is %+v", replies[0])
	}
	if diff := cmp.Diff([]any{"ok"}, replies[1].Values); diff != "" {
		t.Error(diff)
	}
}

func TestMalformedRepliesAreErrors(t *testing.T) {
	for name, answer := range map[string][]byte{
		"another order of bytes than there is": append([]byte{'x'}, make([]byte, 15)...),
		"longer than allowed":                  {'l', 2, 0, 1, 0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0, 0, 0, 0, 0},
		"fields that end too early":            encodeMessage(methodReturn, []byte{5, 1, 'u', 0}, nil),
	} {
		t.Run(name, func(t *testing.T) {
			c := serve(t, answer)
			if replies, err := c.Do(Call{Path: "/"}); err == nil {
				t.Errorf("got %+v", replies)
			}
		})
	}
	t.Run("a body shorter than its signature", func(t *testing.T) {
		c := serve(t, encodeMessage(methodReturn, replyFields(1, "a(ss)"), []byte{100, 0, 0, 0, 0, 0, 0, 0}))
		if replies, err := c.Do(Call{Path: "/"}); err != nil || replies[0].Err == nil {
			t.Errorf("got %+v, %v", replies, err)
		}
	})
}

// FuzzDecode reads whatever as values of whatever signature: it must not panic
// nor take more memory than the message is worth.
func FuzzDecode(f *testing.F) {
	f.Add("a{sv}", []byte{12, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 'a', 0, 1, 'y', 0, 7})
	f.Add("a(ybnqiuxtdsogv)", make([]byte, 64))
	f.Add("((((", []byte{0})
	f.Add("a()", []byte{8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(_ *testing.T, signature string, data []byte) {
		d := &decoder{data: data, order: binary.LittleEndian}
		d.all(signature)
	})
}
