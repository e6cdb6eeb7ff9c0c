package gluster

import (
	"fmt"

	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// parting prints why the controllers that are not in the file must not go; nothing where
// they may. One copy of three may go at any time, as what was written is in two of them.
// Of two that go, what the third has missed would be lost; and with one copy GlusterFS
// makes no other, as that is a write, too.
//
// It brings along who stays: a host's own settings are those of before.
const parting = `stays=' %s '
for info in ` + stateDir + `/vols/*/info; do
	test -s "$info" || continue
	go=0
	for b in $(sed -n 's/^brick-[0-9]*=\([^:]*\):.*/\1/p' "$info"); do
		case $stays in *" $b "*) ;; *) go=$((go + 1)) ;; esac
	done
	if test "$go" -gt 1; then
		echo "it and others hold $go copies of what is on GlusterFS: of controllers with copies, take one out at a time (updraft up after each)"
		break
	fi
done
`

// leave ends glusterd on a controller that goes. It does not know the new ones, and as
// long as it answers it refuses that they get copies. Its own copies are served on.
const leave = "systemctl stop " + server + " || :\n"

func leaving() stack.Leaving {
	return stack.Leaving{Leave: leave, Object: func(d *stack.Deployment) string {
		if !d.Spec.Storage.Shared() {
			return ""
		}
		return fmt.Sprintf(parting, words(d.Spec.Bricks(), " ", func(h *spec.Host) string { return address(d, h) }))
	}}
}
