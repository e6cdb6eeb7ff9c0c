package container_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
)

func newHost(t *testing.T) *fakehost.Host {
	t.Helper()
	h := fakehost.New()
	t.Cleanup(func() {
		for _, err := range h.Refused() {
			t.Errorf("refused: %v", err)
		}
	})
	return h
}

func apply(t *testing.T, h resource.Host, r *container.Resource, triggers ...string) error {
	t.Helper()
	rep, err := r.Observe(t.Context(), h)
	if err != nil {
		t.Fatal(err)
	}
	return r.Apply(t.Context(), h, rep, resource.Cause{Triggered: triggers})
}

// probes are the ways to ask, each of something that answers at first.
func probes(t *testing.T) (all map[string]*container.Ready, stop func()) {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/busy" {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	stop = func() { s.Close(); _ = l.Close() }
	t.Cleanup(stop)
	return map[string]*container.Ready{
		"tcp": {TCP: s.Listener.Addr().String()}, "http": {HTTP: s.URL + "/"}, "status": {HTTP: s.URL + "/busy", Status: []int{503}}, "unix": {Unix: socket},
	}, stop
}

func TestProbesTellWhetherItAnswers(t *testing.T) {
	all, stop := probes(t)
	h := newHost(t)
	var list []resource.Resource
	for name, ready := range all {
		r := &container.Resource{Name: name, Image: "localhost/x:1", Ready: ready}
		if err := apply(t, h, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		list = append(list, r)
	}
	check := func(want ...string) {
		t.Helper()
		h.Forget()
		if err := list[0].(resource.Preparer).Prepare(t.Context(), h, list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			rep, err := r.Observe(t.Context(), h)
			var got []string
			for _, c := range rep.Changes {
				got = append(got, c.Attr)
			}
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s differs in %q, want %q, %v", r.Key(), got, want, err)
			}
		}
	}
	check()
	stop()
	check("ready")
}

func TestHTTPSIsAskedByCurl(t *testing.T) {
	h := newHost(t)
	status := "200"
	h.Handle("curl", func(_ context.Context, _ *fakehost.Host, c resource.Command) (resource.Output, error) {
		if line := fakehost.CommandLine(c); !strings.HasSuffix(line, "--cacert /ca.pem -- https://x:1/") {
			return resource.Output{}, fakehost.Refuse(c, "%s", line)
		}
		return fakehost.Print("%s", status)
	})
	r := &container.Resource{Name: "x", Image: "localhost/x:1", Ready: &container.Ready{HTTP: "https://x:1/", CAFile: "/ca.pem"}}
	if err := apply(t, h, r); err != nil {
		t.Fatal(err)
	}
	status = "502"
	h.Forget()
	if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Has("ready") {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestAllContainersAreObservedByOneProcess(t *testing.T) {
	h := newHost(t)
	var all []resource.Resource
	for i := range 20 {
		r := &container.Resource{Name: fmt.Sprint("c", i), Image: "localhost/x:1", Ready: &container.Ready{Exec: []string{"true"}}}
		if err := apply(t, h, r); err != nil {
			t.Fatal(err)
		}
		all = append(all, r)
	}
	before := len(h.Ran())
	if err := all[0].(resource.Preparer).Prepare(t.Context(), h, all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Agrees() {
			t.Errorf("%+v, %v", rep, err)
		}
	}
	if ran := h.Ran()[before:]; len(ran) != 1 {
		t.Errorf("ran %q", ran)
	}
}

func TestTriggers(t *testing.T) {
	for _, c := range []struct{ reason, trigger, want string }{
		{"a file it reloads for", "file:/etc/x/x.conf", "reload-or-restart"},
		{"a file it restarts for", "file:/etc/y", "restart"},
		{"anything else", "command:image x", "restart"},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				r := &container.Resource{
					Name: "x", Image: "localhost/x:1", RestartOn: []string{"/etc/y"}, ReloadOn: []string{"/etc/x"}, Reload: []string{"kill", "-HUP"},
				}
				if err := apply(t, h, r); err != nil {
					t.Fatal(err)
				}
				before := len(h.Ran())
				if err := apply(t, h, r, c.trigger); err != nil {
					t.Fatal(err)
				}
				if ran := h.Ran()[before:]; !slices.Contains(ran, "systemctl "+c.want+" x.service") {
					t.Errorf("ran %q", ran)
				}
			})
		})
	}
}

func TestFailuresAreTold(t *testing.T) {
	taken := "/usr/lib/systemd/system/ssh.service"
	for _, c := range []struct {
		reason string
		r      container.Resource
		want   string
	}{
		{"the generator's words", container.Resource{Name: "x", Image: "a.image"}, `quadlet refuses the file of container x: converting "x.container": requested Quadlet image a.image was not found`},
		{"a name of the host's", container.Resource{Name: "ssh", Image: "a"}, "the host has a unit of that name in " + taken},
		{"it does not start", container.Resource{Name: "x", Image: "a", Exec: []string{"false"}}, "container x does not start: "},
		{"it ends right away", container.Resource{Name: "x", Image: "a", Exec: []string{"dies"}}, "bad configuration in line 3"},
		{"it is never ready", container.Resource{Name: "x", Image: "a", Ready: &container.Ready{Exec: []string{"false"}, Timeout: "2s"}}, "container x is not ready: not within 2s: "},
	} {
		t.Run(c.reason, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHost(t)
				if err := apply(t, h, &c.r); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("error is %v\nwant %s", err, c.want)
				}
			})
		})
	}
}

func TestAFaultyFileNeverTakesThePlaceOfAWorkingOne(t *testing.T) {
	h := newHost(t)
	r := container.Resource{Name: "x", Image: "localhost/x:1", Ready: &container.Ready{Exec: []string{"true"}}}
	if err := apply(t, h, &r); err != nil {
		t.Fatal(err)
	}
	before := h.String()
	faulty := r
	faulty.Image = "x.image"
	if err := apply(t, h, &faulty); err == nil {
		t.Fatal("no error")
	}
	if h.String() != before {
		t.Error("the host was changed")
	}
}

func TestAContainerThatRunsByAnOlderFileIsRestarted(t *testing.T) {
	h := newHost(t)
	r := &container.Resource{Name: "x", Image: "localhost/x:1", Ready: &container.Ready{Exec: []string{"true"}}}
	if err := apply(t, h, r); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) {
		t.Helper()
		if _, err := h.Run(t.Context(), resource.Command{Name: "systemctl", Args: args}); err != nil {
			t.Fatal(err)
		}
	}
	data, err := h.ReadFile("/etc/containers/systemd/x.container")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.WriteFile("/etc/containers/systemd/x.container", data, resource.Access{Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	run("restart", "x.service") // by hand: its process is newer than the file, which nobody has read
	if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Has("loaded") {
		t.Fatalf("%+v, %v", rep, err)
	}
	before := len(h.Ran())
	if err := apply(t, h, r); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"systemctl daemon-reload", "systemctl restart x.service"} {
		if ran := h.Ran()[before:]; !slices.Contains(ran, want) {
			t.Errorf("ran %q", ran)
		}
	}
}

func TestAStartThatWasCutOffIsSeenToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHost(t)
		r := &container.Resource{Name: "x", Image: "localhost/x:1", Ready: &container.Ready{Exec: []string{"test", "-e", "/tmp/up"}, Timeout: "30s"}}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("killed"))
		defer cancel()
		if err := r.Apply(ctx, h, drift.Missing(), resource.Cause{}); err == nil || err.Error() != "killed" {
			t.Errorf("error is %v", err)
		}
		if err := h.WriteFile("/tmp/up", nil, resource.Access{Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Has("ready") {
			t.Errorf("%+v, %v", rep, err)
		}
		if err := apply(t, h, r); err != nil {
			t.Fatal(err)
		}
		if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Agrees() {
			t.Errorf("%+v, %v", rep, err)
		}
	})
}

func TestFaultsOfFields(t *testing.T) {
	for _, c := range []struct {
		reason, field string
		r             container.Resource
	}{
		{"a name is a word", "name", container.Resource{Name: "a b"}},
		{"an image is a reference", "image", container.Resource{Image: "a b"}},
		{"a user is a user", "user", container.Resource{User: "a b"}},
		{"an empty word would end the command", "exec", container.Resource{Exec: []string{"x", "", "y"}}},
		{"a semicolon would end the command", "exec", container.Resource{Exec: []string{"x", ";"}}},
		{"cgroups are known", "cgroups", container.Resource{Cgroups: "enabled"}},
		{"host processes need a group", "pid_host", container.Resource{PIDHost: true}},
		{"one init is enough", "init", container.Resource{PIDHost: true, Init: true, Cgroups: "split"}},
		{"a variable has a name", "env", container.Resource{Env: map[string]string{"A B": ""}}},
		{"a volume is a path", "volumes", container.Resource{Volumes: []container.Volume{{Source: "a", Target: "/a"}}}},
		{"a volume has no specifiers", "volumes", container.Resource{Volumes: []container.Volume{{Source: "/a%n", Target: "/a"}}}},
		{"options are words", "volumes", container.Resource{Volumes: []container.Volume{{Source: "/a", Target: "/a", Options: "ro --x"}}}},
		{"another container has a name", "after", container.Resource{After: []string{"a.b c"}}},
		{"something says how to reload", "reload_on", container.Resource{ReloadOn: []string{"/a"}}},
		{"a signal is a signal", "reload", container.Resource{Reload: []string{"kill", "-9; rm"}}},
		{"a time is a time", "stop_timeout", container.Resource{StopTimeout: "10"}},
		{"a time is above zero", "start_timeout", container.Resource{StartTimeout: "-1s"}},
		{"there is one probe", "ready", container.Resource{Ready: &container.Ready{TCP: "a:1", Unix: "/a"}}},
		{"an address has a port", "ready.tcp", container.Resource{Ready: &container.Ready{TCP: "a"}}},
		{"a URL is one of HTTP", "ready.http", container.Resource{Ready: &container.Ready{HTTP: "ftp://a/"}}},
		{"authorities are for https", "ready.ca_file", container.Resource{Ready: &container.Ready{HTTP: "http://a/", CAFile: "/a"}}},
		{"a socket is a path", "ready.unix", container.Resource{Ready: &container.Ready{Unix: "a"}}},
	} {
		t.Run(c.reason, func(t *testing.T) {
			if c.r.Name == "" {
				c.r.Name = "x"
			}
			if c.r.Image == "" {
				c.r.Image = "localhost/x:1"
			}
			var f *resource.FieldError
			if err := c.r.Validate(); !errors.As(err, &f) || f.Field != c.field {
				t.Errorf("faults are %v", err)
			}
		})
	}
}
