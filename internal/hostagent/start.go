// Package hostagent is the deployer's end of the host agent: it brings the
// agent to a host, starts it, and asks it to do things.
//
// It guarantees that the agent that answers is the one that belongs to this
// updraft, that it lies where nobody but the login user can put it, and that a
// password is written to nothing but sudo, and only when sudo asks. Errors carry
// their class (package retry). It never retries by itself.
package hostagent

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/hostagent/proto"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// Errors that callers tell apart. All are permanent.
var (
	// ErrPassword means that sudo wants a password and was not given the right one.
	ErrPassword = errors.New("sudo password refused")
	// ErrVersion means that the agent speaks another protocol.
	ErrVersion = errors.New("the host agent speaks another protocol")
)

// Binary is a packed agent.
type Binary struct {
	GZ  []byte
	SHA string // digest of GZ
}

// Options say how to start an agent.
type Options struct {
	// Host names the host in messages.
	Host string
	// User is the login user; the agent runs under sudo unless it is root or empty.
	User string
	// SudoPassword is asked for when sudo asks; nil means that there is none.
	SudoPassword func() (string, error)
	// Agents are the agents by architecture, as Go names it.
	Agents map[string]Binary
	// Now is this computer's clock; nil means time.Now.
	Now func() time.Time
	// Log takes what the agent and the shell say on standard error; nil drops it.
	Log func(line string)
}

// session is an agent being started.
type session struct {
	o      Options
	conn   transport.Conn
	proc   transport.Process
	stdout *bufio.Reader
	stderr stderr
	pushed int // bytes of the agent
	began  time.Time
	cancel context.CancelFunc
	wg     sync.WaitGroup // reads the standard error
}

// Start starts the agent over the connection, pushing it first if the host does
// not have it. ctx bounds the start only.
func Start(ctx context.Context, conn transport.Conn, o Options) (*Client, error) {
	if o.Log == nil {
		o.Log = func(string) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &session{o: o, conn: conn, began: o.Now()}
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.cancel = cancel
	s.stderr.prompt = fmt.Sprintf("updraft-sudo-%s: ", rand.Text())
	stop := context.AfterFunc(ctx, cancel)
	hello, err := s.start(life)
	if !stop() && err == nil {
		_ = s.abandon()
		err = context.Cause(ctx)
	}
	if err != nil {
		cancel()
		if ctx.Err() != nil {
			err = retry.Mark(context.Cause(ctx), retry.Unreachable)
		}
		return nil, fmt.Errorf("cannot start the host agent on %s: %w", o.Host, err)
	}
	c := newClient(s, hello)
	c.ahead = ahead(time.Unix(0, hello.Time), s.began, o.Now())
	return c, nil
}

// ahead is how far a clock is ahead at least that showed a time at some moment
// between two of ours; negative if it is behind, and 0 if it may be right. So a
// connection that is slow never makes a clock look wrong.
func ahead(shown, from, to time.Time) time.Duration {
	shown, from, to = shown.Round(0), from.Round(0), to.Round(0) // the clocks' times, not those since boot
	switch {
	case shown.After(to):
		return shown.Sub(to)
	case shown.Before(from):
		return shown.Sub(from)
	}
	return 0
}

func (s *session) start(ctx context.Context) (hello proto.Hello, err error) {
	s.proc, err = transport.StartBound(ctx, s.conn, script(s.o, s.stderr.prompt))
	if err != nil {
		return hello, err
	}
	s.stdout = bufio.NewReader(s.proc.Stdout())
	s.wg.Go(s.readStderr)
	if err := s.prepare(); err != nil {
		return hello, s.failed(err)
	}
	if err := proto.NewReader(s.stdout).Read(&hello); err != nil {
		return hello, s.failed(err)
	}
	if hello.Protocol != proto.Version {
		return hello, s.failed(fmt.Errorf("%w: %d, wanted %d", ErrVersion, hello.Protocol, proto.Version))
	}
	return hello, nil
}

// mark is the first word of what the script says, as against what login shells
// print unasked.
const mark = "updraft-agent"

// noiseLimit bounds what a login shell may print before.
const noiseLimit = 1 << 20

// prepare talks to the script until it becomes the agent.
func (s *session) prepare() error {
	for seen := 0; seen < noiseLimit; {
		line, err := s.stdout.ReadString('\n')
		if err != nil {
			return err
		}
		seen += len(line)
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != mark {
			continue
		}
		switch words[1] {
		case "have":
			return nil
		case "need":
			if err := s.push(words[2:]); err != nil {
				return err
			}
		case "unsupported":
			return fmt.Errorf("there is no host agent for its architecture %s", strings.Join(words[2:], " "))
		}
	}
	return errors.New("its login shell prints too much")
}

// push sends the next part of the agent.
func (s *session) push(arch []string) error {
	a, ok := s.o.Agents[strings.Join(arch, " ")]
	if !ok || s.pushed >= len(a.GZ) {
		return fmt.Errorf("there is no host agent for %q, or no more of it", arch)
	}
	next := a.GZ[s.pushed:min(s.pushed+part, len(a.GZ))]
	s.pushed += len(next)
	_, err := io.Copy(s.proc.Stdin(), bytes.NewReader(next))
	return err
}

// readStderr passes lines on, and answers sudo's prompt.
func (s *session) readStderr() {
	s.stderr.read(s.proc.Stderr(), s.o.Log, func() {
		if err := s.answer(); err != nil {
			s.stderr.fail(err)
			_ = s.proc.Kill()
			s.cancel()
		}
	})
}

// answer writes the password. A second prompt means that the first answer was
// wrong; another try would only lock the account.
func (s *session) answer() error {
	switch {
	case s.stderr.prompts > 1:
		return fmt.Errorf("%w: sudo does not accept it for %s", ErrPassword, s.o.User)
	case s.o.SudoPassword == nil:
		return fmt.Errorf("%w: sudo wants one for %s and there is none; give the sudo password, or allow %s to use sudo without one (NOPASSWD in sudoers)",
			ErrPassword, s.o.User, s.o.User)
	}
	password, err := s.o.SudoPassword()
	if err != nil {
		return fmt.Errorf("cannot get the sudo password: %w", err)
	}
	_, err = io.WriteString(s.proc.Stdin(), password+"\n")
	return retry.Mark(err, retry.Unreachable)
}

// abandon ends the process and waits for all that reads from it.
func (s *session) abandon() error {
	_ = s.proc.Kill()
	_, _ = io.Copy(io.Discard, s.stdout)
	s.wg.Wait()
	return s.proc.Wait()
}

// failed says why the agent did not come up.
func (s *session) failed(err error) error {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.ErrClosedPipe)
	if !ended {
		_ = s.abandon()
		if why := s.stderr.why(); why != nil {
			return why
		}
		return err
	}
	s.wg.Wait()
	status := s.proc.Wait()
	if why := s.stderr.why(); why != nil {
		return why
	}
	var exit *transport.ExitError
	switch {
	case status == nil:
		return fmt.Errorf("it ended at once%s", s.stderr.words())
	case errors.As(status, &exit) && s.conn.Err() == nil:
		return fmt.Errorf("%w%s", status, s.stderr.words())
	}
	return retry.Mark(status, retry.Unreachable)
}
