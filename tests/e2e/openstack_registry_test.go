package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestOpenStackFromARegistry raises the example with images from a registry of its
// own, which goes away in the middle of the first pull, and then turns the same
// cloud into one that shares a store: both are to be the same cloud. It lives on with
// volumes, with more computes and with fewer.
func TestOpenStackFromARegistry(t *testing.T) {
	shared := zoned(t, openstackCloud(t, "e2ereg"))
	pulling := strings.Replace(shared, "\nopenstack:\n", "\nopenstack:\n  images: registry\n", 1)
	c := newCloud(t, "e2ereg", pulling)
	t.Run("a registry that goes away during a pull is the first cause", func(t *testing.T) {
		said := c.with(t).applyWithoutRegistry()
		if !strings.Contains(said, "First cause") || !strings.Contains(said, "command:image") || !strings.Contains(said, "connection refused") {
			t.Errorf("the summary does not say that an image could not be pulled:\n%s", said)
		}
	})
	out := c.run("up")
	t.Logf("the up after it took %s\n%s", out.took, out.stdout)
	if !strings.Contains(out.stdout, "3 passed") {
		t.Fatalf("not every check passed:\n%s", out.all())
	}
	c.expectSettled()
	t.Run("hosts run what was built", func(t *testing.T) { builtImages(t, c.with(t)) })
	t.Run("after a power cut nothing is pushed or pulled", func(t *testing.T) {
		c := c.with(t)
		c.run("lab", "cut")
		if out := c.run("apply"); strings.Contains(out.all(), "container-image:") || strings.Contains(out.all(), "command:image") {
			t.Errorf("an image was moved:\n%s", out.all())
		}
		c.expectSettled()
	})
	before := c.containers()
	t.Run("the first controller builds an image that the registry lacks", func(t *testing.T) { builtOnController(t, c.with(t)) })
	c.write(shared)
	out = c.run("apply")
	t.Logf("the change to a shared store took %s", out.took)
	c.expectSettled()
	if diff := cmp.Diff(before, c.containers()); diff != "" {
		t.Errorf("the clouds differ, -registry +shared:\n%s", diff)
	}
	t.Run("nothing is left of the registry", func(t *testing.T) {
		left, err := c.labExec("controller1", "sh", "-c",
			"ls -d /var/lib/updraft/registry /usr/local/lib/updraft/updraft-registry /etc/updraft/registry /etc/containers/certs.d/* /etc/systemd/system/updraft-registry.service 2>/dev/null; true")
		if err != nil || left != "" {
			t.Errorf("%q, %v", left, err)
		}
	})
	t.Run("Cinder comes and goes", func(t *testing.T) { cinder(t, c.with(t)) })
	t.Run("day 2", func(t *testing.T) { day2(t, c.with(t)) })
}

// applyWithoutRegistry runs apply, stops the registry once a compute has pulled a
// part of an image, and returns what apply said in the end.
func (c *cloud) applyWithoutRegistry() string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := c.command(ctx, "apply")
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			c.t.Fatalf("apply ended before anything was pulled: %v\n%s", err, &said)
		case <-tick.C:
		}
		// podman keeps what it has pulled of a layer there until it is whole.
		if part, err := c.labExec("compute1", "find", "/var/tmp", "-size", "+4M"); err == nil && part != "" {
			break
		}
	}
	if _, err := c.labExec("controller1", "systemctl", "stop", "updraft-registry.service"); err != nil {
		c.t.Error(err)
	}
	if err := <-ended; err == nil {
		c.t.Errorf("apply got over a registry that is gone:\n%s", &said)
	}
	return said.String()
}

// builtImages compares the images that containers run from with those that were
// built here, which is what hosts see in a shared store.
func builtImages(t *testing.T, c *cloud) {
	var built []struct{ Ref, ID string }
	if err := json.Unmarshal([]byte(c.run("image", "list", "--json").stdout), &built); err != nil {
		t.Fatal(err)
	}
	ours := map[string]string{}
	for _, i := range built {
		ours[strings.TrimPrefix(i.Ref, "localhost/")] = i.ID
	}
	for _, host := range []string{"controller1", "compute1"} {
		out, err := c.labExec(host, "podman", "image", "ls", "--no-trunc", "--format", "{{.Repository}}:{{.Tag}} {{.ID}}")
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out) {
			ref, id, _ := strings.Cut(strings.TrimSpace(line), " ")
			name := strings.TrimPrefix(ref, "10.89.0.11:5001/")
			if want := ours[name]; want == "" || strings.TrimPrefix(id, "sha256:") != want {
				t.Errorf("%s has %s, which is %s, and %q was built", host, ref, id, want)
			}
		}
		if out == "" {
			t.Errorf("%s has no images", host)
		}
	}
}

// builtOnController has the first controller build the smaller image.
func builtOnController(t *testing.T, c *cloud) {
	pulling, err := os.ReadFile(c.file)
	if err != nil {
		t.Fatal(err)
	}
	c.write(strings.Replace(string(pulling), "  images: registry\n", "  images: registry\n  build: controller\n", 1))
	if _, err := c.labExec("controller1", "rm", "-r", "/var/lib/updraft/registry/tags/updraft/infra"); err != nil {
		t.Fatal(err)
	}
	plan, _ := c.try("plan")
	if plan.code != 2 || !strings.Contains(plan.stdout, "~ command:build image infra") || strings.Contains(plan.stdout, "~ command:build image openstack") {
		t.Fatalf("status %d:\n%s", plan.code, plan.all())
	}
	out := c.run("apply")
	t.Logf("building and pulling took %s", out.took)
	c.expectSettled()
	ids, err := c.labExec("controller1", "podman", "image", "ls", "--format", "{{.ID}}", "10.89.0.11:5001/updraft/infra")
	if err != nil || strings.TrimSpace(ids) == "" {
		t.Errorf("the controller has no image: %q, %v", ids, err)
	}
}

// containers returns, for each host, the units of its containers and the images
// that they run from, with references as in a shared store.
func (c *cloud) containers() map[string]string {
	c.t.Helper()
	out := map[string]string{}
	for _, host := range []string{"controller1", "compute1"} {
		text, err := c.labExec(host, "sh", "-euc", `cd /etc/containers/systemd
for f in *.container; do echo "== $f"; cat "$f"; done
podman ps --no-trunc --format '{{.Names}} {{.ImageID}}' | sort`)
		if err != nil || !strings.Contains(text, "\nImage=") {
			c.t.Fatalf("containers of %s: %v\n%s", host, err, text)
		}
		text = strings.ReplaceAll(text, "10.89.0.11:5001/updraft/", "localhost/updraft/")
		out[host] = regexp.MustCompile(`(?m)^Pull=.*$`).ReplaceAllString(text, "Pull=as the reference needs")
	}
	return out
}
