package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// proxiedCloud has no package cache: its host gets packages through the proxy, or not
// at all, as there is no other way out.
const proxiedCloud = `version: 1
cloud: e2eproxy
provider: lab
proxy: {http: "http://10.89.70.1:8888"}
networks:
  mgmt: {cidr: 10.89.70.0/24}
groups:
  web:
    count: 1
    nics: [mgmt]
    configsets:
      basebox: {packages: [ed]}
      containerhost: {}
`

// TestAHostWhoseOnlyWayOutIsAProxy makes a host that gets podman and a package
// through a real proxy.
func TestAHostWhoseOnlyWayOutIsAProxy(t *testing.T) {
	needLab(t)
	program, err := exec.LookPath("tinyproxy")
	if err != nil {
		if strings.Contains(os.Getenv("REQUIRE"), "lab") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	c := newCloud(t, "e2eproxy", proxiedCloud)
	log := startProxy(t, program, c.name, "10.89.70.1:8888")
	c.run("up")
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"/ed_", "/podman_"} {
		if !strings.Contains(string(text), name) {
			t.Errorf("the proxy was not asked for a package %s", name)
		}
	}
	// podman asks the proxy for what is outside, and nobody for what is inside.
	outside, _ := c.try("exec", "web1", "--", "podman", "pull", "--retry=0", "registry.invalid/x")
	inside, _ := c.try("exec", "web1", "--", "podman", "pull", "--retry=0", "10.89.70.9:5000/x")
	if text, err = os.ReadFile(log); err != nil || !strings.Contains(string(text), "registry.invalid:443") {
		t.Errorf("podman does not ask the proxy: %v\n%s", err, outside.all())
	}
	if strings.Contains(string(text), "10.89.70.9") {
		t.Errorf("podman asks the proxy for an address of the cloud:\n%s", inside.all())
	}
	c.expectNoChanges()
}

// startProxy runs a proxy on this computer, and lets the cloud's hosts reach it at an
// address of the deployer's as soon as there is one. It returns the proxy's log.
func startProxy(t *testing.T, program, cloud, at string) string {
	t.Helper()
	dir := t.TempDir()
	free, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := free.Addr().(*net.TCPAddr).Port
	_ = free.Close() // the proxy takes it
	conf, log := filepath.Join(dir, "conf"), filepath.Join(dir, "log")
	text := fmt.Sprintf("Port %d\nListen 127.0.0.1\nAllow 127.0.0.1\nTimeout 60\nMaxClients 50\nLogFile %q\nLogLevel Connect\n", port, log)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	proxy := exec.CommandContext(ctx, program, "-d", "-c", conf)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	var done sync.WaitGroup
	done.Go(func() { relay(ctx, cloud, at, fmt.Sprintf("127.0.0.1:%d", port)) })
	t.Cleanup(func() {
		stop()
		_ = proxy.Wait() // killed
		done.Wait()
	})
	return log
}

// relay passes connections to an address in the cloud's name space on to one here.
func relay(ctx context.Context, cloud, from, to string) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if ns, err := netns.Open("ud-" + cloud); err == nil {
			if l, err := ns.Listen(ctx, "tcp", from); err == nil {
				stop := context.AfterFunc(ctx, func() { _ = l.Close() })
				serveRelay(ctx, l, to)
				stop()
			}
			_ = ns.Close()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func serveRelay(ctx context.Context, l net.Listener, to string) {
	for {
		in, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer in.Close()
			out, err := (&net.Dialer{}).DialContext(ctx, "tcp", to)
			if err != nil {
				return
			}
			defer out.Close()
			go func() {
				_, _ = io.Copy(out, in) // it ends with the connection
				_ = out.(*net.TCPConn).CloseWrite()
			}()
			_, _ = io.Copy(in, out)
		}()
	}
}
