package status

import (
	"fmt"
	"strings"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// Ensemble is a cluster that can be asked.
type Ensemble struct {
	Name  string
	Hosts []string
	// Ask is shell text that root runs on each of the hosts. It changes nothing,
	// and takes some ten milliseconds.
	Ask func(host string) string
	// Read makes a member of what Ask printed.
	Read func(printed string) Member
}

// begin precedes the name of each part of what Script prints.
const begin = "@@ "

// hostScript looks at the host itself. A host that is a container with a limit of
// memory sees its own group's figures at the root of the file system of control
// groups, where a whole computer has none.
//
// Source: proc_loadavg(5), proc_meminfo(5); the kernel's "Control Group v2".
const hostScript = `LC_ALL=C; export LC_ALL
echo '@@ host'
echo "now $(date +%s.%N)"
echo "uptime $(ps -o etimes= -p 1)"
echo "load $(cut -d ' ' -f 1 /proc/loadavg)"
echo "cpus $(nproc)"
awk '$1 == "MemTotal:" { t = $2 } $1 == "MemAvailable:" { a = $2 } END { printf "memory %.0f %.0f\n", (t - a) * 1024, t * 1024 }' /proc/meminfo
limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null)
case $limit in
'' | max) ;;
*) awk -v limit="$limit" 'FILENAME ~ /current/ { c = $1 } $1 == "inactive_file" { i = $2 } END { printf "memory %.0f %s\n", c - i, limit }' /sys/fs/cgroup/memory.current /sys/fs/cgroup/memory.stat ;;
esac
echo '@@ disks'
df -P -k / /var /var/lib /var/lib/updraft 2>/dev/null | awk 'NR > 1 && !seen[$6]++ { print $3, $3 + $4, $6 }'
echo '@@ addresses'
ip -o addr show | awk '{ print $4 }'
echo '@@ failed'
timeout 3 systemctl list-units --failed --plain --no-legend --no-pager | awk '{ print $1 }'
echo '@@ containers'
set --
for f in /etc/containers/systemd/*.container; do
	test -e "$f" || continue
	f=${f##*/}
	set -- "$@" "${f%.container}.service"
done
test $# = 0 || timeout 3 systemctl show --no-pager -p Id -p ActiveState -p SubState -p NRestarts "$@"
`

// Script is what is run as root on a host. It prints what [Parse] reads.
func Script(host string, ensembles []Ensemble) string {
	var b strings.Builder
	b.WriteString(hostScript)
	for _, e := range ensembles {
		for _, h := range e.Hosts {
			if h == host {
				fmt.Fprintf(&b, "echo %s\ntimeout 3 sh -c %s 2>&1\n", transport.Quote(begin+"cluster "+e.Name), transport.Quote(e.Ask(host)))
			}
		}
	}
	return b.String() + "echo '" + begin + "end'\n"
}
