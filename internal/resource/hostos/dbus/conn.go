// Package dbus speaks as much of the D-Bus protocol as it takes to ask systemd
// something over its own socket, without a bus: calls with strings, booleans and
// lists of strings, and any reply.
//
// It guarantees that a reply that is not well-formed is an error, however long
// it says it is, and that calls made together are written at once and answered
// in any order. The protocol is that of the D-Bus specification, version 0.43;
// what systemd offers is described in org.freedesktop.systemd1(5).
package dbus

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
)

// maxMessage bounds a message that is read. What is asked of systemd has some
// kilobytes; the specification allows 128 MiB.
const maxMessage = 16 << 20

// Call is a method call. Args are strings, bools and lists of strings.
type Call struct {
	Destination, Path, Interface, Method string
	Args                                 []any
}

// Reply is the answer to a call: values as the decoder makes them, or an error
// of the other side.
type Reply struct {
	Values []any
	Err    error
}

// Conn is a connection. It is not safe for concurrent use.
type Conn struct {
	conn   net.Conn
	r      *bufio.Reader
	serial uint32
	stop   func() bool
}

// Dial connects to a socket as the user of that number. When ctx ends the
// connection does.
func Dial(ctx context.Context, socket string, uid int) (*Conn, error) {
	var dialer net.Dialer
	nc, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	c := &Conn{conn: nc, r: bufio.NewReader(nc)}
	c.stop = context.AfterFunc(ctx, func() { _ = nc.Close() })
	if err := c.authenticate(uid); err != nil {
		_ = c.Close()
		return nil, fmt.Errorf("cannot log in to %s: %w", socket, err)
	}
	return c, nil
}

// Close closes the connection.
func (c *Conn) Close() error {
	c.stop()
	return c.conn.Close()
}

// authenticate says who we are; the other side sees whether it is true.
func (c *Conn) authenticate(uid int) error {
	name := hex.EncodeToString([]byte(strconv.Itoa(uid)))
	if _, err := fmt.Fprintf(c.conn, "\x00AUTH EXTERNAL %s\r\nBEGIN\r\n", name); err != nil {
		return err
	}
	line, err := c.r.ReadString('\n')
	if err != nil {
		return err
	}
	if !strings.HasPrefix(line, "OK ") {
		return fmt.Errorf("it says %q", strings.TrimSpace(line))
	}
	return nil
}

// Do makes calls, all at once, and returns the replies in their order. An error
// is one of the connection.
func (c *Conn) Do(calls ...Call) ([]Reply, error) {
	var out bytes.Buffer
	first := c.serial + 1
	for _, call := range calls {
		c.serial++
		encodeCall(&out, c.serial, call)
	}
	// Written beside reading: both sides may have to wait for room.
	wrote := make(chan error, 1)
	go func() {
		_, err := c.conn.Write(out.Bytes())
		wrote <- err
	}()
	replies := make([]Reply, len(calls))
	seen := make([]bool, len(calls))
	for left := len(calls); left > 0; {
		m, err := c.read()
		if err != nil {
			_ = c.conn.Close() // or the writer might wait for ever
			return nil, errors.Join(err, <-wrote)
		}
		i := int(m.replyTo) - int(first)
		if m.kind != methodReturn && m.kind != methodError || i < 0 || i >= len(calls) || seen[i] {
			continue // a signal
		}
		replies[i], seen[i] = m.reply(), true
		left--
	}
	return replies, <-wrote
}

// Types of messages and fields of their headers.
const (
	methodCall   = 1
	methodReturn = 2
	methodError  = 3

	fieldPath        = 1
	fieldInterface   = 2
	fieldMember      = 3
	fieldErrorName   = 4
	fieldReplySerial = 5
	fieldDestination = 6
	fieldSignature   = 8
)

type message struct {
	kind      byte
	order     binary.ByteOrder
	replyTo   uint32
	errName   string
	signature string
	body      []byte
}

// fixedHeader is what comes before the header's fields, their length included.
const fixedHeader = 16

func (c *Conn) read() (m message, err error) {
	head := make([]byte, fixedHeader)
	if _, err := io.ReadFull(c.r, head); err != nil {
		return m, err
	}
	switch head[0] {
	case 'l':
		m.order = binary.LittleEndian
	case 'B':
		m.order = binary.BigEndian
	default:
		return m, errShort
	}
	m.kind = head[1]
	body, fields := int64(m.order.Uint32(head[4:])), int64(m.order.Uint32(head[12:]))
	padded := (fields + 7) / 8 * 8
	if body+padded > maxMessage {
		return m, fmt.Errorf("dbus: a message of %d bytes is too long", body+padded)
	}
	rest := make([]byte, padded+body)
	if _, err := io.ReadFull(c.r, rest); err != nil {
		return m, err
	}
	m.body = rest[padded:]
	// The fields are aligned as seen from the beginning of the message.
	d := &decoder{data: append(head, rest[:fields]...), pos: fixedHeader - 4, order: m.order}
	list, _ := d.value("a(yv)", 0).([]any)
	for _, f := range list {
		m.field(f.([]any))
	}
	return m, d.err
}

func (m *message) field(f []any) {
	if len(f) != 2 {
		return
	}
	text, _ := f[1].(string)
	switch code, _ := f[0].(byte); code {
	case fieldErrorName:
		m.errName = text
	case fieldSignature:
		m.signature = text
	case fieldReplySerial:
		n, _ := f[1].(uint64)
		m.replyTo = uint32(n)
	}
}

func (m *message) reply() Reply {
	d := &decoder{data: m.body, order: m.order}
	values := d.all(m.signature)
	if m.kind == methodError {
		e := &Error{Name: m.errName}
		if len(values) > 0 {
			e.Msg, _ = values[0].(string)
		}
		return Reply{Err: e}
	}
	return Reply{Values: values, Err: d.err}
}
