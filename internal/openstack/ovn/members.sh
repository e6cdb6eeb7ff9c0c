# Sees to it that the members of a database's cluster are those of the cloud file:
#	check|apply CONTROL SCHEMA PORT LEAF CA MEMBER...
#
# A controller that was made anew joins under another number, and what it was before
# stays a member, at the same address, that is missed for every majority. The one that
# is meant is the one that answers there (PORT is that for clients). Members at other
# addresses belong to controllers that were taken out.
#
# Source: ovsdb(7), "Clustered Database Service Model"; ovsdb-server(1), cluster/kick.
set -eu
mode=$1 control=$2 schema=$3 port=$4 leaf=$5 ca=$6
shift 6
named=" $* "

# members prints a line of number and address for each.
members() {
	ovs-appctl -t "$control" cluster/status "$schema" | sed -n 's/^    \([0-9a-f]*\) (.* at \([^ )]*\)).*/\1 \2/p'
}

# superfluous prints those that are at no address of the cloud file, and all that
# share one.
superfluous() {
	members | awk -v named="$named" '
		{ at[NR] = $2; number[NR] = $1; count[$2]++ }
		END { for (i = 1; i <= NR; i++) if (count[at[i]] > 1 || !index(named, " " at[i] " ")) print number[i], at[i] }'
}

# present prints the number of the member that answers at an address.
present() {
	local host=${1#ssl:}
	timeout 5 ovsdb-client --private-key="$leaf" --certificate="$leaf" --ca-cert="$ca" query "ssl:${host%:*}:$port" \
		'["_Server",{"op":"select","table":"Database","where":[["name","==","'"$schema"'"]],"columns":["sid"]}]' |
		sed -n 's/.*"sid":\["uuid","\([0-9a-f]\{4\}\).*/\1/p'
}

left=$(superfluous)
test "$mode" = apply || { test -z "$left" && members | grep -q .; exit; }
while read -r number at; do
	test -n "$number" || continue
	case $named in
	*" $at "*)
		now=$(present "$at")
		test -n "$now" || { echo "$at does not say which of its members it is" >&2; exit 1; }
		test "$now" != "$number" || continue
		;;
	esac
	echo "$number at $at is no member any more"
	ovs-appctl -t "$control" cluster/kick "$schema" "$number"
done <<<"$left"
for _ in {1..60}; do
	left=$(superfluous)
	test -n "$left" || exit 0
	sleep 0.5
done
echo "still members: $left" >&2
exit 1
