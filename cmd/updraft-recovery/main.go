// Command updraft-recovery sees to it that the servers of a compute that has died run
// elsewhere. updraft carries it and puts it there; it is a unit of systemd.
//
//	updraft-recovery watch -ca FILE CONFIG
//	updraft-recovery guard HOST:PORT ...
//
// watch is for controllers and tells Masakari. guard is for computes: it ends all
// servers when less than half of the controllers, given by their addresses, answer.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/masakari/watch"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Stderr, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "updraft-recovery:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, logs io.Writer, args []string) error {
	if len(args) > 0 {
		log := slog.New(slog.NewTextHandler(logs, nil))
		switch args[0] {
		case "watch":
			return watching(ctx, log, args[1:])
		case "guard":
			return guard(ctx, log, args[1:])
		}
	}
	return errors.New("say watch or guard")
}

// apiTimeout bounds one request.
const apiTimeout = 20 * time.Second

func watching(ctx context.Context, log *slog.Logger, args []string) error {
	f := flag.NewFlagSet("watch", flag.ContinueOnError)
	ca := f.String("ca", "", "authorities of the APIs, as PEM")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() != 1 || *ca == "" {
		return errors.New("watch needs the authorities and the file that says how the cloud is reached")
	}
	data, err := os.ReadFile(f.Arg(0))
	if err != nil {
		return err
	}
	var c watch.Config
	if err := json.Unmarshal(data, &c); err != nil {
		return fmt.Errorf("cannot read %s: %w", f.Arg(0), err)
	}
	pem, err := os.ReadFile(*ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("%s holds no certificate", *ca)
	}
	client := &http.Client{
		Timeout:   apiTimeout,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
	w := watch.Watcher{Cloud: &watch.API{Config: c, HTTP: client}, Addresses: c.Computes, Alive: watch.Answers, Log: log}
	w.Run(ctx)
	return nil
}

func guard(ctx context.Context, log *slog.Logger, controllers []string) error {
	if len(controllers) == 0 {
		return errors.New("guard needs the addresses of the controllers")
	}
	_, err := os.Stat(ended)
	watch.Guard{
		Controllers: controllers, Alive: watch.Answers, Log: log,
		Hush: hush, Kill: func() error { return killAll(servers) },
		Mute: mute, Speak: speak, Rejoin: rejoin,
		Ended: err == nil, Remember: func(yes bool) error { return remember(ended, yes) },
	}.Run(ctx)
	return nil
}

// ended is there while what a guard has done is not undone. A boot undoes it.
const ended = "/run/updraft/servers-ended"

func remember(file string, yes bool) error {
	if !yes {
		return os.Remove(file)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, nil, 0o644)
}

// servers are the control groups of servers' scopes, as package libvirt's hook names
// them.
const servers = "/sys/fs/cgroup/machine.slice/updraft-server-*.scope"

// killAll kills all that is in the control groups, at once and whatever it does.
//
// Source: Linux's Documentation/admin-guide/cgroup-v2.rst, "cgroup.kill".
func killAll(groups string) error {
	found, err := filepath.Glob(filepath.Join(groups, "cgroup.kill"))
	for _, at := range found {
		if e := os.WriteFile(at, []byte("1"), 0); !errors.Is(e, os.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}

// What tells of servers that end: nova-compute Nova, which then stops them by its own
// record, and Masakari's monitor Masakari, which stops and starts them wherever they run
// by the time that it hears of it.
const compute, monitor = "nova-compute.service", "masakari-instance-monitor.service"

// hush ends both, at once and not in order, as they would tell as soon as they can.
func hush(ctx context.Context) error {
	err := systemctl(ctx, "--no-block", "stop", compute, monitor)
	_ = systemctl(ctx, "kill", "--signal=KILL", compute, monitor) // fails where nothing runs
	return err
}

// rejoin has nova-compute look at its servers: at its start, and only then, it
// cleans up what of those that are elsewhere now is left, and starts those that are not
// and should run. That it starts is waited for by systemd alone: a guard that waits does
// not look.
func rejoin(ctx context.Context) error {
	return errors.Join(systemctl(ctx, "--no-block", "restart", compute), systemctl(ctx, "--no-block", "start", monitor))
}

// systemctl asks systemd for something.
func systemctl(ctx context.Context, args ...string) error {
	ctx, cancel := context.WithTimeout(ctx, watch.Hush/2)
	defer cancel()
	out, err := exec.CommandContext(ctx, "systemctl", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}
