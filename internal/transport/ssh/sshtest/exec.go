package sshtest

import (
	"bufio"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/crypto/ssh"
)

// conn is one connection after login.
type conn struct {
	s    *Server
	raw  *cable
	wg   sync.WaitGroup
	mu   sync.Mutex
	live map[*exec.Cmd][]io.Closer
}

func (s *Server) serve(raw *cable) {
	defer func() { _ = raw.Close() }()
	sc, chans, reqs, err := ssh.NewServerConn(raw, s.config())
	if err != nil {
		return
	}
	c := &conn{s: s, raw: raw, live: map[*exec.Cmd][]io.Closer{}}
	s.mu.Lock()
	s.conns[c] = true
	s.logins++
	s.mu.Unlock()
	c.wg.Go(func() { ssh.DiscardRequests(reqs) })
	for nch := range chans {
		switch nch.ChannelType() {
		case "session":
			c.session(nch)
		case "direct-tcpip":
			c.wg.Go(func() { c.forward(nch) })
		default:
			_ = nch.Reject(ssh.UnknownChannelType, "unknown channel type")
		}
	}
	_ = sc.Close()
	s.mu.Lock()
	delete(s.conns, c)
	s.mu.Unlock()
	c.hangUp()
	c.wg.Wait()
}

// hangUp ends the processes that stand for the connection, not the commands.
func (c *conn) hangUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for cmd, pipes := range c.live {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
		for _, p := range pipes {
			p.Close()
		}
	}
}

// forward dials as RFC 4254, section 7.2, says.
func (c *conn) forward(nch ssh.NewChannel) {
	var to struct {
		Host   string
		Port   uint32
		Origin string
		From   uint32
	}
	if err := ssh.Unmarshal(nch.ExtraData(), &to); err != nil || c.s.o.NoForwarding {
		_ = nch.Reject(ssh.Prohibited, "administratively prohibited")
		return
	}
	nc, err := net.Dial("tcp", net.JoinHostPort(to.Host, strconv.Itoa(int(to.Port))))
	if err != nil {
		_ = nch.Reject(ssh.ConnectionFailed, err.Error())
		return
	}
	defer nc.Close()
	ch, reqs, err := nch.Accept()
	if err != nil {
		return
	}
	go ssh.DiscardRequests(reqs)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(nc, ch)
		_ = nc.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(ch, nc)
	_ = ch.Close()
	wg.Wait()
}

func (c *conn) session(nch ssh.NewChannel) {
	c.mu.Lock()
	full := c.s.o.MaxSessions > 0 && len(c.live) >= c.s.o.MaxSessions
	c.mu.Unlock()
	if full {
		_ = nch.Reject(ssh.ConnectionFailed, "open failed") // as sshd says it
		return
	}
	ch, reqs, err := nch.Accept()
	if err != nil {
		return
	}
	// The slot is taken here, since the next channel is opened after this one.
	cmd := new(exec.Cmd)
	c.mu.Lock()
	c.live[cmd] = nil
	c.mu.Unlock()
	c.wg.Go(func() { c.requests(ch, reqs, cmd) })
}

// requests handles exec and signal (RFC 4254, section 6).
func (c *conn) requests(ch ssh.Channel, reqs <-chan *ssh.Request, slot *exec.Cmd) {
	group := 0
	var ended sync.WaitGroup
	for r := range reqs {
		var arg struct{ S string }
		var reap func()
		err := ssh.Unmarshal(r.Payload, &arg)
		switch {
		case err != nil:
		case r.Type == "exec" && group == 0:
			group, reap, err = c.exec(ch, arg.S, slot)
		case r.Type == "signal" && arg.S == "KILL" && group > 0:
			err = syscall.Kill(-group, syscall.SIGKILL)
		case r.Type == "signal" && arg.S == "TERM" && group > 0:
			err = syscall.Kill(-group, syscall.SIGTERM)
		default:
			err = os.ErrInvalid
		}
		_ = r.Reply(err == nil, nil)
		if reap != nil {
			ended.Go(reap) // after the reply, which is to come before the end
		}
	}
	if group == 0 {
		c.release(slot)
	}
	ended.Wait()
}

func (c *conn) release(cmd *exec.Cmd) []io.Closer {
	c.mu.Lock()
	defer c.mu.Unlock()
	pipes := c.live[cmd]
	delete(c.live, cmd)
	return pipes
}

// session runs the command in a session of its own, and tells its number.
const sessionScript = `setsid /bin/sh -c 'echo $$ >&3; exec 3>&-; exec /bin/sh -c "$0"' "$1"; exit $?`

// exec starts a command and returns its process group and what waits for its end.
func (c *conn) exec(ch ssh.Channel, line string, cmd *exec.Cmd) (group int, reap func(), err error) {
	pidR, pidW, err := os.Pipe()
	if err != nil {
		return 0, nil, err
	}
	defer pidR.Close()
	c.mu.Lock()
	*cmd = *exec.Command("/bin/sh", "-c", sessionScript, "sshd-session", line)
	cmd.Env, cmd.Dir, cmd.ExtraFiles = c.s.o.Env, c.s.dir, []*os.File{pidW}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.mu.Unlock()
	stdin, _ := cmd.StdinPipe()
	stdout, _ := cmd.StdoutPipe()
	stderr, _ := cmd.StderrPipe()
	c.mu.Lock()
	err = cmd.Start()
	c.live[cmd] = []io.Closer{stdin, stdout, stderr}
	c.mu.Unlock()
	pidW.Close()
	if err != nil {
		return 0, nil, err
	}
	go func() {
		_, _ = io.Copy(stdin, ch)
		stdin.Close()
	}()
	pid, err := bufio.NewReader(pidR).ReadString('\n')
	if err == nil {
		group, err = strconv.Atoi(strings.TrimSpace(pid))
	}
	return group, func() { c.reap(ch, cmd, stdout, stderr) }, err
}

// reap sends what the command writes, and then its status.
func (c *conn) reap(ch ssh.Channel, cmd *exec.Cmd, stdout, stderr io.Reader) {
	var outputs sync.WaitGroup
	var state *os.ProcessState
	outputs.Go(func() { state, _ = cmd.Process.Wait() }) // at once: a dead parent must not stay as zombie
	outputs.Go(func() { _, _ = io.Copy(ch, stdout) })
	outputs.Go(func() { _, _ = io.Copy(ch.Stderr(), stderr) })
	outputs.Wait()
	code := state.ExitCode()
	for _, p := range c.release(cmd) {
		p.Close()
	}
	if code > 128 && code < 128+64 {
		name := map[int]string{9: "KILL", 15: "TERM", 13: "PIPE"}[code-128]
		_, _ = ch.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Name      string
			Core      bool
			Msg, Lang string
		}{Name: name}))
	} else {
		_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ C uint32 }{uint32(code)}))
	}
	_ = ch.Close()
}
