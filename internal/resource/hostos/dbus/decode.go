package dbus

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// errShort means that a message ends before its signature does, or that its
// signature is none.
var errShort = errors.New("dbus: a message is not what it says it is")

// maxDepth bounds nesting, as the specification does.
const maxDepth = 64

// decoder reads values from a message. Its first error stays.
type decoder struct {
	data  []byte
	pos   int
	order binary.ByteOrder
	err   error
}

func (d *decoder) fail() { d.err = errShort }

// take returns the next n bytes, aligned; nil after an error.
func (d *decoder) take(n, align int) []byte {
	start := (d.pos + align - 1) / align * align
	if d.err != nil || n < 0 || n > len(d.data) || start > len(d.data)-n {
		d.fail()
		return nil
	}
	d.pos = start + n
	return d.data[start:d.pos]
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4, 4); b != nil {
		return d.order.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8, 8); b != nil {
		return d.order.Uint64(b)
	}
	return 0
}

func (d *decoder) byte() byte {
	if b := d.take(1, 1); b != nil {
		return b[0]
	}
	return 0
}

// text reads n bytes and the zero after them.
func (d *decoder) text(n int) string {
	b := d.take(n, 1)
	d.take(1, 1)
	return string(b)
}

// all reads the values of a signature.
func (d *decoder) all(signature string) []any {
	var out []any
	for signature != "" && d.err == nil {
		var one string
		one, signature = d.first(signature)
		out = append(out, d.value(one, 0))
	}
	return out
}

// first splits a signature after its first complete type.
func (d *decoder) first(signature string) (one, rest string) {
	n := typeLength(signature, 0)
	if n <= 0 {
		d.fail()
		return "", ""
	}
	return signature[:n], signature[n:]
}

// typeLength returns the length of the first complete type, 0 if there is none.
func typeLength(s string, depth int) int {
	if s == "" || depth > maxDepth {
		return 0
	}
	switch s[0] {
	case 'a':
		if n := typeLength(s[1:], depth+1); n > 0 {
			return n + 1
		}
		return 0
	case '(', '{':
		end := byte(')')
		if s[0] == '{' {
			end = '}'
		}
		for i := 1; i < len(s); {
			if s[i] == end && i > 1 { // an empty one would take no room, and an array of it no end
				return i + 1
			}
			n := typeLength(s[i:], depth+1)
			if n == 0 {
				return 0
			}
			i += n
		}
		return 0
	}
	if strings.IndexByte("ybnqiuxtdsoghv", s[0]) < 0 {
		return 0
	}
	return 1
}

// value reads one value: byte, bool, int64, uint64 (also for a double, whose
// bits it then has), string, or []any for a struct, an entry of a dictionary, an
// array.
func (d *decoder) value(t string, depth int) any {
	if depth > maxDepth || t == "" {
		d.fail()
	}
	if d.err != nil {
		return nil
	}
	switch t[0] {
	case 'y':
		return d.byte()
	case 'b':
		return d.uint32() != 0
	case 'n':
		return int64(int16(d.uint16()))
	case 'q':
		return uint64(d.uint16())
	case 'i':
		return int64(int32(d.uint32()))
	case 'u', 'h':
		return uint64(d.uint32())
	case 'x':
		return int64(d.uint64())
	case 't', 'd':
		return d.uint64()
	case 's', 'o':
		return d.text(int(d.uint32()))
	case 'g':
		return d.text(int(d.byte()))
	}
	return d.container(t, depth)
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2, 2); b != nil {
		return d.order.Uint16(b)
	}
	return 0
}

func (d *decoder) container(t string, depth int) any {
	switch t[0] {
	case 'v':
		inner, rest := d.first(d.text(int(d.byte())))
		if rest != "" {
			d.fail()
		}
		return d.value(inner, depth+1)
	case '(', '{':
		d.take(0, 8)
		var out []any
		for fields := t[1 : len(t)-1]; fields != "" && d.err == nil; {
			var one string
			one, fields = d.first(fields)
			out = append(out, d.value(one, depth+1))
		}
		return out
	}
	size := int(d.uint32())
	d.take(0, alignment(t[1]))
	end := d.pos + size
	if d.err != nil || size < 0 || end > len(d.data) {
		d.fail()
		return nil
	}
	out := []any{}
	for d.pos < end && d.err == nil {
		out = append(out, d.value(t[1:], depth+1))
	}
	return out
}

// alignment is that of a type by its first letter.
func alignment(t byte) int {
	switch t {
	case 'y', 'g', 'v':
		return 1
	case 'n', 'q':
		return 2
	case 'x', 't', 'd', '(', '{':
		return 8
	}
	return 4
}

// Error is an error that the other side returned.
type Error struct {
	Name string // such as org.freedesktop.systemd1.NoSuchUnit
	Msg  string
}

// Error renders the message and the name.
func (e *Error) Error() string { return fmt.Sprintf("%s (%s)", e.Msg, e.Name) }
