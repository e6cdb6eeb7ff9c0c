package onhost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/container"
	"github.com/updraft-cloud/updraft/internal/resource/hostos"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest"
	"github.com/updraft-cloud/updraft/internal/resource/resourcetest/cases"
)

// withPodman returns the host if it is one for containers: tests/lab says so.
func withPodman(t *testing.T) *hostos.Host {
	t.Helper()
	h := throwaway(t)
	if os.Getenv("UPDRAFT_PODMAN") != "1" {
		return nil
	}
	return h
}

// importImage makes the image of the cases: busybox and nothing else.
const importImage = `set -e
d=$(mktemp -d)
mkdir -p $d/bin $d/etc $d/tmp $d/conf
cp /bin/busybox $d/bin/
for a in sh sleep test cat true false kill printf httpd mkdir touch; do ln -s busybox $d/bin/$a; done
echo root:x:0:0::/:/bin/sh >$d/etc/passwd
tar -C $d -c . | podman import --change 'ENV PATH=/bin' - ` + cases.TestImage + `
rm -r $d`

// TestContainers runs the cases of the kind against podman and systemd.
func TestContainers(t *testing.T) {
	h := withPodman(t)
	if h == nil {
		return
	}
	run(t, "sh", "-c", importImage)
	for _, c := range cases.For("container") {
		t.Run(c.Name, func(t *testing.T) {
			resourcetest.OnHostWith(t, h.WithLog(func(line string) { t.Log(line) }), c, withoutMounts)
		})
	}
	for _, f := range []string{"/etc/containers/systemd/updraft-box.container", "/etc/updraft-test.conf", "/etc/updraft-test.d"} {
		run(t, "rm", "-rf", f) // what the cases were given
	}
	run(t, "systemctl", "daemon-reload")
	checkNoneIsLeft(t)
}

// withoutMounts is the snapshot without the mounts of running containers, whose
// names are others after each start. It tells which run in their place.
func withoutMounts() string {
	lines := slices.DeleteFunc(strings.Split(snapshot(), "\n"), func(l string) bool { return strings.Contains(l, " /var/lib/containers/storage/") })
	out, _ := exec.CommandContext(context.Background(), "podman", "ps", "--all", "--format", "{{.Names}} {{.State}} {{.Command}}").Output() // missing is as good as none
	return strings.Join(lines, "\n") + string(out)
}

// checkNoneIsLeft holds that containers leave nothing with podman, systemd and in /run.
func checkNoneIsLeft(t *testing.T) {
	t.Helper()
	if out := run(t, "podman", "ps", "--all", "--quiet"); out != "" {
		t.Errorf("containers are left: %s", out)
	}
	if out := run(t, "systemctl", "list-units", "--all", "--plain", "--no-legend", "updraft-box*"); out != "" {
		t.Errorf("units are left: %s", out)
	}
	if _, err := os.Stat("/run/updraft"); err == nil {
		t.Errorf("/run/updraft is left: %s", run(t, "find", "/run/updraft"))
	}
}

// TestWordsReachAContainerAsTheyAre sends what systemd and Quadlet would like to
// expand, split or drop through both.
func TestWordsReachAContainerAsTheyAre(t *testing.T) {
	h := withPodman(t)
	if h == nil {
		return
	}
	words := []string{
		"a b", `"quoted"`, "it's", `back\slash`, `\n`, "100%", "%n %%", "$HOME ${HOME} $$", "new\nline", "tab\there", "ü€", "-x", "#no comment", "a;b", "~", "*", `\x41`,
		"trailing\\", "=", "[Service]",
	}
	script := `for a; do printf '<%s>' "$a"; done >/conf/args; printf '%s' "$V" >/conf/env; touch /conf/done; exec sleep 1000000`
	if err := os.MkdirAll("/srv/words", 0o755); err != nil {
		t.Fatal(err)
	}
	value := strings.Join(words, "|")
	r := &container.Resource{
		Name: "words", Image: cases.TestImage, Exec: append([]string{"sh", "-c", script, "sh"}, words...), Env: map[string]string{"V": value},
		Volumes: []container.Volume{{Source: "/srv/words", Target: "/conf"}}, StopTimeout: "1s", Ready: &container.Ready{Exec: []string{"test", "-e", "/conf/done"}},
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := apply(r)(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	want := "<" + strings.Join(words, "><") + ">"
	for file, want := range map[string]string{"args": want, "env": value} {
		if got, err := os.ReadFile("/srv/words/" + file); err != nil || string(got) != want {
			t.Errorf("%s (-want +got):\n%s %v", file, cmp.Diff(want, string(got)), err)
		}
	}
	if err := r.Remove(t.Context(), h, true); err != nil {
		t.Error(err)
	}
}

// TestFailuresOfContainersAreTold holds errors to name the cause, and quickly.
func TestFailuresOfContainersAreTold(t *testing.T) {
	h := withPodman(t)
	if h == nil {
		return
	}
	for _, c := range []struct {
		rule string
		r    container.Resource
		want []string
	}{
		{"the generator's words", container.Resource{Image: "localhost/x.image"}, []string{"quadlet refuses the file of container box", "requested Quadlet image localhost/x.image was not found"}},
		{"no image", container.Resource{Image: "localhost/none:1"}, []string{"container box does not start: image localhost/none:1 is in no store of this host"}},
		{"no program", container.Resource{Exec: []string{"nothing"}}, []string{"nothing", "container box does not start: "}},
		{"ends at once", container.Resource{Exec: []string{"sh", "-c", "echo no such database >&2; exit 3"}}, []string{"does not start: no such database: "}},
		{
			"ends again and again", container.Resource{Exec: []string{"sh", "-c", "sleep 0.4; echo bad token >&2; exit 3"}, Ready: &container.Ready{TCP: "127.0.0.1:9"}},
			[]string{"container box is not ready: bad token: it has ended 3 times", "journalctl -u box.service"},
		},
		{
			"never ready", container.Resource{Exec: []string{"sh", "-c", "echo I wait; sleep 1000000"}, Ready: &container.Ready{TCP: "127.0.0.1:9", Timeout: "1s"}},
			[]string{"is not ready: I wait: not within 1s", "connection refused"},
		},
	} {
		t.Run(c.rule, func(t *testing.T) {
			c.r.Name, c.r.StopTimeout = "box", "1s"
			if c.r.Image == "" {
				c.r.Image = cases.TestImage
			}
			began := time.Now()
			err := apply(&c.r)(t.Context(), h)
			t.Logf("after %s: %v", time.Since(began).Round(time.Millisecond), err)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error lacks %q", want)
				}
			}
			if time.Since(began) > 20*time.Second {
				t.Errorf("it took %s", time.Since(began))
			}
			if err := c.r.Remove(t.Context(), h, true); err != nil {
				t.Error(err)
			}
		})
	}
	checkNoneIsLeft(t)
}

// daemon is the container of what happens to a host from outside: it serves
// HTTP some time after it has started.
func daemon() *container.Resource {
	return &container.Resource{
		Name: "daemon", Image: cases.TestImage, Exec: []string{"sh", "-c", "sleep 2; exec httpd -f -p 127.0.0.1:8099 -h /etc"}, StopTimeout: "1s",
		RestartOn: []string{"/etc/hostname"}, Ready: &container.Ready{HTTP: "http://127.0.0.1:8099/passwd", Status: []int{200}},
	}
}

// TestADaemonStarts begins what TestADaemonIsBack goes on with after a reboot.
func TestADaemonStarts(t *testing.T) {
	h := withPodman(t)
	if h == nil {
		return
	}
	r := daemon()
	if err := apply(r)(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	pid := pidOf(t)
	if err := resourcetest.Steps(resourcetest.RunCommand("touch", "/etc/hostname"))(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if rep := observe(t, h, r); !rep.Has("config") {
		t.Errorf("a changed file: %+v", rep)
	}
	if err := apply(r)(t.Context(), h); err != nil || pidOf(t) == pid {
		t.Errorf("it was not restarted, %v", err)
	}
	pid = pidOf(t)
	run(t, "kill", "-9", pid)
	eventually(t, "systemd restarts it", func() bool { return observe(t, h, r).Agrees() && pidOf(t) != pid })
}

// TestADaemonIsBack runs after a reboot, or a power cut: nobody has to start it.
func TestADaemonIsBack(t *testing.T) {
	h := withPodman(t)
	if h == nil {
		return
	}
	eventually(t, "it is back by itself", func() bool { return observe(t, h, daemon()).Agrees() })
}

// TestADaemonIsHealed runs after a power cut in the midst of a start.
func TestADaemonIsHealed(t *testing.T) {
	h := withPodman(t)
	if h == nil {
		return
	}
	r := daemon()
	t.Logf("found %+v", observe(t, h, r))
	if err := apply(r)(t.Context(), h); err != nil {
		t.Fatal(err)
	}
	if rep := observe(t, h, r); !rep.Agrees() {
		t.Errorf("after apply: %+v", rep)
	}
	for range 2 {
		if err := r.Remove(t.Context(), h, true); err != nil {
			t.Fatal(err)
		}
	}
	if rep := observe(t, h, r); rep.Status != drift.Absent {
		t.Errorf("after remove: %+v", rep)
	}
	checkNoneIsLeft(t)
}

// TestTwentyContainersCostLittleToObserve says what a run without changes costs.
func TestTwentyContainersCostLittleToObserve(t *testing.T) {
	h := withPodman(t)
	if h == nil {
		return
	}
	var all []resource.Resource
	for i := range 20 {
		all = append(all, &container.Resource{
			Name: fmt.Sprint("many", i), Image: cases.TestImage, Exec: []string{"sh", "-c", "mkdir /run/x; exec sleep 1000000"}, StopTimeout: "1s",
			Ready: &container.Ready{Exec: []string{"test", "-e", "/run/x"}},
		})
	}
	began := time.Now()
	for _, r := range all {
		if err := apply(r)(t.Context(), h); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("started one after the other in %s", time.Since(began))
	h.Forget()
	began = time.Now()
	if err := all[0].(resource.Preparer).Prepare(t.Context(), h, all); err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if rep, err := r.Observe(t.Context(), h); err != nil || !rep.Agrees() {
			t.Errorf("%+v %v", rep, err)
		}
	}
	if d := time.Since(began); d > 2*time.Second {
		t.Errorf("observed in %s", d)
	} else {
		t.Logf("observed in %s", d)
	}
	began = time.Now()
	run(t, "systemctl", "daemon-reload")
	t.Logf("a reload of systemd with 20 files takes %s", time.Since(began))
	for _, r := range all {
		if err := r.Remove(t.Context(), h, true); err != nil {
			t.Error(err)
		}
	}
}

func pidOf(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile("/run/updraft/daemon.pid")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(time.Minute); !f(); {
		select {
		case <-deadline:
			out, _ := exec.CommandContext(t.Context(), "systemctl", "status", "daemon.service").CombinedOutput()
			t.Fatalf("it never came about that %s\n%s", what, out)
		case <-tick.C:
		}
	}
}
