package agent

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/proc"
)

// process is a program that outlives the agent. The next agent finds it by what
// is noted of it.
type process struct {
	name, dir string
	log       *slog.Logger
	command   func() *exec.Cmd
	// ended is called when it ends without having been told to.
	ended func()

	mu sync.Mutex
	id proc.ID
}

func (p *process) note() string    { return filepath.Join(p.dir, p.name+".process") }
func (p *process) logPath() string { return filepath.Join(p.dir, p.name+".log") }

// adopt takes over what an earlier agent has started, and reports whether there is any.
func (p *process) adopt() bool {
	var id proc.ID
	data, err := os.ReadFile(p.note())
	if err != nil || json.Unmarshal(data, &id) != nil || !id.Alive() {
		return false
	}
	p.mu.Lock()
	p.id = id
	p.mu.Unlock()
	go p.watch(id, func() { _ = id.Wait(context.Background()) })
	return true
}

func (p *process) running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.id.PID != 0 && p.id.Alive()
}

// maxLog is where a log begins anew.
const maxLog = 4 << 20

func (p *process) start() error {
	flags := os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if st, err := os.Stat(p.logPath()); err == nil && st.Size() > maxLog {
		flags |= os.O_TRUNC
	}
	log, err := os.OpenFile(p.logPath(), flags, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := p.command()
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, log, log
	if err := proc.Detach(cmd); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return err
	}
	id, err := proc.Of(cmd.Process.Pid)
	p.id = id
	go p.watch(id, func() { _ = cmd.Wait() })
	if err != nil { // it has ended already, which its watcher tells
		return nil
	}
	data, err := json.Marshal(id)
	return errors.Join(err, replace(p.note(), data))
}

// watch waits for the end. One that was wanted has taken the id away before.
func (p *process) watch(id proc.ID, wait func()) {
	wait()
	p.mu.Lock()
	unexpected := p.id == id
	p.mu.Unlock()
	if unexpected {
		p.log.Error(p.name+" has ended by itself", "said", p.tail())
		p.ended()
	}
}

// stopGrace is how long a program may take to end in order.
const stopGrace = 5 * time.Second

func (p *process) stop(ctx context.Context) error {
	p.mu.Lock()
	id := p.id
	p.id = proc.ID{}
	p.mu.Unlock()
	_ = os.Remove(p.note())
	if id.PID == 0 {
		return nil
	}
	return id.Stop(ctx, stopGrace)
}

func (p *process) signal(s unix.Signal) error {
	p.mu.Lock()
	id := p.id
	p.mu.Unlock()
	return id.Signal(s)
}

// tail is the end of what the program said.
func (p *process) tail() string {
	data, err := os.ReadFile(p.logPath())
	if err != nil {
		return ""
	}
	return string(data[max(0, len(data)-600):])
}
