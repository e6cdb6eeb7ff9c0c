package suite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/bench/cloud"
	"github.com/updraft-cloud/updraft/bench/record"
)

// Cases of the example cloud.
const (
	WebUp    = "web-up"    // from nothing, packages fetched, checks made
	WebNoop  = "web-noop"  // nothing to do, checks made
	WebApply = "web-apply" // nothing to do, without checks and hand-off
	AgentRSS = "agent-rss" // largest resident set of a host agent
	AgentBin = "agent-bin" // size of the host agent's program
	Program  = "program"   // size of updraft's program
)

// webHosts is how many hosts the example has.
const webHosts = 5

func webID(c string, run int) record.ID {
	return record.ID{Part: Noop, Case: c, Hosts: webHosts, Run: run}
}

// MeasureNoop measures "updraft up" with nothing to do on examples/web.yaml.
func (s *Suite) MeasureNoop(ctx context.Context) (err error) {
	todo := []record.ID{webID(AgentRSS, 1), webID(AgentBin, 1), webID(Program, 1)}
	for run := range s.NoopRuns {
		todo = append(todo, webID(WebNoop, run+1), webID(WebApply, run+1))
	}
	if !s.missing(todo...) {
		return nil
	}
	c, err := s.webCloud()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.Destroy(ctx)) }()
	run := func(args ...string) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			_, err := c.Run(ctx, args...)
			return 0, err
		}
	}
	if _, err := s.timed(ctx, webID(WebUp, 1), run("up")); err != nil {
		return err
	}
	for i := range s.NoopRuns {
		if _, err := s.timed(ctx, webID(WebNoop, i+1), run("up")); err != nil {
			return err
		}
		if _, err := s.timed(ctx, webID(WebApply, i+1), run("apply")); err != nil {
			return err
		}
	}
	return s.agentSizes(ctx, c)
}

// webCloud is the example under another name and with other networks.
func (s *Suite) webCloud() (*cloud.Cloud, error) {
	data, err := os.ReadFile(filepath.Join(s.Repo, "examples", "web.yaml"))
	if err != nil {
		return nil, err
	}
	file := strings.NewReplacer("cloud: web\n", "cloud: "+clouds[Noop]+"\n", "10.88.0.", "10.89.78.", "10.88.1.", "10.89.79.").Replace(string(data))
	if !strings.Contains(file, "cloud: "+clouds[Noop]+"\n") || strings.Contains(file, "10.88.") {
		return nil, errors.New("examples/web.yaml has another name or other networks than the benchmark knows")
	}
	return cloud.New(s.Bin, filepath.Join(s.Dir, "web"), clouds[Noop], file)
}

// agentSizes watches the host agents during one more run.
func (s *Suite) agentSizes(ctx context.Context, c *cloud.Cloud) error {
	cmd := c.Cmd(ctx, "up")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		return err
	}
	watch, stop := context.WithCancel(ctx)
	seen := make(chan agents, 1)
	go func() { seen <- watchAgents(watch) }()
	err := cmd.Wait()
	stop()
	a := <-seen
	if err != nil {
		return fmt.Errorf("%w\n%s", err, out.String())
	}
	if a.rss == 0 {
		return errors.New("no host agent was seen at work")
	}
	if err := s.keep(webID(AgentRSS, 1), float64(a.rss)/(1<<20), "MiB"); err != nil {
		return err
	}
	if err := s.keep(webID(AgentBin, 1), float64(a.size)/(1<<20), "MiB"); err != nil {
		return err
	}
	info, err := os.Stat(s.Bin)
	if err != nil {
		return err
	}
	return s.keep(webID(Program, 1), float64(info.Size())/(1<<20), "MiB")
}

// agents are the largest values in bytes that were seen of host agents.
type agents struct{ rss, size int64 }

// watchAgents looks at all processes every few milliseconds until ctx ends.
func watchAgents(ctx context.Context) agents {
	var a agents
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		dirs, _ := filepath.Glob("/proc/[0-9]*")
		for _, dir := range dirs {
			a.look(dir)
		}
		select {
		case <-ctx.Done():
			return a
		case <-tick.C:
		}
	}
}

// look takes a process into account if it is a host agent. The peak is the
// kernel's own (VmHWM of proc_pid_status(5)).
func (a *agents) look(dir string) {
	exe, err := os.Readlink(filepath.Join(dir, "exe"))
	if err != nil || !strings.Contains(exe, "updraft-host") {
		return
	}
	if info, err := os.Stat(filepath.Join(dir, "exe")); err == nil {
		a.size = max(a.size, info.Size())
	}
	status, _ := os.ReadFile(filepath.Join(dir, "status"))
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kb, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 10, 64)
			a.rss = max(a.rss, kb<<10)
		}
	}
}
