package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// rotations renews all certificates, and then the authority, while users ask the
// APIs all the time. Nothing is restarted for either.
func rotations(t *testing.T, c *cloud) {
	token := strings.TrimSpace(c.client(t)("token", "issue", "-f", "value", "-c", "id"))
	handoff := strings.TrimSpace(c.run("handoff").stdout)
	started := func() string {
		lines := strings.Split(c.run("exec", "all", "--", "podman", "ps", "--format", "{{.Names}} {{.StartedAt}}").stdout, "\n")
		slices.Sort(lines) // hosts answer in any order
		return strings.Join(lines, "\n")
	}
	before, shown := started(), serials(t, c)
	anew := func(when string) {
		t.Helper()
		now := serials(t, c)
		for at, serial := range now {
			if serial == shown[at] {
				t.Errorf("%s: the certificate at %s is the same", when, at)
			}
		}
		shown = now
	}
	p := askAlways(t, c, token, filepath.Join(handoff, "ca.pem"))
	c.run("secrets", "rotate", "certs")
	c.run("apply")
	anew("all certificates renewed")
	c.expectSettled()
	p.report("certificates")

	c.run("secrets", "rotate", "ca")
	for phase := 1; phase <= 3; phase++ {
		number := fmt.Sprintf("phase %d of 3", phase)
		if out, _ := c.try("plan"); out.code != 2 || !strings.Contains(out.stderr, number) {
			t.Errorf("plan ends with %d and does not say %q:\n%s", out.code, number, out.all())
		}
		if out, _ := c.try("status"); !strings.Contains(out.stdout, number) {
			t.Errorf("status does not say %q:\n%s", number, out.stdout)
		}
		if out := c.run("up", "--no-verify"); !strings.Contains(out.stderr, "Done: "+number) {
			t.Errorf("up does not say that %s is done:\n%s", number, out.stderr)
		}
		if phase == 2 {
			anew("certificates of the new authority")
		}
		p.report("authority, " + number)
	}
	p.end()
	if after := started(); after != before {
		t.Errorf("containers were started anew:\n%s\nbefore:\n%s", after, before)
	}
	authorities, err := os.ReadFile(filepath.Join(handoff, "ca.pem"))
	if err != nil || strings.Count(string(authorities), "BEGIN CERTIFICATE") != 1 {
		t.Errorf("the old authority is handed over still: %v\n%s", err, authorities)
	}
	// Those that are connected since before have to come again.
	c.run("exec", "controller1", "--", "podman", "exec", "rabbitmq", "/usr/lib/rabbitmq/bin/rabbitmqctl", "close_all_connections", "a new authority")
	sql := func(queries ...string) string {
		return c.run(append([]string{"exec", "controller1", "--", "sh", "-euc", sqlScript, "sh"}, queries...)...).stdout
	}
	var kill []string
	for _, id := range strings.Fields(sql("SELECT id FROM information_schema.processlist WHERE user NOT IN ('root', 'system user')")) {
		kill = append(kill, "KILL "+id)
	}
	sql(kill...)
	if out := c.run("up"); !strings.Contains(out.stdout, "3 passed") {
		t.Errorf("not every check passed:\n%s", out.all())
	}
	everyPortSpeaksTLS(t, c)
	c.expectSettled()
}

// apis are those that are asked, each with a question that only a service with its
// database can answer.
func apis() []string {
	return []string{
		"https://10.89.0.10:5000/v3/auth/projects", "https://10.89.0.10:8774/v2.1/servers", "https://10.89.0.10:9292/v2/images",
		"https://10.89.0.10:9696/v2.0/networks", "https://10.89.0.10:8778/resource_providers",
	}
}

// prober asks the APIs from outside, each at most ten times a second, over a
// connection of its own each time. It believes what is handed over.
type prober struct {
	t     *testing.T
	ns    *netns.NS
	token string
	roots string
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu          sync.Mutex
	asked, lost int
	errors      []string
}

func askAlways(t *testing.T, c *cloud, token, roots string) *prober {
	t.Helper()
	ns, err := netns.Open("ud-" + c.name)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	p := &prober{t: t, ns: ns, token: token, roots: roots, stop: stop}
	for _, api := range apis() {
		p.done.Go(func() {
			tick := time.NewTicker(100 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					p.count(api, p.ask(ctx, api))
				}
			}
		})
	}
	t.Cleanup(p.end)
	return p
}

func (p *prober) ask(ctx context.Context, api string) error {
	text, err := os.ReadFile(p.roots)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
		DialContext: p.ns.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, api, nil)
	if err != nil {
		return err
	}
	r.Header.Set("X-Auth-Token", p.token)
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s: %w", api, answer.Status, err)
	}
	return nil
}

func (p *prober) count(api string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	if err != nil {
		p.lost++
		p.errors = append(p.errors, fmt.Sprintf("%s %s: %v", time.Now().UTC().Format("15:04:05.0"), api, err))
	}
}

// report says how many requests were lost since the last report, which is to be none.
func (p *prober) report(when string) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.t.Logf("%s: %d of %d requests lost", when, p.lost, p.asked)
	if p.lost > 0 || p.asked == 0 {
		p.t.Errorf("%s: %d of %d requests lost:\n%s", when, p.lost, p.asked, strings.Join(p.errors[:min(len(p.errors), 10)], "\n"))
	}
	p.asked, p.lost, p.errors = 0, 0, nil
}

func (p *prober) end() {
	p.stop()
	p.done.Wait()
	_ = p.ns.Close() // a second time, it is closed already
}

// serials are the serial numbers of what is shown where TLS listens, whoever has
// issued it.
func serials(t *testing.T, c *cloud) map[string]string {
	t.Helper()
	ns, err := netns.Open("ud-" + c.name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	out := map[string]string{}
	for _, at := range []string{"10.89.0.10:5000", "10.89.0.10:3306", "10.89.0.11:5671", "10.89.0.11:6641", "10.89.0.11:6642", "10.89.0.129:16514"} {
		serial, err := serial(t.Context(), ns, at)
		if err != nil {
			t.Errorf("%s: %v", at, err)
		}
		out[at] = serial
	}
	return out
}

func serial(ctx context.Context, ns *netns.NS, at string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	raw, err := ns.DialContext(ctx, "tcp", at)
	if err != nil {
		return "", err
	}
	defer raw.Close()
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	if strings.HasSuffix(at, ":3306") {
		if err := mysqlStartTLS(raw); err != nil {
			return "", err
		}
	}
	number := ""
	conn := tls.Client(raw, &tls.Config{
		InsecureSkipVerify: true, MinVersion: tls.VersionTLS12, //nolint:gosec // it is looked at, and not believed
		VerifyConnection: func(s tls.ConnectionState) error { number = s.PeerCertificates[0].SerialNumber.String(); return nil },
	})
	if err := conn.HandshakeContext(ctx); number == "" {
		return "", fmt.Errorf("no certificate is shown: %w", err)
	}
	return number, nil
}
