// Package cloud drives clouds of the benchmark by updraft's command line, as a
// user does.
//
// It guarantees that nothing it made stays behind after [Cloud.Destroy], and
// that a command that fails says what it printed.
package cloud

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/spec"
)

// Cloud is a cloud with a cloud file and a state directory of its own.
type Cloud struct {
	Name string
	Dir  string // of the cloud file and the state
	Bin  string // updraft's program
	// Env is added to the environment of updraft.
	Env []string
}

// New writes the cloud file.
func New(bin, dir, name, file string) (*Cloud, error) {
	c := &Cloud{Name: name, Dir: dir, Bin: bin}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return c, c.Write(file)
}

// Write replaces the cloud file.
func (c *Cloud) Write(file string) error { return os.WriteFile(c.FilePath(), []byte(file), 0o600) }

// FilePath is where the cloud file is.
func (c *Cloud) FilePath() string { return filepath.Join(c.Dir, "cloud.yaml") }

func (c *Cloud) stateDir() string { return filepath.Join(c.Dir, "state") }

// StateDir is where updraft keeps what it knows of the cloud.
func (c *Cloud) StateDir() string { return filepath.Join(c.stateDir(), "clouds", c.Name) }

// Spec reads the cloud file.
func (c *Cloud) Spec() (*spec.Cloud, error) {
	s, diags := spec.Load(c.FilePath(), spec.Options{})
	if diags.HasErrors() {
		return nil, diags
	}
	return s, nil
}

// Cmd returns the command "updraft args" on this cloud.
func (c *Cloud) Cmd(ctx context.Context, args ...string) *exec.Cmd {
	all := append([]string{"--file", c.FilePath(), "--state", c.stateDir()}, args...)
	cmd := exec.CommandContext(ctx, c.Bin, all...)
	cmd.Env = append(os.Environ(), c.Env...)
	// Asked first to stop in order, as by Ctrl-C.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = time.Minute
	return cmd
}

// Run runs updraft and returns what it printed on stdout.
func (c *Cloud) Run(ctx context.Context, args ...string) (string, error) {
	cmd := c.Cmd(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("cannot run updraft %s: %w\n%s%s", strings.Join(args, " "), err, tail(out.String()), tail(errs.String()))
	}
	return out.String(), nil
}

// Enter runs a command on a host without ssh.
func (c *Cloud) Enter(ctx context.Context, host string, in io.Reader, argv ...string) (string, error) {
	cmd := c.Cmd(ctx, append([]string{"lab", "enter", "--cloud", c.Name, host, "--"}, argv...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("cannot run %s on %s: %w\n%s%s", argv[0], host, err, tail(out.String()), tail(errs.String()))
	}
	return out.String(), nil
}

// Script runs a shell script on a host.
func (c *Cloud) Script(ctx context.Context, host, script string) (string, error) {
	return c.Enter(ctx, host, strings.NewReader(script), "sh")
}

// Destroy takes the cloud away with all that was kept for it. It also ends a
// context that has ended, since nothing must stay.
func (c *Cloud) Destroy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Minute)
	defer cancel()
	_, err := c.Run(ctx, "destroy", "--yes")
	if err != nil {
		return err
	}
	return os.RemoveAll(c.Dir)
}

// tail returns the last lines of a text.
func tail(s string) string {
	lines := strings.SplitAfter(s, "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "")
}

// ExitCode returns the exit status in the error of a command, -1 without one.
func ExitCode(err error) int {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return -1
}
