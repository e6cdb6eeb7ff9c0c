package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// networkTimeout is for one look at, or change of, Open vSwitch.
const networkTimeout = 5 * time.Second

// muteScript drops what the bridge of virtual networks sends to the bridges of networks
// outside. ovn-controller, which makes the flows of the former, may not know that another
// compute has the addresses of routers and servers now, and would go on to say that they
// are here. It has no say in the latter's, and the host's own addresses on these bridges
// are not touched. Ports go by their numbers, as OpenFlow cuts names to 15 characters.
//
// Source: ovs-ofctl(8), "add-flow"; ovs-fields(7), "in_port".
const muteScript = outside + `
for bridge in $bridges; do
	ports=$($vs list-ports "$bridge") || bad=1
	for port in $ports; do
		is=$($vs --if-exists get Interface "$port" type ofport) || bad=1
		set -- $is
		test "${1-}" = patch || continue
		ovs-ofctl --timeout=3 add-flow "$bridge" "cookie=` + cookie + `,priority=65535,in_port=$2,actions=drop" || bad=1
	done
done
exit "$bad"`

// unmuteScript takes these flows away.
const unmuteScript = outside + `
for bridge in $bridges; do
	ovs-ofctl --timeout=3 del-flows "$bridge" "cookie=` + cookie + `/-1" || bad=1
done
exit "$bad"`

// outside finds the bridges of networks outside. What fails on one keeps none of the others
// from being tried.
const outside = `set -u
bad=0 vs="ovs-vsctl --no-wait --timeout=3"
all=$($vs list-br) || exit 1
bridges=
for b in $all; do
	test "$b" = br-int || bridges="$bridges $b"
done`

// cookie marks the flows: "updraft" in ASCII.
const cookie = "0x75706472616674"

// current succeeds when ovn-controller knows what is so now.
//
// Source: ovn-controller(8), "connection-status".
const current = `test "$(ovs-appctl --timeout=3 -t /run/ovn/ovn-controller.ctl connection-status)" = connected`

// mute has the compute say nothing to networks outside.
func mute(ctx context.Context) error {
	return within(ctx, "ovs-vswitchd", muteScript)
}

// speak undoes what mute does. Until ovn-controller is connected its flows are
// those of before.
func speak(ctx context.Context) error {
	if _, err := os.Stat(pidFile("ovs-vswitchd")); errors.Is(err, os.ErrNotExist) {
		return nil // a switch that does not run sends nothing, and begins without flows
	}
	if err := within(ctx, "ovn-controller", current); err != nil {
		return err
	}
	return within(ctx, "ovs-vswitchd", unmuteScript)
}

// pidFile is where the process ID of a container's first process is.
func pidFile(container string) string { return filepath.Join("/run/updraft", container+".pid") }

// within runs shell text with the programs of a container, whose sockets are in
// directories of the host.
func within(ctx context.Context, container, script string) error {
	pid, err := os.ReadFile(pidFile(container))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strings.TrimSpace(string(pid)), "--mount", "--", "sh", "-c", script)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", container, err, strings.TrimSpace(string(out)))
	}
	return nil
}
