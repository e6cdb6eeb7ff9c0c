# Mounts a volume, or says whether it is: check|apply TARGET UNIT MODE UID GID
#
# A mount that is there and does not answer is waited for, never torn away: disks
# of servers are open there, and go on when enough copies are back.
set -eu
target=$2 unit=$3 mode=$4 uid=$5 gid=$6

mounted() { timeout 5 mountpoint -q "$target"; }

check() { mounted && test "$(timeout 5 stat --format='%a %u %g' "$target")" = "$mode $uid $gid"; }

apply() {
	if ! grep -q " $target fuse.glusterfs " /proc/self/mounts && test -n "$(ls -A "$target" 2>/dev/null)"; then
		echo "$target holds files that the shared storage would hide: move them into it, or write storage: {…: local}" >&2
		exit 1
	fi
	systemctl daemon-reload
	systemctl start --no-block "$unit"
	for ((i = 0; i < 300; i++)); do
		if mounted; then break; fi
		sleep 0.2
	done
	if ! mounted; then
		echo "$target is not mounted, or too few copies answer: $(journalctl --unit="$unit" --lines=3 --output=cat | tr '\n' ';')" >&2
		exit 1
	fi
	chmod "$mode" "$target"
	chown "$uid:$gid" "$target"
}

"$1"
