package dbus

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// encoder writes values in little-endian order.
type encoder struct{ bytes.Buffer }

func (e *encoder) pad(align int) {
	for e.Len()%align != 0 {
		e.WriteByte(0)
	}
}

func (e *encoder) uint32(n uint32) {
	e.pad(4)
	e.Write(binary.LittleEndian.AppendUint32(nil, n))
}

func (e *encoder) text(s string) {
	e.uint32(uint32(len(s)))
	e.WriteString(s)
	e.WriteByte(0)
}

func (e *encoder) signature(s string) {
	e.WriteByte(byte(len(s)))
	e.WriteString(s)
	e.WriteByte(0)
}

// arg writes an argument and returns its type. Another type than those of
// [Call] is a mistake in the program.
func (e *encoder) arg(a any) string {
	switch v := a.(type) {
	case string:
		e.text(v)
		return "s"
	case bool:
		n := uint32(0)
		if v {
			n = 1
		}
		e.uint32(n)
		return "b"
	case []string:
		var list encoder
		for _, s := range v {
			list.text(s)
		}
		e.uint32(uint32(list.Len()))
		e.Write(list.Bytes()) // begins at a multiple of 4, as it was made
		return "as"
	}
	panic(fmt.Sprintf("dbus: an argument is a %T", a))
}

// encodeCall writes a message.
func encodeCall(out *bytes.Buffer, serial uint32, c Call) {
	var body encoder
	signature := ""
	for _, a := range c.Args {
		signature += body.arg(a)
	}
	var fields encoder
	field := func(code byte, kind, value string) {
		fields.pad(8)
		fields.WriteByte(code)
		fields.signature(kind)
		if kind == "g" {
			fields.signature(value)
		} else {
			fields.text(value)
		}
	}
	field(fieldPath, "o", c.Path)
	field(fieldInterface, "s", c.Interface)
	field(fieldMember, "s", c.Method)
	field(fieldDestination, "s", c.Destination)
	if signature != "" {
		field(fieldSignature, "g", signature)
	}
	var head encoder
	head.Write([]byte{'l', methodCall, 0, 1}) // no flags, version 1 of the protocol
	head.uint32(uint32(body.Len()))
	head.uint32(serial)
	head.uint32(uint32(fields.Len()))
	head.Write(fields.Bytes())
	head.pad(8)
	out.Write(head.Bytes())
	out.Write(body.Bytes())
}
