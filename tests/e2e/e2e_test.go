// Package e2e raises whole clouds with the built program, as a user would, and
// proves what the README promises. It needs root and the packages of make deps.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// program is the updraft under test, built by make.
func program(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../bin/updraft")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal("there is no bin/updraft: run make build")
	}
	return path
}

// needLab skips without root, or fails where the lab tier is required.
func needLab(t *testing.T) {
	t.Helper()
	if os.Geteuid() == 0 {
		if _, err := exec.LookPath("systemd-nspawn"); err == nil {
			return
		}
	}
	if strings.Contains(os.Getenv("REQUIRE"), "lab") {
		t.Fatal("the lab tier is required, and there is no root or no systemd-nspawn")
	}
	t.Skip("needs root and systemd-nspawn")
}

// cloud is a cloud under test, with a state directory of its own.
type cloud struct {
	t     *testing.T
	name  string
	file  string
	state string
}

// newCloud writes the file's text and destroys what it made when the test ends,
// unless KEEP is set and the test failed.
func newCloud(t *testing.T, name, text string) *cloud {
	t.Helper()
	needLab(t)
	dir := keptDir(t)
	c := &cloud{t: t, name: name, file: filepath.Join(dir, "cloud.yaml"), state: filepath.Join(dir, "state")}
	c.write(text)
	before := snapshot(t, name)
	t.Cleanup(func() {
		if t.Failed() && os.Getenv("KEEP") != "" {
			t.Logf("kept: %s --state %s -f %s", program(t), c.state, c.file)
			return
		}
		if out, err := c.try("destroy", "--yes"); err != nil {
			t.Errorf("destroy: %v\n%s", err, out.all())
		}
		c.expectTraceless(before)
	})
	return c
}

// keptDir is a temporary directory that stays as long as the cloud it describes: that
// of a run before, whose cloud was kept, if AGAIN names it.
func keptDir(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv("AGAIN"); dir != "" {
		return dir
	}
	dir, err := os.MkdirTemp("", "updraft-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !t.Failed() || os.Getenv("KEEP") == "" {
			_ = os.RemoveAll(dir) // a temporary directory
		}
	})
	return dir
}

// with returns the cloud for a subtest, so that its failures are the subtest's.
func (c *cloud) with(t *testing.T) *cloud {
	sub := *c
	sub.t = t
	return &sub
}

func (c *cloud) write(text string) {
	c.t.Helper()
	if err := os.WriteFile(c.file, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// output is what a run printed.
type output struct {
	stdout, stderr string
	code           int
	took           time.Duration
}

func (o output) all() string { return o.stdout + o.stderr }

func (c *cloud) command(ctx context.Context, args ...string) *exec.Cmd {
	c.t.Helper()
	return exec.CommandContext(ctx, program(c.t), append([]string{"-f", c.file, "--state", c.state}, args...)...)
}

// try runs updraft; the error is about running it, or its status.
func (c *cloud) try(args ...string) (output, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	cmd := c.command(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	out := output{stdout: stdout.String(), stderr: stderr.String(), took: time.Since(start)}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		out.code = exit.ExitCode()
	}
	return out, err
}

// run is try that must succeed.
func (c *cloud) run(args ...string) output {
	c.t.Helper()
	out, err := c.try(args...)
	if err != nil {
		c.t.Fatalf("updraft %s: %v\n%s", strings.Join(args, " "), err, out.all())
	}
	return out
}

// fails is try that must end with the status and say the text.
func (c *cloud) fails(code int, text string, args ...string) output {
	c.t.Helper()
	out, _ := c.try(args...)
	if out.code != code || !strings.Contains(out.all(), text) {
		c.t.Fatalf("updraft %s ended with %d, want %d and %q\n%s", strings.Join(args, " "), out.code, code, text, out.all())
	}
	return out
}

// expectNoChanges asks that a further up has nothing to do.
func (c *cloud) expectNoChanges() {
	c.t.Helper()
	if out := c.run("up"); !strings.Contains(out.stderr, "No changes") {
		c.t.Errorf("a further up was to change nothing:\n%s", out.all())
	}
	c.run("plan")
}

// line is what the tests look at in the lines of --json.
type line struct {
	Event struct {
		Type string `json:"type"`
	} `json:"event"`
}

// killAfter runs "apply", perhaps of a saved plan, and kills it (SIGKILL) once n
// steps have started. It reports whether the run ended by itself before.
func (c *cloud) killAfter(n int, plan ...string) (ended bool) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := c.command(ctx, append([]string{"apply", "--json"}, plan...)...)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	sc := bufio.NewScanner(stdout)
	sc.Buffer(nil, 1<<20)
	started := 0
	for sc.Scan() {
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			c.t.Errorf("not a line of JSON: %q: %v", sc.Text(), err)
		}
		if l.Event.Type != "start" {
			continue
		}
		if started++; started == n {
			_ = cmd.Process.Kill()
			break
		}
	}
	_ = cmd.Wait() // killed, or at its end
	if started < n && said.Len() > 0 {
		c.t.Logf("it ended by itself: %s", &said)
	}
	return started < n
}

// snapshot lists what a lab of this name could leave on the computer.
func snapshot(t *testing.T, name string) map[string]string {
	t.Helper()
	grep := func(text string) string {
		var b strings.Builder
		for line := range strings.Lines(text) {
			if strings.Contains(line, name) && !strings.Contains(line, "e2e.test") {
				b.WriteString(line)
			}
		}
		return b.String()
	}
	sh := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return string(out)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	cgroups, _ := exec.Command("find", "/sys/fs/cgroup", "-type", "d").Output() // races with other hosts' cgroups
	return map[string]string{
		"namespaces": grep(sh("ip", "netns", "list")),
		"links":      sh("ip", "-o", "link"),
		"mounts":     grep(string(mounts)),
		"processes":  grep(sh("ps", "-eo", "pid,args")),
		"cgroups":    grep(string(cgroups)),
		"data":       grep(strings.Join(append(listDir("/var/lib/updraft/lab"), listDir("/run/updraft/lab")...), "\n")),
	}
}

func (c *cloud) expectTraceless(before map[string]string) {
	c.t.Helper()
	after := snapshot(c.t, c.name)
	for what, was := range before {
		if after[what] != was {
			c.t.Errorf("destroy left %s behind:\n%s", what, after[what])
		}
	}
	if _, err := os.Stat(filepath.Join(c.state, "clouds", c.name)); err == nil {
		c.t.Errorf("destroy left the state behind: %v", fmt.Sprint(listDir(filepath.Join(c.state, "clouds", c.name))))
	}
}

func listDir(dir string) []string {
	entries, _ := os.ReadDir(dir) // for a message only
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
