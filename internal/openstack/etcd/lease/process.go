package lease

import (
	"os"
	"os/exec"
	"syscall"
)

// Command starts a program in a process group of its own.
func Command(args []string) (Process, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := process{group: cmd.Process.Pid, ended: make(chan error, 1)}
	go func() { p.ended <- cmd.Wait() }()
	return p, nil
}

type process struct {
	group int
	ended chan error
}

// Signal implements [Process]. A stop is for the program to hand on; what kills is
// for all of the group.
func (p process) Signal(sig syscall.Signal) {
	to := p.group
	if sig == syscall.SIGKILL {
		to = -p.group
	}
	_ = syscall.Kill(to, sig) // it may have ended
}

// Ended implements [Process].
func (p process) Ended() <-chan error { return p.ended }
