package cli

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/handoff"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const adminPassword = "HUNTER2HUNTER2HUNTER2"

func access() handoff.OpenStack {
	return handoff.OpenStack{
		AuthURL: "https://10.88.0.10:5000/v3", Region: "RegionOne", Project: "admin", User: "admin", Password: adminPassword,
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})),
	}
}

// controller is a host with programs that say what they are given, in place of
// podman, sudo and the client.
type controller struct {
	t   *testing.T
	dir string
}

func newController(t *testing.T) *controller {
	c := &controller{t, t.TempDir()}
	c.write("unit", 0o644, "[Container]\nImage=localhost/updraft/openstack:1\nExec=x\n")
	c.write("sudo", 0o755, "#!/bin/sh\nshift; exec \"$@\"\n")
	c.write("podman", 0o755, "#!/bin/sh\nprintf '%s\\n' \"$@\" >"+c.dir+"/podman.args\nenv >"+c.dir+"/podman.env\n"+
		`while [ "$1" != localhost/updraft/openstack:1 ]; do shift || exit 99; done; shift; exec "$@"`+"\n")
	c.write("openstack", 0o755, "#!/bin/sh\nprintf 'arg=%s\\n' \"$@\"; sed s/^/clouds:/ "+c.dir+"/clouds.yaml; sed s/^/ca:/ "+c.dir+"/ca.pem; sed s/^/in:/; exit 7\n")
	return c
}

func (c *controller) write(name string, mode os.FileMode, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.dir, name), []byte(text), mode); err != nil {
		c.t.Fatal(err)
	}
}

func (c *controller) read(name string) string {
	c.t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// run runs a shell line there.
func (c *controller) run(line string, stdin io.Reader) (status int, out, errs string) {
	line = strings.NewReplacer("/etc/containers/systemd/$from.container", c.dir+"/unit", "/etc/openstack", c.dir).Replace(line)
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = []string{"PATH=" + c.dir + ":" + os.Getenv("PATH")}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		c.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

func TestClientGetsArgumentsConfigurationAndStdin(t *testing.T) {
	c := newController(t)
	args := []string{"server", "create", "--property", "a=it's $HOME; \"x\"", "-f", "json"}
	line, stdin, err := clientLine(access(), "web", "keystone", args, strings.NewReader("from\nstdin\n"))
	if err != nil {
		t.Fatal(err)
	}
	status, out, errs := c.run(line, stdin)
	if status != 7 || errs != "" {
		t.Errorf("status %d: %s", status, errs)
	}
	for _, a := range args {
		if !strings.Contains(out, "arg="+a+"\n") {
			t.Errorf("the argument %q is missing", a)
		}
	}
	for _, want := range []string{`clouds:      password: "` + adminPassword + `"`, "ca:-----BEGIN CERTIFICATE-----", "ca:-----END CERTIFICATE-----", "in:from\nin:stdin\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
	if strings.Contains(out, "in:#") || strings.Contains(out, "ca:clouds") {
		t.Error("the streams run into each other")
	}
}

func TestClientKeepsThePasswordInMemory(t *testing.T) {
	c := newController(t)
	line, stdin, err := clientLine(access(), "web", "keystone", []string{"token", "issue"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.run(line, stdin)
	args := c.read("podman.args")
	if strings.Contains(line+args+c.read("podman.env"), adminPassword) {
		t.Error("the password is in the arguments or the environment")
	}
	for _, want := range []string{"--rm\n", "--log-driver=none\n", "--tmpfs=", "--pull=never\n"} {
		if !strings.Contains(args, want) {
			t.Errorf("podman was not told %s", want)
		}
	}
	if info, err := os.Stat(filepath.Join(c.dir, "clouds.yaml")); err != nil || info.Mode() != 0o600 {
		t.Errorf("clouds.yaml: %v %v", info.Mode(), err)
	}
}

func TestClientSaysWhenThereIsNoKeystone(t *testing.T) {
	c := newController(t)
	line, stdin, err := clientLine(access(), "web", "keystone", []string{"server", "list"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(c.dir, "unit")); err != nil {
		t.Fatal(err)
	}
	if status, _, errs := c.run(line, stdin); status != 1 || !strings.Contains(errs, "updraft up puts it there") {
		t.Errorf("%d: %s", status, errs)
	}
}

func TestEndpointsAreThoseOfTheCatalogueAndOfPeople(t *testing.T) {
	d := &stack.Deployment{Spec: &spec.OpenStack{VIP: spec.VIP{Address: netip.MustParseAddr("10.88.0.10")}}}
	got := endpoints(d, []stack.Service{
		{Name: "nova", Endpoints: []stack.Endpoint{
			{Service: "nova", Type: "compute", Port: 8774, Path: "/v2.1"}, {Port: stack.MetadataPort}, {Port: stack.ConsolePort},
		}},
		{Name: "horizon", Endpoints: []stack.Endpoint{{Port: stack.DashboardPort, Path: "/"}}},
	})
	want := []handoff.Endpoint{
		{Service: "nova", Type: "compute", URL: "https://10.88.0.10:8774/v2.1"},
		{Service: "console", URL: "https://10.88.0.10:6080"},
		{Service: "horizon", URL: "https://10.88.0.10:443/"},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got %+v, want %+v", got[i], want[i])
		}
	}
}

func TestTargetsThatCanBeOpened(t *testing.T) {
	s := &session{cloud: &spec.Cloud{
		Name: "web", Domain: "web.internal",
		Hosts: []*spec.Host{{Name: "ctl1", NICs: []spec.NIC{{Network: "mgmt", Address: netip.MustParsePrefix("10.88.0.11/24")}}}, {Name: "old", Address: "192.0.2.7"}},
		VIPs:  []spec.VIP{{Name: "api", Network: "mgmt", Address: netip.MustParseAddr("10.88.0.10")}},
	}}
	for _, c := range []struct{ text, addr, local string }{
		{"https://10.88.0.10/", "10.88.0.10:443", "https://127.0.0.1:1/"},
		{"http://ctl1/a?b=c%3Fd#e", "10.88.0.11:80", "http://127.0.0.1:1/a?b=c%3Fd#e"},
		{"https://api.web.internal:6080/vnc_lite.html?path=%3Ftoken%3Dx", "10.88.0.10:6080", "https://127.0.0.1:1/vnc_lite.html?path=%3Ftoken%3Dx"},
		{"tcp://old:3306", "192.0.2.7:3306", "127.0.0.1:1"},
		{"https://[fd00::10]/", "[fd00::10]:443", "https://127.0.0.1:1/"},
		{"https://elsewhere.example.org", "elsewhere.example.org:443", "https://127.0.0.1:1"},
	} {
		u, err := parseTarget(c.text)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := s.address(u.Host); got != c.addr {
			t.Errorf("%s dials %s, want %s", c.text, got, c.addr)
		}
		if got := localURL(u, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1}); got != c.local {
			t.Errorf("%s is shown as %s, want %s", c.text, got, c.local)
		}
	}
	for _, text := range []string{"", "horizn", "10.88.0.10:443", "ftp://a/", "tcp://a", "https://a:0/", "https://a:99999/", "file:///etc/passwd"} {
		if u, err := parseTarget(text); err == nil {
			t.Errorf("%q was taken for %v", text, u)
		}
	}
}

// labyrinth is a provider whose networks are reached in a way of its own.
type labyrinth struct {
	machine.Provider
	to string
}

func (l labyrinth) DialContext(ctx context.Context, cloud, network, addr string) (net.Conn, error) {
	if cloud != "web" || addr != "10.88.0.10:443" {
		return nil, errors.New("dialled " + addr)
	}
	return (&net.Dialer{}).DialContext(ctx, network, l.to)
}

func (labyrinth) Listen(context.Context, string, string, string) (net.Listener, error) {
	return nil, errors.New("not used")
}

func TestOpenPrintsTheURLCarriesAndEnds(t *testing.T) {
	far := listen(t)
	go shout(far)
	out, in := io.Pipe()
	s := &session{
		a: &app{out: in, err: io.Discard}, cloud: &spec.Cloud{Name: "web"}, provider: labyrinth{to: far.Addr().String()},
	}
	target, err := url.Parse("https://10.88.0.10:443/")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	l := listen(t)
	go func() { done <- s.openForward(ctx, target, l) }()
	buf := make([]byte, 100)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	go io.Copy(io.Discard, out)
	shown, err := url.Parse(strings.TrimSpace(string(buf[:n])))
	if err != nil || shown.Hostname() != "127.0.0.1" {
		t.Fatalf("shown %s: %v", buf[:n], err)
	}
	c, err := net.Dial("tcp", shown.Host)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(c, "hi")
	c.(*net.TCPConn).CloseWrite()
	if got, _ := io.ReadAll(c); string(got) != "HI" {
		t.Errorf("got %q", got)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
