package rabbitmq

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/openstack/stack/stacktest"
	"github.com/updraft-cloud/updraft/internal/status"
)

// table is what the kernel says on a controller at 10.88.0.2: AMQP is open, there
// are connections with both other members, one from either side, and one of its
// own tools'.
const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0200580A:1627 00000000:0000 0A 00000000:00000000 00:00000000 00000000  100        0 1 1 0 100 0 0 10 0
   1: 0200580A:6448 0300580A:A1B2 01 00000000:00000000 00:00000000 00000000  100        0 2 1 0 20 4 30 10 -1
   2: 0200580A:9C40 0400580A:6448 01 00000000:00000000 00:00000000 00000000  100        0 3 1 0 20 4 30 10 -1
   3: 0200580A:6448 0200580A:B3C4 01 00000000:00000000 00:00000000 00000000  100        0 4 1 0 20 4 30 10 -1
   4: 0200580A:1627 0500580A:B3C4 01 00000000:00000000 00:00000000 00000000  100        0 5 1 0 20 4 30 10 -1
   5: 0200580A:6448 0500580A:B3C4 06 00000000:00000000 00:00000000 00000000  100        0 6 1 0 20 4 30 10 -1
`

func TestMembersAreSeenInTheKernelsTable(t *testing.T) {
	d := stacktest.Deployment(t, stacktest.Large, Service())
	e := clusters(d)[0]
	var pairs []string
	for i, h := range d.Spec.Controllers {
		pairs = append(pairs, fmt.Sprintf("0%d00580A", i+2), tableAddress(d.Address(h)))
	}
	addresses := strings.NewReplacer(pairs...)
	ask := strings.Replace(e.Ask("controller1"), "/proc/net/tcp", "-", 1)
	for _, c := range []struct {
		name, table string
		want        status.Member
	}{
		{"one that is open and with both others", table, status.Member{State: "runs", Serves: true, Sees: 3}},
		{"one in a minority is closed", strings.Replace(table, "0A 0", "01 0", 1), status.Member{State: "closed to clients", Sees: 3}},
		{"one that is down", "", status.Member{State: "closed to clients", Sees: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", ask)
			cmd.Stdin = strings.NewReader(addresses.Replace(c.table))
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, e.Read(strings.TrimSpace(string(out)))); diff != "" {
				t.Errorf("(-want +got):\n%s\nfrom:\n%s", diff, out)
			}
		})
	}
}
