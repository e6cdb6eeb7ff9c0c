# Prepares a controller that has the virtual addresses for losing them:
#	leave ADDRESS...
#	enter
#
# They go together: whoever has the first has all.
#
# Whoever connects while the address moves is not answered, and asks again a second
# later (RFC 6298), by then on another controller; whoever is connected is served
# first. A connection that is cut would be a request that failed.
set -eu
verb=$1
shift

# nft is that of the host, or of the image that all controllers run OVN from.
nft() {
	if test -x /usr/sbin/nft; then
		/usr/sbin/nft "$@"
	else
		nsenter --target "$(cat /run/updraft/ovn-nb.pid)" --mount -- nft "$@"
	fi
}
if test "$verb" = enter; then
	nft delete table inet updraft-leave 2>/dev/null || true
	exit 0
fi
test -n "$(ip -oneline address show to "$1")" || exit 0
rules=
for address; do
	case $address in *:*) family=ip6 ;; *) family=ip ;; esac
	rules="$rules$family daddr $address tcp flags & (syn | ack) == syn drop
"
done
nft -f - <<RULES
table inet updraft-leave
delete table inet updraft-leave
table inet updraft-leave {
	chain input {
		type filter hook input priority -300;
		$rules
	}
}
RULES
exec /usr/bin/bash /etc/updraft/haproxy/drain.sh clients
