package ovn

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/status"
)

const follower = `7e3b
Name: OVN_Northbound
Cluster ID: 5bd6 (5bd6cc3a-1f2e-4c46-b5f5-2f4d3c3a8a11)
Server ID: 7e3b (7e3b5a2c-0b6e-4d0e-8a3c-52b8f8a2c9d0)
Address: ssl:10.88.0.3:6643
Status: cluster member
Role: follower
Term: 4
Leader: 1a2b
Vote: 1a2b

Election timer: 1000
Log: [2, 45]
Entries not yet committed: 0
Entries not yet applied: 0
Connections: ->1a2b <-1a2b
Disconnections: 0
Servers:
    7e3b (7e3b at ssl:10.88.0.3:6643) (self)
    1a2b (1a2b at ssl:10.88.0.2:6643) last msg 233 ms ago
    9c0d (9c0d at ssl:10.88.0.4:6643)
`

func TestMemberReadsClusterStatus(t *testing.T) {
	const id = "5bd6 (5bd6cc3a-1f2e-4c46-b5f5-2f4d3c3a8a11)"
	for _, c := range []struct {
		name, from, to string
		want           status.Member
	}{
		{"a follower", "", "", status.Member{State: "follower", Serves: true, Sees: 3, Identity: id, Term: 4}},
		{"the leader", "Role: follower", "Role: leader", status.Member{State: "leader", Serves: true, Leader: true, Sees: 3, Identity: id, Term: 4}},
		{"one that knows no leader", "Leader: 1a2b", "Leader: unknown", status.Member{State: "follower, without a leader", Sees: 3, Identity: id, Term: 4}},
		{"one that joins", "Status: cluster member", "Status: joining cluster", status.Member{State: "joining cluster", Sees: 3, Identity: id, Term: 4}},
		{"one that is down", follower, "", status.Member{State: "does not answer"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			printed := follower
			if c.from != "" {
				printed = strings.Replace(follower, c.from, c.to, 1)
			}
			if diff := cmp.Diff(c.want, member(printed)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}
