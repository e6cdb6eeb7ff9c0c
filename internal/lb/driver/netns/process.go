package netns

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/lb/driver"
	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/proc"
)

// start starts the agent inside. What an earlier call started and could not note
// is ended first.
func (c *Compute) start(r *record, makeBoot func() (driver.Boot, error)) error {
	boot, err := makeBoot()
	if err != nil {
		return err
	}
	ns, err := netns.Open(c.Namespace(r.AmphoraID))
	if err != nil {
		return err
	}
	defer ns.Close()
	if err := kill(context.Background(), ns); err != nil {
		return err
	}
	cmd, err := c.command(*r, boot)
	if err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(c.home(r.AmphoraID), "agent.log"), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := proc.Detach(cmd); err != nil {
		return err
	}
	if err := ns.Do(cmd.Start); err != nil {
		return err
	}
	id, err := proc.Of(cmd.Process.Pid)
	if err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // so that it does not stay as a zombie
	r.Agent = &id
	return c.save(*r)
}

// command writes what the agent reads at its start.
func (c *Compute) command(r record, boot driver.Boot) (*exec.Cmd, error) {
	path := filepath.Join(c.home(r.AmphoraID), "boot.json")
	data, err := json.Marshal(boot)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.Command(c.agent, "--config", path)
	cmd.Dir = c.home(r.AmphoraID)
	return cmd, nil
}

// killDeadline is how long the kernel may take to end killed processes.
const killDeadline = 10 * time.Second

// kill ends all processes of a namespace and waits until they are gone. One that
// is just being born is found by the next round.
func kill(ctx context.Context, ns *netns.NS) error {
	ctx, cancel := context.WithTimeout(ctx, killDeadline)
	defer cancel()
	for {
		ids, err := inside(ns)
		if err != nil || len(ids) == 0 {
			return err
		}
		for _, id := range ids {
			if err := id.Signal(unix.SIGKILL); err != nil && !errors.Is(err, proc.ErrGone) {
				return err
			}
		}
		for _, id := range ids {
			if err := id.Wait(ctx); err != nil {
				return fmt.Errorf("process %d does not end: %w", id.PID, err)
			}
		}
	}
}

// inside finds the processes of a namespace. Dead ones that nobody has waited
// for have no namespace any longer.
func inside(ns *netns.NS) ([]proc.ID, error) {
	var st unix.Stat_t
	if err := unix.Fstat(ns.Fd(), &st); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []proc.ID
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var have unix.Stat_t
		if unix.Stat("/proc/"+e.Name()+"/ns/net", &have) != nil || have.Ino != st.Ino || have.Dev != st.Dev {
			continue
		}
		if id, err := proc.Of(pid); err == nil {
			out = append(out, id)
		}
	}
	return out, nil
}
