package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// plainPorts are those that need not speak TLS, with the reason. Whatever else
// listens on an address that others can reach has to: a new port that does not
// fails the test.
func plainPorts() map[int]string {
	return map[int]string{
		22:   "SSH brings its own encryption, and its host keys are known",
		4369: "epmd tells on which port an Erlang node listens, and nothing else; nodes themselves speak TLS",
	}
}

// plainPrograms are those that listen on ports of their choice.
func plainPrograms() map[string]string {
	return map[string]string{
		"qemu-system-x86": "consoles of servers: VNC between the console proxy and QEMU (docs/openstack.md)",
	}
}

// mutual are the ports at which clients have to show a certificate, too.
func mutual() []int { return []int{2379, 2380, 3307, 4567, 6641, 6642, 6643, 6644, 11211, 25672} }

// mutualPrograms are such programs. They end the connection without an alert.
func mutualPrograms() []string { return []string{"glusterd", "glusterfsd", "libvirtd"} }

// listener is a listening socket of a host.
type listener struct {
	host, program string
	at            netip.AddrPort
}

// everyPortSpeaksTLS looks at whatever listens on the hosts on an address that is
// not their own alone, and asks each for its certificate.
func everyPortSpeaksTLS(t *testing.T, c *cloud) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(c.run("secrets", "export-ca").stdout)) {
		t.Fatal("there is no authority")
	}
	speakTLS(t, c, roots, 443, 3306, 5000, 5671, 6641, 6642, 8774, 16514, 25672)
}

// speakTLS does that with certificates of an authority. Among the ports have to be
// some: were the list empty, nothing would have been proven.
func speakTLS(t *testing.T, c *cloud, roots *x509.CertPool, some ...int) {
	t.Helper()
	ns, err := netns.Open("ud-" + c.name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	found := listeners(t, c)
	var spoken []int
	for _, l := range found {
		port := int(l.at.Port())
		if plainPorts()[port] != "" || plainPrograms()[l.program] != "" {
			continue
		}
		spoken = append(spoken, port)
		if err := speaksTLS(t.Context(), ns, l, roots); err != nil {
			t.Errorf("%s: %s listens at %s: %v", l.host, l.program, l.at, err)
		}
		if err := refusesPlain(t.Context(), ns, l.at); err != nil {
			t.Errorf("%s: %s listens at %s: %v", l.host, l.program, l.at, err)
		}
	}
	t.Logf("%d of %d listening sockets have to speak TLS: %v", len(spoken), len(found), spoken)
	for _, port := range some {
		if !slices.Contains(spoken, port) {
			t.Errorf("nothing listens at port %d", port)
		}
	}
}

// listeners asks each host's kernel.
func listeners(t *testing.T, c *cloud) []listener {
	t.Helper()
	var out []listener
	lines := bufio.NewScanner(strings.NewReader(c.run("exec", "all", "--json", "--", "ss", "-Htlnp").stdout))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct{ Host, Stdout string }
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			t.Fatalf("%s: %v", lines.Text(), err)
		}
		own := 0
		for line := range strings.Lines(r.Stdout) {
			l, local := socket(t, c, r.Host, line)
			if own++; !local {
				out = append(out, l)
			}
		}
		if own < 2 {
			t.Errorf("%s says that %d sockets listen", r.Host, own)
		}
	}
	return out
}

// socket reads a line of ss(8): state, queues, the local address, the peer's, and
// the program. One that listens on all addresses is asked at the host's first.
func socket(t *testing.T, c *cloud, host, line string) (l listener, local bool) {
	t.Helper()
	words := strings.Fields(line)
	if len(words) < 5 {
		t.Fatalf("%s: what is %q?", host, line)
	}
	address, port, err := net.SplitHostPort(words[3])
	if err != nil {
		t.Fatalf("%s: %q: %v", host, line, err)
	}
	address, _, _ = strings.Cut(address, "%")
	if address == "*" || address == "0.0.0.0" || address == "::" {
		address = addressOf(t, c, host)
	}
	l = listener{host: host, program: "?"}
	if l.at, err = netip.ParseAddrPort(net.JoinHostPort(address, port)); err != nil {
		t.Fatalf("%s: %q: %v", host, line, err)
	}
	if len(words) > 5 {
		if _, rest, ok := strings.Cut(words[5], `(("`); ok {
			l.program, _, _ = strings.Cut(rest, `"`)
		}
	}
	return l, l.at.Addr().IsLoopback()
}

// addressOf is a host's first address.
func addressOf(t *testing.T, c *cloud, host string) string {
	t.Helper()
	out := c.run("exec", host, "--", "ip", "-o", "-4", "address", "show", "scope", "global").stdout
	for line := range strings.Lines(out) {
		for _, word := range strings.Fields(line) {
			if p, err := netip.ParsePrefix(word); err == nil && !p.IsSingleIP() { // which a virtual address is
				return p.Addr().String()
			}
		}
	}
	t.Fatalf("%s has no address:\n%s", host, out)
	return ""
}

const handshake = 10 * time.Second

// speaksTLS takes the certificate that is shown at the address and holds it
// against the cloud's authority and the address. A client without a certificate is
// to be turned away where both have to show one.
func speaksTLS(ctx context.Context, ns *netns.NS, l listener, roots *x509.CertPool) error {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	raw, err := ns.DialContext(ctx, "tcp", l.at.String())
	if err != nil {
		return err
	}
	defer raw.Close()
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	if l.at.Port() == 3306 {
		if err := mysqlStartTLS(raw); err != nil {
			return err
		}
	}
	seen := false
	conn := tls.Client(raw, &tls.Config{
		RootCAs: roots, ServerName: l.at.Addr().String(), MinVersion: tls.VersionTLS12,
		VerifyConnection: func(tls.ConnectionState) error { seen = true; return nil },
	})
	err = conn.HandshakeContext(ctx)
	if !seen { // the certificate was never believed
		return fmt.Errorf("no TLS with a certificate of the cloud's authority for that address: %w", err)
	}
	ends := slices.Contains(mutualPrograms(), l.program)
	if !ends && !slices.Contains(mutual(), int(l.at.Port())) {
		return err
	}
	// With TLS 1.3, a server's no comes after the client's end of the handshake.
	if err == nil {
		_, err = conn.Read(make([]byte, 1))
	}
	var alert *net.OpError
	if ends && errors.Is(err, io.EOF) {
		return nil // had it been let in, nothing would come, and nothing end
	}
	if !errors.As(err, &alert) || alert.Op != "remote error" { // how crypto/tls tells of the other side's alert
		return fmt.Errorf("a client without a certificate is not turned away (%w)", err)
	}
	return nil
}

// mysqlStartTLS asks a MariaDB server to go on with TLS: the server greets, the
// client answers with an SSLRequest.
//
// Source: MariaDB's documentation, "Client/Server Protocol", "Connection Phase".
func mysqlStartTLS(conn net.Conn) error {
	head := make([]byte, 4)
	if _, err := io.ReadFull(conn, head); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, conn, int64(head[0])|int64(head[1])<<8|int64(head[2])<<16); err != nil {
		return err
	}
	const protocol41, tlsWanted, secure = 0x200, 0x800, 0x8000
	capabilities := uint32(protocol41 | tlsWanted | secure)
	request := make([]byte, 4+32)
	request[0], request[3] = 32, 1 // length and sequence
	for i := range 4 {
		request[4+i] = byte(capabilities >> (8 * i))
	}
	request[8+3], request[12] = 1, 45 // packets of 16 MiB, utf8mb4
	_, err := conn.Write(request)
	return err
}

// refusesPlain says something that is no TLS. What comes back may be an alert, a
// sentence on what is wrong, or nothing, but no answer.
func refusesPlain(ctx context.Context, ns *netns.NS, at netip.AddrPort) error {
	if at.Port() == 3306 {
		return nil // it begins in plain; that no user signs in so is the account's (REQUIRE SSL)
	}
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	conn, err := ns.DialContext(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	answer, _ := io.ReadAll(io.LimitReader(conn, 4096)) // an error is as good as the end
	if bytes.HasPrefix(answer, []byte("HTTP/")) && !bytes.HasPrefix(answer, []byte("HTTP/1.0 400")) && !bytes.HasPrefix(answer, []byte("HTTP/1.1 400")) {
		return fmt.Errorf("it answers without TLS: %.80q", answer)
	}
	return nil
}
