package agent

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// look checks a member once. No error means that it is well.
func look(ctx context.Context, at netip.AddrPort, c amphora.Check) error {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(c.TimeoutMS)*time.Millisecond)
	defer cancel()
	switch c.Type {
	case "UDP-CONNECT":
		return lookUDP(ctx, at)
	case "SCTP":
		return lookSCTP(ctx, at)
	case "PING":
		return lookPing(ctx, at.Addr())
	case "HTTP":
		return lookHTTP(ctx, at, c)
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", at.String())
	if err == nil {
		conn.Close()
	}
	return err
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	return conn, conn.SetDeadline(deadline)
}

// lookUDP sends an empty datagram. Who is not there is told of by ICMP; silence
// is what most services answer to nothing.
func lookUDP(ctx context.Context, at netip.AddrPort) error {
	conn, err := dial(ctx, "udp", at.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(nil); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

func lookHTTP(ctx context.Context, at netip.AddrPort, c amphora.Check) error {
	conn, err := dial(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	request := c.Method + " " + c.Path + " HTTP/1.0\r\n"
	if !c.HTTP10 {
		request = c.Method + " " + c.Path + " HTTP/1.1\r\nConnection: close\r\n"
	}
	if c.Host != "" || !c.HTTP10 {
		request += "Host: " + orElse(c.Host, at.String()) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return err
	}
	var version string
	var code int
	if _, err := fmt.Fscan(conn, &version, &code); err != nil || !strings.HasPrefix(version, "HTTP/") {
		return fmt.Errorf("%s does not answer in HTTP: %w", at, err)
	}
	if !expected(code, c.Expect) {
		return fmt.Errorf("%s answers %d %s", at, code, http.StatusText(code))
	}
	return nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// expected reports whether the code is in a list such as 200,202 or 200-204.
func expected(code int, list string) bool {
	for part := range strings.SplitSeq(list, ",") {
		first, last, ok := strings.Cut(strings.TrimSpace(part), "-")
		if !ok {
			last = first
		}
		low, err1 := strconv.Atoi(first)
		high, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil && low <= code && code <= high {
			return true
		}
	}
	return false
}

// lookPing sends an ICMP echo request (RFC 792, RFC 4443) and waits for its reply.
func lookPing(ctx context.Context, to netip.Addr) error {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	conn, err := dial(ctx, network, to.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	packet := binary.BigEndian.AppendUint64([]byte{request, 0, 0, 0}, rand.Uint64())
	if to.Is4() { // the kernel does it for IPv6
		binary.BigEndian.PutUint16(packet[2:], checksum(packet))
	}
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, err := receive(conn, buf)
		if err != nil {
			return err
		}
		if n >= len(packet) && buf[0] == reply && string(buf[4:len(packet)]) == string(packet[4:]) {
			return nil
		}
	}
}

// receive reads a packet without its header of IPv4, which only ReadFrom leaves out.
func receive(conn net.Conn, buf []byte) (int, error) {
	n, _, err := conn.(*net.IPConn).ReadFrom(buf)
	return n, err
}

// Chunks of SCTP (RFC 9260 §3.2).
const (
	sctpInit    = 1
	sctpInitAck = 2
	sctpAbort   = 6
)

// lookSCTP begins an association and gives it up when the other side agrees. It
// does so on a raw socket, for a kernel may know nothing of SCTP.
func lookSCTP(ctx context.Context, at netip.AddrPort) error {
	network := "ip4:132"
	if at.Addr().Is6() {
		network = "ip6:132"
	}
	conn, err := dial(ctx, network, at.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	port, tag := uint16(32768+rand.IntN(28000)), rand.Uint32()|1
	if _, err := conn.Write(sctpPacket(port, at.Port(), 0, sctpInit, initBody(tag))); err != nil {
		return err
	}
	buf := make([]byte, 1500)
	for {
		n, err := receive(conn, buf)
		if err != nil {
			return err
		}
		p := buf[:n]
		if n < 20 || binary.BigEndian.Uint16(p) != at.Port() || binary.BigEndian.Uint16(p[2:]) != port || binary.BigEndian.Uint32(p[4:]) != tag {
			continue
		}
		switch p[12] {
		case sctpInitAck:
			_, err := conn.Write(sctpPacket(port, at.Port(), binary.BigEndian.Uint32(p[16:]), sctpAbort, nil))
			return err
		case sctpAbort:
			return fmt.Errorf("%s refuses associations", at)
		}
	}
}

// initBody has the tag, the window, two streams and the first number.
func initBody(tag uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, tag)
	b = binary.BigEndian.AppendUint32(b, 65535)
	b = append(b, 0, 1, 0, 1)
	return binary.BigEndian.AppendUint32(b, rand.Uint32())
}

func sctpPacket(from, to uint16, tag uint32, kind byte, body []byte) []byte {
	p := binary.BigEndian.AppendUint16(nil, from)
	p = binary.BigEndian.AppendUint16(p, to)
	p = binary.BigEndian.AppendUint32(p, tag)
	p = append(p, 0, 0, 0, 0, kind, 0)
	p = binary.BigEndian.AppendUint16(p, uint16(4+len(body)))
	p = append(p, body...)
	// The checksum is in the order of bytes that CRC32c computes (appendix A).
	binary.LittleEndian.PutUint32(p[8:], crc32.Checksum(p, crc32.MakeTable(crc32.Castagnoli)))
	return p
}
