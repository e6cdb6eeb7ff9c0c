# Before glusterd starts, ADDRESS COPIES: has it forget what it cannot start with, which the others then
# teach it anew. Where there are no others, nothing is touched.
#
#   - a volume of which it has a directory and no more, as the power went while it
#     learned of it
#   - a volume with a copy on a server that is not in its pool, as it missed that the
#     copy moved and that server left ("Failed to resolve brick")
#
# The latter is kept under forgotten. A server whose own copy is at another address than
# ADDRESS is not touched: it is its address that changed, as may be that of all others.
set -eu
address=$1 copies=$2
state=/var/lib/glusterd

# alone succeeds when it knows no other server.
alone() { test -z "$(ls -A $state/peers 2>/dev/null)"; }

# foreign VOLUME: the volume has a copy on a server that is neither this one nor in its pool.
foreign() {
	if ! grep -qs "^brick-[0-9]*=$address:" "$1/info"; then
		for copy in "$copies/${1##*/}"/*/.glusterfs; do
			test ! -d "$copy" || return 1
		done
	fi
	for host in $(sed -n 's/^brick-[0-9]*=\([^:]*\):.*/\1/p' "$1/info"); do
		test "$host" = "$address" || grep -qsx "hostname[0-9]*=$host" $state/peers/* || return 0
	done
	return 1
}

if alone; then exit; fi
for volume in $state/vols/*/; do
	volume=${volume%/}
	test -d "$volume" || continue
	if ! test -s "$volume/info"; then
		rm -rf "$volume"
	elif foreign "$volume"; then
		echo "volume ${volume##*/} has a copy on a server that is not in the pool: it is learned anew"
		mkdir -p $state/forgotten
		rm -rf "$state/forgotten/${volume##*/}"
		mv "$volume" $state/forgotten/
	fi
done
