# Starts a server of Galera: DATADIR ORDER PEER,PEER first|other BEGUN LEAF CA URLS COMMAND...
#
# A cluster is begun in three cases only, and otherwise joined:
#  - this is the first controller's server, it was never in one, no other answers,
#    and etcd knows that no cluster of this cloud ever began (BEGUN LEAF CA URLS).
#    Without the last, a first controller with a new disk that is up before the
#    others would begin with an empty database, which the others would then copy.
#  - this server was the last to leave in order, as it noted itself
#    (safe_to_bootstrap in grastate.dat).
#  - the guards of all servers agreed that it is this one's turn, from the view that
#    it was in last, and a minute has not passed since (ORDER).
# Where all lost power at once they remember who they were (gvwstate.dat), and are a
# cluster again as soon as all of them are back (pc.recovery, Galera's default).
set -eu
data=$1 order=$2 peers=$3 role=$4
begun=("bash" "${@:5:4}")
shift 8

# What a copy that failed has left. Its numbers are now those of other processes,
# whose end the next copy would wait for.
rm -f "$data/wsrep_sst.pid" "$data/rsync_sst.pid" "$data/stunnel.pid"

# state prints a value of grastate.dat.
state() { awk -v key="$1:" '$1 == key { print $2 }' "$data/grastate.dat" 2>/dev/null || true; }

view=$(awk '$1 == "view_id:" { print $3 ":" $4 }' "$data/gvwstate.dat" 2>/dev/null || true)
position=$(state uuid):$(state seqno)
if test -e "$data/grastate.dat" && test "$(state seqno)" = -1; then
	# It did not end in order. Its tables know how far it had come, and with that it
	# needs only what it missed, as Debian's own unit has it (galera_recovery).
	found=$("$@" --wsrep-recover --disable-log-error 2>&1 | sed -n 's/.*WSREP: Recovered position:[[:space:]]*//p' | tail -n 1)
	case $found in
	'' | 00000000-0000-0000-0000-000000000000:* | *:-1*) ;;
	*) position=$found && set -- "$@" --wsrep-start-position="$found" ;;
	esac
fi
# Written last, and complete or not at all: it says that the server was in no view
# since (package guard).
echo "$position $view" >"$data/updraft-position.new"
mv "$data/updraft-position.new" "$data/updraft-position"

answers() {
	for p in ${peers//,/ }; do
		timeout 2 bash -c "exec 3<>/dev/tcp/$p/4567" 2>/dev/null && return 0
	done
	return 1
}

ordered() {
	test -n "$view" && test -r "$order" || return 1
	read -r from until <"$order"
	read -r now _ </proc/uptime
	test "$from" = "$view" && test "${now%.*}" -lt "$until"
}

if ordered; then
	sed -i 's/^safe_to_bootstrap: .*/safe_to_bootstrap: 1/' "$data/grastate.dat"
	# As another member: others that wait still know the one that it was, and do not
	# come to a view with it.
	mv "$data/gvwstate.dat" "$data/gvwstate.dat.begun"
	exec "$@" --wsrep-new-cluster
fi

# first succeeds when there never was a cluster, and this server is to begin it. As
# long as nobody knows, which is until two controllers are up, there is nothing to do.
first() {
	test "$role" = first || return 1
	for _ in {1..60}; do
		known=0
		"${begun[@]}" || known=$?
		case $known in
		0) return 1 ;;
		1) return 0 ;;
		esac
		sleep 1
	done
	echo 'no majority of etcd says whether this cloud has a database already: waiting' >&2
	exit 1
}

if ! answers; then
	if test -e "$data/grastate.dat"; then
		if grep -q '^safe_to_bootstrap: 1' "$data/grastate.dat"; then
			exec "$@" --wsrep-new-cluster
		fi
	elif first; then
		exec "$@" --wsrep-new-cluster
	fi
fi
exec "$@"
