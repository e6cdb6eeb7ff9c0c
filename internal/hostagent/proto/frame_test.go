package proto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestFramesComeBack(t *testing.T) {
	var buf bytes.Buffer
	w := NewWriter(&buf)
	for _, op := range []string{OpObserve, strings.Repeat("x", 200_000), "<&>\n"} {
		if err := w.Write(Request{ID: 7, Op: op}); err != nil {
			t.Fatal(err)
		}
	}
	r := NewReader(&buf)
	for _, op := range []string{OpObserve, strings.Repeat("x", 200_000), "<&>\n"} {
		var got Request
		if err := r.Read(&got); err != nil || got.ID != 7 || got.Op != op {
			t.Errorf("got %d bytes, %v", len(got.Op), err)
		}
	}
	if err := r.Read(new(Request)); !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %v", err)
	}
}

func TestFaultyFrames(t *testing.T) {
	tests := []struct {
		name string
		in   string
		want error
	}{
		{"nothing", "", io.EOF},
		{"cut off in the header", "\x00\x00", io.ErrUnexpectedEOF},
		{"cut off in the body", "\x00\x00\x00\x05{}", io.ErrUnexpectedEOF},
		{"a body that never comes", "\x03\xff\xff\xff", io.ErrUnexpectedEOF},
		{"too large", "\x04\x00\x00\x01{}", ErrTooLarge},
		{"text in place of a frame", "Last login: yesterday", ErrTooLarge},
		{"no JSON", "\x00\x00\x00\x02{]", nil},
		{"empty", "\x00\x00\x00\x00", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := NewReader(strings.NewReader(tt.in)).Read(new(Request))
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02{}"))
	f.Add([]byte("\x00\x00\x00\x14{\"id\":1,\"op\":\"ping\"}"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(bytes.NewReader(in))
		for {
			var req Request
			if err := r.Read(&req); err != nil {
				return
			}
			var out bytes.Buffer
			if err := NewWriter(&out).Write(req); err != nil {
				t.Fatalf("cannot write what was read: %v", err)
			}
			if n := binary.BigEndian.Uint32(out.Bytes()); int(n) != out.Len()-headerSize {
				t.Fatalf("length %d of %d", n, out.Len()-headerSize)
			}
		}
	})
}
