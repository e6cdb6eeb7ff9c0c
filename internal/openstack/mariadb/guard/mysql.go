package guard

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// client speaks as much of the protocol of MariaDB as it takes to be root at the
// server's own socket and to ask for variables.
//
// Source: MariaDB's documentation, "Client/Server Protocol".
type client struct {
	conn net.Conn
	in   *bufio.Reader
	next byte // the sequence number of the next packet
}

// What the client can do, and answers of the server.
const (
	longPassword  = 0x1
	protocol41    = 0x200
	secureAuth    = 0x8000
	pluginAuth    = 0x80000
	utf8mb4       = 45
	maxPacket     = 1 << 24
	answerOK      = 0x00
	answerError   = 0xff
	answerEOF     = 0xfe // also: another way to sign in
	commandQuit   = 1
	commandQuery  = 3
	headerLength  = 4
	longestEOF    = 9
	twoByteLength = 0xfc
	nullValue     = 0xfb
)

// dial connects and signs in as root, whom the server knows by the socket. The
// context's deadline is that of the whole connection.
func dial(ctx context.Context, socket string) (*client, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	c := &client{conn: conn, in: bufio.NewReader(conn)}
	if err := c.signIn(); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("cannot sign in at %s: %w", socket, err)
	}
	return c, nil
}

// close takes leave, without which the server would log that a client was lost.
func (c *client) close() {
	c.next = 0
	_ = c.write([]byte{commandQuit})
	_ = c.conn.Close()
}

func (c *client) signIn() error {
	if _, err := c.read(); err != nil { // the server's greeting
		return err
	}
	hello := binary.LittleEndian.AppendUint32(nil, longPassword|protocol41|secureAuth|pluginAuth)
	hello = binary.LittleEndian.AppendUint32(hello, maxPacket)
	hello = append(hello, utf8mb4)
	hello = append(hello, make([]byte, 23)...) //nolint:mnd // reserved
	hello = append(hello, "root\x00\x00mysql_native_password\x00"...)
	if err := c.write(hello); err != nil {
		return err
	}
	for range 2 {
		p, err := c.read()
		switch {
		case err != nil:
			return err
		case p[0] == answerOK:
			return nil
		case p[0] != answerEOF:
			return fmt.Errorf("the server answers %#x", p[0])
		}
		if err := c.write(nil); err != nil { // no password for whatever it wants one for
			return err
		}
	}
	return errors.New("the server wants another proof again and again")
}

// query returns the rows of a statement, and none for one that has none.
func (c *client) query(sql string) ([][]string, error) {
	c.next = 0
	if err := c.write(append([]byte{commandQuery}, sql...)); err != nil {
		return nil, err
	}
	head, err := c.read()
	if err != nil || head[0] == answerOK {
		return nil, err
	}
	for range int(head[0]) + 1 { // columns, and what ends them
		if _, err := c.read(); err != nil {
			return nil, err
		}
	}
	var rows [][]string
	for {
		p, err := c.read()
		if err != nil {
			return nil, err
		}
		if p[0] == answerEOF && len(p) < longestEOF {
			return rows, nil
		}
		row, err := values(p)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

// values are those of a row, NULL being "".
func values(p []byte) ([]string, error) {
	var out []string
	for len(p) > 0 {
		size := int(p[0])
		p = p[1:]
		switch {
		case size == nullValue:
			size = 0
		case size == twoByteLength && len(p) >= 2:
			size = int(binary.LittleEndian.Uint16(p))
			p = p[2:]
		case size >= twoByteLength:
			return nil, errors.New("a value is longer than any that was asked for")
		}
		if size > len(p) {
			return nil, io.ErrUnexpectedEOF
		}
		out = append(out, string(p[:size]))
		p = p[size:]
	}
	return out, nil
}

// read returns a packet that has at least one byte. The server's errors are errors.
func (c *client) read() ([]byte, error) {
	var h [headerLength]byte
	if _, err := io.ReadFull(c.in, h[:]); err != nil {
		return nil, err
	}
	c.next = h[3] + 1
	p := make([]byte, int(h[0])|int(h[1])<<8|int(h[2])<<16)
	if _, err := io.ReadFull(c.in, p); err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, errors.New("the server says nothing")
	}
	if p[0] == answerError {
		return nil, serverError(p)
	}
	return p, nil
}

// serverError is a number, a state of six characters, and a text.
func serverError(p []byte) error {
	const numberLength, stateLength = 3, 6
	if len(p) < numberLength {
		return errors.New("the server has an error without a number")
	}
	text := string(p[numberLength:])
	if strings.HasPrefix(text, "#") && len(text) >= stateLength {
		text = text[stateLength:]
	}
	return &sqlError{binary.LittleEndian.Uint16(p[1:]), text}
}

// unknownVariable is ER_UNKNOWN_SYSTEM_VARIABLE.
const unknownVariable = 1193

// sqlError is the server's no.
type sqlError struct {
	number uint16
	text   string
}

func (e *sqlError) Error() string { return fmt.Sprintf("error %d: %s", e.number, e.text) }

func (c *client) write(payload []byte) error {
	n := len(payload)
	p := append([]byte{byte(n), byte(n >> 8), byte(n >> 16), c.next}, payload...)
	c.next++
	_, err := c.conn.Write(p)
	return err
}
