package lab_test

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// haproxy starts a real HAProxy on loopback in front of one server per weight,
// and returns its address. HAProxy inherits the listening socket, so nobody can
// take the port in between.
func haproxy(t *testing.T, balance string, weights ...int) string {
	t.Helper()
	var conf strings.Builder
	fmt.Fprintf(&conf, "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n timeout server 5s\n"+
		"frontend front\n bind fd@3\n default_backend web\nbackend web\n balance %s\n", balance)
	for i, w := range weights {
		name := fmt.Sprintf("web%d", i+1)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, name) }))
		t.Cleanup(srv.Close)
		fmt.Fprintf(&conf, " server %s %s weight %d\n", name, srv.Listener.Addr(), w)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	if err := os.WriteFile(path, []byte(conf.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f, err := l.File()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var log bytes.Buffer
	cmd := exec.Command("haproxy", "-db", "-f", path)
	cmd.ExtraFiles = []*os.File{f}
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait() // ends with the signal
		if t.Failed() {
			t.Logf("haproxy: %s", log.String())
		}
	})
	return l.Addr().String()
}

// checkOf makes a check ready to run from the body of a cloud file.
func checkOf(t *testing.T, kind, body string) verify.Check {
	t.Helper()
	for _, k := range verify.Kinds() {
		if k.Name != kind {
			continue
		}
		c := k.New()
		var faults diag.List
		spec.Raw{JSON: []byte(body)}.Decode(c, kind, &faults)
		if err := faults.Err(); err != nil {
			t.Fatal(err)
		}
		if err := c.Validate(); err != nil {
			t.Fatal(err)
		}
		if err := c.Resolve(func(string, string) []verify.Endpoint { return nil }); err != nil {
			t.Fatal(err)
		}
		return c
	}
	t.Fatalf("no kind %q", kind)
	return nil
}

func TestSpreadOfARealHAProxy(t *testing.T) {
	requireTools(t, "haproxy")
	tests := []struct {
		name, balance string
		weights       []int
		declared      string
		status        verify.Status
	}{
		{"fair round-robin passes", "roundrobin", []int{1, 1, 1}, ``, verify.Passed},
		{"8:1:1 fails against equal shares", "roundrobin", []int{8, 1, 1}, ``, verify.Failed},
		{"8:1:1 by chance fails against equal shares", "random(1)", []int{8, 1, 1}, ``, verify.Failed},
		{"8:1:1 passes as declared", "roundrobin", []int{8, 1, 1}, `,"weights":{"web1":8}`, verify.Passed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			addr := haproxy(t, tt.balance, tt.weights...)
			c := checkOf(t, "spread", `{"url":"http://`+addr+`/","members":["web1","web2","web3"]`+tt.declared+`}`)
			up := checkOf(t, "http", `{"url":"http://`+addr+`/","within":"10s"}`)
			var r verify.Runner
			job := func(c verify.Check) []verify.Job {
				return []verify.Job{{Name: c.Kind(), Check: c, Vantage: &verify.Local{}, Timeout: time.Minute}}
			}
			if rep := r.Run(t.Context(), "lab", job(up)); !rep.OK() {
				t.Fatalf("HAProxy does not come up: %s", rep.Results[0].Reason)
			}
			res := r.Run(t.Context(), "lab", job(c)).Results[0]
			t.Logf("%s: %s", res.Status, res.Reason)
			d, ok := res.Detail.(verify.SpreadDetail)
			if res.Status != tt.status || !ok || !d.Tested || (d.P < d.Alpha) != (tt.status == verify.Failed) {
				t.Errorf("%s with p = %g", res.Status, d.P)
			}
		})
	}
}
