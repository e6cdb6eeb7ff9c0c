# Gives NICs to Open vSwitch's bridges, and the host's addresses on these NICs to
# the bridges, or says whether that is done: apply | check
#
# The NIC of the tenants' tunnels is given away with the userspace datapath only,
# which routes by its own bridges alone. The kernel goes on to see what comes in on
# a NIC that is in a bridge of userspace: it is dropped there, after Open vSwitch
# has got its copy. networkd, where it runs, is told to leave these interfaces
# alone; not in /etc, so that a boot without Open vSwitch is as it was before.
#
# Source: Open vSwitch's documentation, "Userspace Tunneling"; nft(8), family
# netdev; systemd.network(5), Unmanaged=.
set -eu
mode=${1:-check}

vs() { nsenter --target "$(cat /run/updraft/ovs-vswitchd.pid)" --mount -- ovs-vsctl --timeout=30 "$@"; }

has() { ip -o address show dev "$1" to "$2" 2>/dev/null | grep -q .; }

# WHEN BRIDGE NIC GATEWAY ADDRESS...
tunnel() {
	if test "$datapath" = netdev; then
		"give_$mode" "$@"
	else
		"take_$mode" "$@"
	fi
}
external() { "give_$mode" "$@"; }

give_check() {
	bridge=$1 nic=$2
	shift 3
	case " $ports " in *" $nic@$bridge "*) ;; *) return 1 ;; esac
	for a; do
		has "$bridge" "${a%/*}" || return 1
		! has "$nic" "${a%/*}" || return 1
	done
	test "$datapath" = system || nft list chain netdev openvswitch "in_$nic" >/dev/null 2>&1
}

give_apply() {
	bridge=$1 nic=$2 gateway=$3
	shift 3
	vs --may-exist add-br "$bridge" -- --may-exist add-port "$bridge" "$nic" -- set Bridge "$bridge" \
		"datapath_type=$datapath" "other_config:hwaddr=\"$(cat "/sys/class/net/$nic/address")\""
	unmanaged "$nic" "$bridge"
	present "$bridge"
	for a; do
		ip address delete "$a" dev "$nic" 2>/dev/null || :
		ip address replace "$a" dev "$bridge"
	done
	ip link set "$nic" up
	ip link set "$bridge" up
	test "$gateway" = none || ip route replace default via "$gateway" dev "$bridge"
	test "$datapath" = system || nft -f - <<-END
		add table netdev openvswitch
		add chain netdev openvswitch in_$nic
		delete chain netdev openvswitch in_$nic
		add chain netdev openvswitch in_$nic { type filter hook ingress device "$nic" priority 0; policy drop; }
	END
}

take_check() {
	nic=$2
	shift 3
	for a; do has "$nic" "${a%/*}" || return 1; done
}

# present waits for a bridge's interface. Of a bridge that the database knows, as after a
# boot, nobody else does: there is nothing to change, and the daemon is still making it.
present() {
	until ip link show dev "$1" >/dev/null 2>&1; do
		test "$SECONDS" -lt 60 || break
		sleep 0.1
	done
}

# A kernel that has the datapath now, and had not before.
take_apply() {
	bridge=$1 nic=$2 gateway=$3
	shift 3
	vs --if-exists del-br "$bridge"
	nft delete chain netdev openvswitch "in_$nic" 2>/dev/null || :
	rm -f "/run/systemd/network/05-updraft-$nic.network"
	ip link set "$nic" up
	for a; do ip address replace "$a" dev "$nic"; done
	test "$gateway" = none || ip route replace default via "$gateway" dev "$nic"
}

unmanaged() {
	file=/run/systemd/network/05-updraft-$1.network
	text=$(printf '[Match]\nName=%s %s\n\n[Link]\nUnmanaged=yes' "$1" "$2")
	test "$(cat "$file" 2>/dev/null)" != "$text" || return 0
	mkdir -p "${file%/*}"
	printf '%s\n' "$text" >"$file"
	if systemctl --quiet is-active systemd-networkd.service; then networkctl reload; fi
}

datapath=$(vs get Open_vSwitch . external_ids:ovn-bridge-datapath-type)
ports=
if test "$mode" = check; then
	for b in $(vs list-br); do
		for p in $(vs list-ports "$b"); do ports="$ports $p@$b"; done
	done
fi

@BRIDGES@
