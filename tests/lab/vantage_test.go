package lab_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"testing"

	"github.com/updraft-cloud/updraft/internal/netns"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// TestChecksLookFromInsideANamespace gives a namespace an address that nobody
// else has: only a look from inside finds it.
func TestChecksLookFromInsideANamespace(t *testing.T) {
	requireTools(t, "ip")
	name := fmt.Sprintf("vt%d", os.Getpid())
	ip := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	ip("netns", "add", name)
	t.Cleanup(func() { exec.Command("ip", "netns", "delete", name).Run() })
	ip("-n", name, "link", "set", "lo", "up")
	ip("-n", name, "address", "add", "10.89.77.1/32", "dev", "lo")
	ip("-n", name, "address", "add", "fd00:89:77::1/128", "dev", "lo")
	ns, err := netns.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	inside := &verify.Local{
		DialContext: ns.DialContext,
		ListenICMP: func(ctx context.Context, v6 bool) (conn net.PacketConn, err error) {
			err = ns.Do(func() error {
				conn, err = verify.ListenICMP(ctx, v6)
				return err
			})
			return conn, err
		},
	}
	tests := []struct {
		name, kind, body string
		status           verify.Status
	}{
		{"ping", "icmp", `{"target":"10.89.77.1","interval":"1ms"}`, verify.Passed},
		{"ping over IPv6", "icmp", `{"target":"fd00:89:77::1","interval":"1ms"}`, verify.Passed},
		{"an address that nobody has", "icmp", `{"target":"10.89.77.2","count":1,"wait":"100ms"}`, verify.Failed},
		{"a port that nobody listens on", "tcp", `{"target":"10.89.77.1","port":80,"expect":"closed"}`, verify.Passed},
		{"and is not open", "tcp", `{"target":"10.89.77.1","port":80}`, verify.Failed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rep := (&verify.Runner{}).Run(t.Context(), "lab", []verify.Job{{Name: tt.name, Check: checkOf(t, tt.kind, tt.body), Vantage: inside}})
			res := rep.Results[0]
			t.Logf("%s: %s", res.Status, res.Reason)
			if res.Status != tt.status {
				t.Errorf("%s, want %s", res.Status, tt.status)
			}
		})
	}
}
