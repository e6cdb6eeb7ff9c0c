package agent

import (
	"context"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// keepalived decides which of a pair holds the VIPs.
type keepalived struct {
	dir     string
	process *process
	text    string
}

func newKeepalived(dir, program string, log *slog.Logger, ended func()) *keepalived {
	at := func(name string) string { return filepath.Join(dir, name) }
	return &keepalived{dir: dir, process: &process{name: "keepalived", dir: dir, log: log, ended: ended, command: func() *exec.Cmd {
		return exec.Command(program, "--dont-fork", "--vrrp", "--log-console", "-f", at("keepalived.conf"), "-p", at("keepalived.pid"), "-r", at("vrrp.pid"))
	}}}
}

// apply makes it be as the text says, "" being not at all.
func (k *keepalived) apply(ctx context.Context, text string) error {
	running := k.process.running()
	switch {
	case text == "" && !running:
		return nil
	case text == "":
		k.text = ""
		return k.process.stop(ctx)
	case running && text == k.text:
		return nil
	}
	if err := replace(filepath.Join(k.dir, "keepalived.conf"), []byte(strings.ReplaceAll(text, amphora.DirMark, k.dir))); err != nil {
		return err
	}
	k.text = text
	if running {
		return k.process.signal(unix.SIGHUP)
	}
	return k.process.start()
}

// tell has it know whether HAProxy serves: at fault the VIPs go to the other.
func (k *keepalived) tell(fault bool) error {
	return replace(filepath.Join(k.dir, "fault"), []byte(map[bool]string{true: "1\n", false: "0\n"}[fault]))
}
