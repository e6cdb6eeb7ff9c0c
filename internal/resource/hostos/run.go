package hostos

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-cloud/updraft/internal/resource"
)

const (
	outputCap = 1 << 20 // bytes kept of each output
	// searchPath is where commands are looked for: that of a root login,
	// whatever the environment of the agent is.
	searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	// lingerDelay bounds the wait for the outputs to close after the command
	// itself has ended: a daemon it started may have kept them.
	lingerDelay = 2 * time.Second
)

// Run runs a command in its own process group. When ctx ends the whole group is
// killed.
func (h *Host) Run(ctx context.Context, c resource.Command) (resource.Output, error) {
	if h.confined {
		return resource.Output{}, fmt.Errorf("cannot run %s: no commands run below another root directory", c.Name)
	}
	if !c.Reads {
		defer h.Forget()
	}
	if c.Name == "systemctl" && c.Stdin == nil {
		defer h.duringEnablement(c.Args)()
		if out, done := h.systemctl(ctx, c); done {
			return out, nil
		}
	}
	name, err := lookPath(c.Name)
	if err != nil {
		return resource.Output{}, fmt.Errorf("cannot run %s: %w", c.Name, err)
	}
	cmd := exec.CommandContext(ctx, name, c.Args...)
	cmd.Env = append([]string{"PATH=" + searchPath, "LC_ALL=C", "HOME=/root"}, c.Env...)
	cmd.Dir = c.Dir
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	if c.Stdin != nil {
		cmd.Stdin = bytes.NewReader(c.Stdin)
	}
	log := h.log
	if c.Quiet {
		log = func(string) {}
	}
	stdout, stderr := &sink{log: log}, &sink{log: log}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = lingerDelay
	// The parent of PR_SET_PDEATHSIG is a thread, which must last as long.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	stdout.flush()
	stderr.flush()
	out := resource.Output{Stdout: stdout.kept.Bytes(), Stderr: stderr.kept.Bytes()}
	return out, runError(ctx, c, out, err)
}

// runError translates the end of a command.
func runError(ctx context.Context, c resource.Command, out resource.Output, err error) error {
	line := strings.Join(append([]string{c.Name}, c.Args...), " ")
	var exit *exec.ExitError
	switch {
	case err == nil || errors.Is(err, exec.ErrWaitDelay):
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("cannot finish %s: %w", line, context.Cause(ctx))
	case errors.As(err, &exit):
		return &resource.ExitError{Command: line, Code: exit.ExitCode(), Stderr: lastWords(out)}
	default:
		return fmt.Errorf("cannot run %s: %w", line, err)
	}
}

// lastWords returns the last lines that a command wrote, errors first.
func lastWords(out resource.Output) string {
	text := bytes.TrimSpace(out.Stderr)
	if len(text) == 0 {
		text = bytes.TrimSpace(out.Stdout)
	}
	lines := strings.Split(string(text), "\n")
	lines = lines[max(0, len(lines)-4):]
	words := strings.Join(lines, "; ")
	return words[max(0, len(words)-1000):]
}

// lookPath finds a command in the fixed search path.
func lookPath(name string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		full := dir + "/" + name
		if fi, err := os.Stat(full); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return full, nil
		}
	}
	return "", &fs.PathError{Op: "exec", Path: name, Err: fs.ErrNotExist}
}

// sink keeps the first part of an output and logs it line by line.
type sink struct {
	kept bytes.Buffer
	line []byte
	log  func(string)
}

func (s *sink) Write(p []byte) (int, error) {
	s.kept.Write(p[:min(len(p), outputCap-s.kept.Len())])
	s.line = append(s.line, p...)
	for {
		i := bytes.IndexByte(s.line, '\n')
		if i < 0 {
			break
		}
		s.log(strings.TrimRight(string(s.line[:i]), "\r"))
		s.line = s.line[i+1:]
	}
	if len(s.line) > 64<<10 { // a line without an end must not fill the memory
		s.flush()
	}
	return len(p), nil
}

// flush logs a last line without a newline.
func (s *sink) flush() {
	if len(s.line) > 0 {
		s.log(string(s.line))
		s.line = nil
	}
}
