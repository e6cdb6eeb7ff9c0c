package agent

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// cliTimeout bounds one command of HAProxy's runtime API.
const cliTimeout = 5 * time.Second

// ask sends one command to a socket of HAProxy and returns the answer. The
// writing side is closed, which ends the session after the answer.
func ask(socket, command string) (string, error) {
	c, err := dialSocket(socket)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(cliTimeout))
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", err
	}
	if err := c.(*net.UnixConn).CloseWrite(); err != nil {
		return "", err
	}
	data, err := io.ReadAll(c)
	return string(data), err
}

// dialSocket connects to a socket, whose directory may have any length: the path
// of a socket has 107 bytes at most (unix(7)).
func dialSocket(socket string) (net.Conn, error) {
	dir, err := os.Open(filepath.Dir(socket))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return net.DialTimeout("unix", fmt.Sprintf("/proc/self/fd/%d/%s", dir.Fd(), filepath.Base(socket)), cliTimeout)
}

func (h *haproxy) socket() string { return filepath.Join(h.dir, "haproxy.sock") }
func (h *haproxy) master() string { return filepath.Join(h.dir, "master.sock") }

// said is what HAProxy answers to a command that it has obeyed.
var said = map[string]bool{"": true, "New server registered.": true, "Server deleted.": true}

// command has HAProxy do something, and reports what it says against it.
func (h *haproxy) command(command string) error {
	answer, err := ask(h.socket(), command)
	if err != nil {
		return fmt.Errorf("cannot %s: %w", command, err)
	}
	if answer = strings.TrimSpace(answer); !said[answer] {
		return fmt.Errorf("cannot %s: %s", command, answer)
	}
	return nil
}

// health tells what a check of the agent's own found.
func (h *haproxy) health(backend, server string, up bool) error {
	state := map[bool]string{true: "up", false: "down"}[up]
	return h.command(fmt.Sprintf("set server %s/%s health %s", backend, server, state))
}

// workers are the processes below the master.
type workers struct {
	current int
	old     []int
	failed  int // reloads that failed
}

// workers asks the master (management manual, "show proc"). Each line has PID,
// type, reloads survived; the current one has survived none.
func (h *haproxy) workers() (workers, error) {
	var w workers
	answer, err := ask(h.master(), "show proc")
	if err != nil {
		return w, err
	}
	old := false
	for line := range strings.Lines(answer) {
		if strings.HasPrefix(line, "# ") {
			old = strings.HasPrefix(line, "# old")
			continue
		}
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		switch {
		case err != nil:
		case fields[1] == "master" && len(fields) > 4:
			w.failed, _ = strconv.Atoi(strings.TrimSuffix(fields[4], "]"))
		case fields[1] == "worker" && (old || fields[2] != "0"):
			w.old = append(w.old, pid)
		case fields[1] == "worker":
			w.current = pid
		}
	}
	return w, nil
}
