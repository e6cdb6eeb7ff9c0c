package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// service is a running "updraft lb serve".
type service struct {
	cmd   *exec.Cmd
	addr  string
	dir   string
	log   bytes.Buffer
	ended chan error
}

// serve starts the service with what else is given and waits until it answers.
func (b *bench) serve(ctx context.Context, more ...string) (*service, error) {
	dir, err := os.MkdirTemp("", "lbbench")
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &service{addr: l.Addr().String(), dir: dir}
	if err := l.Close(); err != nil {
		return nil, err
	}
	args := append([]string{"lb", "serve", "--listen", s.addr, "--data", dir + "/data", "--auth", "noauth"}, more...)
	s.cmd = exec.CommandContext(ctx, b.bin, args...) //nolint:gosec // it is what is measured
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(os.Interrupt) }
	s.cmd.WaitDelay = time.Minute
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.cmd.Wait() }()
	if err := s.await(ctx); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

func (s *service) await(ctx context.Context) error {
	return until(ctx, time.Minute, "the service", func() (bool, error) {
		resp, err := http.Get("http://" + s.addr + "/") //nolint:noctx // bounded by until
		if err != nil {
			select {
			case ended := <-s.ended:
				s.ended <- ended
				return false, errors.New("the service ended")
			default:
				return false, nil // not yet
			}
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK, nil
	})
}

func (s *service) dial() (net.Conn, error) { return net.Dial("tcp", s.addr) }

// stop ends the service; what it said is in the error when it did not end well.
func (s *service) stop() error {
	defer func() { _ = os.RemoveAll(s.dir) }() // it is below the directory of temporary files
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	if err := <-s.ended; err != nil {
		return fmt.Errorf("the service did not end well: %w\n%s", err, tail(s.log.String()))
	}
	return nil
}

func tail(s string) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

// until asks every few milliseconds.
func until(ctx context.Context, most time.Duration, what string, ok func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		done, err := ok()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not there after %v", what, most)
		case <-tick.C:
		}
	}
}

// cpu is the processor time that the service has spent (proc_pid_stat(5)).
func (s *service) cpu() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0, errors.New("cannot read the processor time of the service")
	}
	user, errU := strconv.Atoi(f[11])
	system, errS := strconv.Atoi(f[12])
	return time.Duration(user+system) * 10 * time.Millisecond, errors.Join(errU, errS)
}

// rss is the memory of the service in MB: what is resident, files included.
func (s *service) rss() (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == "VmRSS:" {
			kb, err := strconv.Atoi(f[1])
			return float64(kb) / 1000, err
		}
	}
	return 0, errors.New("cannot read the memory of the service")
}

// call makes one request and reads the answer into out.
func (s *service) call(ctx context.Context, method, path string, body, out any) error {
	var in bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&in).Encode(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.addr+path, &in)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(resp.Body); err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer.String())
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer.Bytes(), out)
}
