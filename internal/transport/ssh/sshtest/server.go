// Package sshtest is an SSH server for tests, in the process of the test.
//
// It keeps to what OpenSSH's sshd does where that matters to a client: a command
// runs by a real /bin/sh in a session of its own, as the child of a process that
// lives as long as the connection; when the connection dies, that process goes
// and the command stays. Host keys can be changed, connections cut or muted.
package sshtest

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// Options say how the server behaves.
type Options struct {
	// Env is the environment of commands; HOME and PATH are set when missing.
	Env []string
	// MaxSessions bounds the commands of a connection at one time; 0 is no bound.
	MaxSessions int
	// NoForwarding forbids dialling through the server.
	NoForwarding bool
	// HostKey is a new ed25519 key when nil.
	HostKey ssh.Signer
}

// Server is a server that listens on the loopback address.
type Server struct {
	t        testing.TB
	o        Options
	listener net.Listener
	dir      string
	client   ssh.Signer
	wg       sync.WaitGroup

	mu     sync.Mutex
	keys   []ssh.Signer
	conns  map[*conn]bool
	logins int
	deny   bool
}

// New starts a server, which ends with the test.
func New(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{t: t, o: o, dir: t.TempDir(), conns: map[*conn]bool{}}
	s.o.Env = append([]string{"HOME=" + s.dir, "PATH=" + os.Getenv("PATH")}, o.Env...)
	if o.HostKey == nil {
		o.HostKey = NewKey(t)
	}
	s.keys = []ssh.Signer{o.HostKey}
	s.client = s.writeIdentity()
	var err error
	if s.listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	s.TrustHostKey()
	s.wg.Go(s.accept)
	t.Cleanup(s.close)
	return s
}

// NewKey makes an ed25519 key.
func NewKey(t testing.TB) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// WriteKey makes an ed25519 key and writes the private part to a file.
func WriteKey(t testing.TB, path string) ssh.PublicKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "sshtest")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey()
}

func (s *Server) identity() string   { return filepath.Join(s.dir, "id_ed25519") }
func (s *Server) knownHosts() string { return filepath.Join(s.dir, "known_hosts") }

// Home is the home directory of commands.
func (s *Server) Home() string { return s.dir }

func (s *Server) writeIdentity() ssh.Signer {
	WriteKey(s.t, s.identity())
	data, err := os.ReadFile(s.identity())
	if err != nil {
		s.t.Fatal(err)
	}
	signer, err := ssh.ParsePrivateKey(data)
	if err != nil {
		s.t.Fatal(err)
	}
	return signer
}

// Target says how to reach the server, with a key that it accepts and a
// known_hosts file that names it.
func (s *Server) Target() transport.Target {
	addr := s.listener.Addr().(*net.TCPAddr)
	return transport.Target{
		Name: "host1", Address: addr.IP.String(), Port: addr.Port, User: "tester",
		Identities: []string{s.identity()}, KnownHosts: s.knownHosts(),
	}
}

// HostKey returns the first host key.
func (s *Server) HostKey() ssh.Signer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys[0]
}

// SetHostKeys replaces the host keys.
func (s *Server) SetHostKeys(keys ...ssh.Signer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
}

// TrustHostKey writes the first host key to the known_hosts file.
func (s *Server) TrustHostKey() {
	line := knownhosts.Line([]string{s.listener.Addr().String()}, s.HostKey().PublicKey()) + "\n"
	if err := os.WriteFile(s.knownHosts(), []byte(line), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Deny makes the server refuse the key of [Server.Target].
func (s *Server) Deny() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deny = true
}

// Logins returns how many connections were accepted so far.
func (s *Server) Logins() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.logins
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Cut cuts all connections in the middle of whatever is being sent.
func (s *Server) Cut() {
	for _, c := range s.open() {
		_ = c.raw.Close()
	}
}

// Mute stops reading from all connections without closing them, as when a
// cable is cut.
func (s *Server) Mute() {
	for _, c := range s.open() {
		c.raw.mute()
	}
}

func (s *Server) open() []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*conn
	for c := range s.conns {
		all = append(all, c)
	}
	return all
}

func (s *Server) close() {
	_ = s.listener.Close()
	s.Cut()
	s.wg.Wait()
}

func (s *Server) accept() {
	for {
		nc, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.wg.Go(func() { s.serve(&cable{Conn: nc, muted: make(chan struct{}), closed: make(chan struct{})}) })
	}
}

func (s *Server) config() *ssh.ServerConfig {
	s.mu.Lock()
	defer s.mu.Unlock()
	cfg := &ssh.ServerConfig{PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.deny || !slices.Equal(key.Marshal(), s.client.PublicKey().Marshal()) {
			return nil, fmt.Errorf("key not authorised")
		}
		return nil, nil
	}}
	for _, k := range s.keys {
		cfg.AddHostKey(k)
	}
	return cfg
}

// cable is a connection that can be muted.
type cable struct {
	net.Conn
	once, shut    sync.Once
	muted, closed chan struct{}
}

func (c *cable) mute() { c.once.Do(func() { close(c.muted) }) }

// Close closes the connection and wakes up what is muted.
func (c *cable) Close() error {
	c.shut.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// Read reads, and holds back what it read when the cable is muted.
func (c *cable) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	select {
	case <-c.muted:
		<-c.closed
		return 0, net.ErrClosed
	default:
		return n, err
	}
}
