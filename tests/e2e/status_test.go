package e2e

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/status"
)

// wellStatus looks at an OpenStack that is as it should be.
func wellStatus(t *testing.T, c *cloud) {
	out := c.run("status", "-o", "json", "--timeout", "1m")
	var r status.Report
	if err := json.Unmarshal([]byte(out.stdout), &r); err != nil {
		t.Fatalf("%v\n%s", err, out.stdout)
	}
	t.Logf("status took %s", out.took)
	for _, cl := range r.Clusters {
		for _, m := range cl.Members {
			if !cl.Quorum || !m.Serves {
				t.Errorf("%s on %s: %+v", cl.Name, m.Host, m)
			}
		}
	}
	if !r.OK || len(r.Hosts) != 2 || len(r.Clusters) != 4 || len(r.Certificates) < 5 || len(r.Services) < 5 {
		t.Errorf("%s", out.stdout)
	}
	if r.Capacity == nil || r.Capacity.Hypervisors != 1 || r.Capacity.VCPUs.Total == 0 {
		t.Errorf("capacity: %+v", r.Capacity)
	}
	if len(r.VIPs) != 1 || !slices.Equal(r.VIPs[0].Holders, []string{"controller1"}) {
		t.Errorf("who has the virtual address: %+v", r.VIPs)
	}
	if text := c.run("status", "--timeout", "1m").stdout; !strings.Contains(text, "all is well") {
		t.Errorf("the text:\n%s", text)
	}
}

// offStatus looks at a cloud of which a host is off.
func offStatus(t *testing.T, c *cloud, host string) {
	t.Helper()
	out := c.fails(1, host+" is off", "status")
	t.Logf("status with %s off took %s", host, out.took)
}

// bundled makes a bundle and returns all that is in it.
func bundled(t *testing.T, c *cloud) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	out := c.run("bundle", "-o", file)
	if out.stdout != file+"\n" || out.stderr != "" {
		t.Errorf("it said:\n%s", out.all())
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	var names []string
	in := tar.NewReader(zip)
	for {
		head, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		_, name, _ := strings.Cut(head.Name, "/")
		names = append(names, name)
		text.WriteString(name + "\n")
		if _, err := io.Copy(&text, in); err != nil {
			t.Fatal(err)
		}
	}
	if names[0] != "summary.txt" {
		t.Errorf("the first file is %s", names[0])
	}
	for _, want := range []string{"hosts/controller1/journal.txt", "hosts/controller1/ovn.txt", "hosts/compute1/openvswitch.txt", "hosts/controller1/files/etc/updraft/nova/nova.conf", "deployer/state.json", "status.json"} {
		if !slices.Contains(names, want) {
			t.Errorf("the bundle has no %s", want)
		}
	}
	for _, want := range []string{"Role: leader", "Bridge br-int", "connection = mysql+pymysql://nova:[withheld]@"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the bundle does not say %q", want)
		}
	}
	t.Logf("the bundle took %s and has %d files, %d bytes of text", out.took, len(names), text.Len())
	return text.String()
}
