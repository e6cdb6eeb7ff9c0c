package ssh

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/updraft-cloud/updraft/internal/transport/ssh/sshtest"
)

func ecdsaKey(t testing.TB) ssh.Signer {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	s, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// silent dials a host that accepts and says nothing.
func silent(t *testing.T, dialled func()) func(context.Context, string, string) (net.Conn, error) {
	return func(context.Context, string, string) (net.Conn, error) {
		here, there := net.Pipe()
		t.Cleanup(func() { there.Close() })
		go func() {
			_, _ = there.Read(make([]byte, 1)) // the client's version
			dialled()
		}()
		return here, nil
	}
}

// BenchmarkConnect measures a handshake with its login, both ends.
func BenchmarkConnect(b *testing.B) {
	for name, kex := range map[string]string{"x25519": ssh.KeyExchangeCurve25519, "mlkem": ssh.KeyExchangeMLKEM768X25519, "p256": ssh.KeyExchangeECDHP256} {
		b.Run(name, func(b *testing.B) {
			s := sshtest.New(b, sshtest.Options{})
			benchHandshake(b, s, kex)
		})
	}
}

func benchHandshake(b *testing.B, s *sshtest.Server, kex string) {
	target := withDefaults(s.Target())
	var d Dialer
	keys, err := d.keys.signers(b.Context(), target)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		nc, err := net.Dial("tcp", address(target))
		if err != nil {
			b.Fatal(err)
		}
		c, _, _, err := ssh.NewClientConn(nc, "", &ssh.ClientConfig{
			Config: ssh.Config{KeyExchanges: []string{kex}, Ciphers: ciphers()}, User: "tester",
			Auth: []ssh.AuthMethod{ssh.PublicKeysCallback(keys.signers)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
		})
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkCipher measures a megabyte through the loopback, both ends.
func BenchmarkCipher(b *testing.B) {
	for _, cipher := range []string{ssh.CipherAES128GCM, ssh.CipherChaCha20Poly1305, ssh.CipherAES256GCM, ssh.CipherAES128CTR} {
		b.Run(cipher, func(b *testing.B) { benchCipher(b, cipher) })
	}
}

func benchCipher(b *testing.B, cipher string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	here, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	key := ecdsaKey(b)
	go func() {
		there, err := l.Accept()
		if err != nil {
			return
		}
		cfg := &ssh.ServerConfig{NoClientAuth: true}
		cfg.AddHostKey(key)
		_, chans, reqs, err := ssh.NewServerConn(there, cfg)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(reqs)
		for nch := range chans {
			ch, reqs, _ := nch.Accept()
			go ssh.DiscardRequests(reqs)
			buf := make([]byte, 1<<15)
			for {
				if _, err := ch.Read(buf); err != nil {
					break
				}
			}
		}
	}()
	c, chans, reqs, err := ssh.NewClientConn(here, "", &ssh.ClientConfig{
		Config: ssh.Config{Ciphers: []string{cipher}}, HostKeyCallback: ssh.InsecureIgnoreHostKey(),
	})
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	go ssh.DiscardRequests(reqs)
	go func() {
		for range chans { //nolint:revive // none come
		}
	}()
	ch, r, err := c.OpenChannel("x", nil)
	if err != nil {
		b.Fatal(err)
	}
	go ssh.DiscardRequests(r)
	data := make([]byte, 1<<20)
	b.SetBytes(1 << 20)
	for b.Loop() {
		if _, err := ch.Write(data); err != nil {
			b.Fatal(err)
		}
	}
}
