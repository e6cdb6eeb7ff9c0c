package ovn

import (
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

// leaving has both databases' members leave, or the others put them out. A file of a
// member that left is of no use any more.
//
// Source: ovsdb-server(1), cluster/leave, cluster/kick.
func leaving() stack.Leaving {
	var leave, gone strings.Builder
	for _, db := range databases() {
		status := stack.Inside(db.container(), transport.Quote("ovs-appctl", "-t", db.control(), "cluster/status", db.schema))
		fmt.Fprintf(&leave, "%s\nfor _ in $(seq 40); do\n\t%s | grep -q '^Status: left cluster' && break\n\tsleep 0.5\ndone\nsystemctl stop %s\n",
			stack.Inside(db.container(), transport.Quote("ovs-appctl", "-t", db.control(), "cluster/leave", db.schema)), status, db.container())
		fmt.Fprintf(&gone, "rm -f %[1]s/%[2]s.db %[1]s/%[2]s.db.cluster\n", stack.DataDir(name), db.short)
	}
	return stack.Leaving{Leave: leave.String(), Forget: forget, Clear: gone.String()}
}

// forget puts a member out of both clusters, if it is still in.
func forget(_ *stack.Deployment, _ *spec.Host, address string) string {
	var out strings.Builder
	for _, db := range databases() {
		inside := func(words ...string) string {
			return stack.Inside(db.container(), transport.Quote(append([]string{"ovs-appctl", "-t", db.control()}, words...)...))
		}
		status, kick := inside("cluster/status", db.schema), inside("cluster/kick", db.schema)
		fmt.Fprintf(&out, "in_it() { %s | sed -n 's/^    \\([0-9a-f]*\\) (.* at \\([^ )]*\\)).*/\\1 \\2/p' | awk -v at=%s '$2 == at { print $1 }'; }\n",
			status, stack.OVNRemote(address, db.raft))
		fmt.Fprintf(&out, "%s | grep -q '^Status: cluster member'\nfor _ in $(seq 60); do\n\tleft=$(in_it)\n\ttest -n \"$left\" || break\n"+
			"\tfor number in $left; do %s \"$number\" || :; done\n\tsleep 0.5\ndone\ntest -z \"$left\"\n", status, kick)
	}
	return out.String()
}
