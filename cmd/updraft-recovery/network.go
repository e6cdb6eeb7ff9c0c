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
const networkTimeout = 10 * time.Second

// mute drops what the bridge of virtual networks sends to the bridges of networks
// outside. ovn-controller, which makes the flows of the former, may not know that another
// compute has the addresses of routers and servers now, and would go on to say that they
// are here. It has no say in the latter's, and the host's own addresses on these bridges
// are not touched.
//
// Source: ovs-ofctl(8), "add-flow"; ovs-fields(7), "in_port".
const mute = `set -eu
for bridge in $(ovs-vsctl --no-wait --timeout=5 list-br); do
	if test "$bridge" = br-int; then continue; fi
	for port in $(ovs-vsctl --no-wait --timeout=5 list-ports "$bridge"); do
		test "$(ovs-vsctl --no-wait --timeout=5 --if-exists get Interface "$port" type)" = patch || continue
		ovs-ofctl --timeout=5 add-flow "$bridge" "cookie=` + cookie + `,priority=65535,in_port=$port,actions=drop"
	done
done`

// unmute takes the flows of mute away.
const unmute = `set -eu
for bridge in $(ovs-vsctl --no-wait --timeout=5 list-br); do
	if test "$bridge" = br-int; then continue; fi
	ovs-ofctl --timeout=5 del-flows "$bridge" "cookie=` + cookie + `/-1"
done`

// muted prints what mute has added and unmute has not taken away.
const muted = `set -eu
for bridge in $(ovs-vsctl --no-wait --timeout=5 list-br); do
	if test "$bridge" = br-int; then continue; fi
	ovs-ofctl --timeout=5 dump-flows "$bridge" "cookie=` + cookie + `/-1" | sed -n "/ actions=/s/^/$bridge: /p"
done`

// cookie marks the flows: "updraft" in ASCII.
const cookie = "0x75706472616674"

// current succeeds when ovn-controller knows what is so now.
//
// Source: ovn-controller(8), "connection-status".
const current = `test "$(ovs-appctl --timeout=5 -t /run/ovn/ovn-controller.ctl connection-status)" = connected`

// speak undoes mute. Until ovn-controller is connected its flows are those of before.
func speak(ctx context.Context) error {
	flows, err := within(ctx, "ovs-vswitchd", muted)
	if errors.Is(err, os.ErrNotExist) || err == nil && flows == "" {
		return nil // a switch that does not run sends nothing, and begins without flows
	}
	if err == nil {
		_, err = within(ctx, "ovn-controller", current)
	}
	if err == nil {
		_, err = within(ctx, "ovs-vswitchd", unmute)
	}
	return err
}

// pidFile is where the process ID of a container's first process is.
func pidFile(container string) string { return filepath.Join("/run/updraft", container+".pid") }

// within runs shell text with the programs of a container, whose sockets are in
// directories of the host, and returns what it prints.
func within(ctx context.Context, container, script string) (string, error) {
	pid, err := os.ReadFile(pidFile(container))
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, networkTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "nsenter", "--target", strings.TrimSpace(string(pid)), "--mount", "--", "sh", "-c", script)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	said := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", container, err, said)
	}
	return said, nil
}
