# Starts a server of Galera: DATADIR PEER,PEER COMMAND...
#
# A cluster is begun in two cases only, and otherwise joined:
#  - this server was never in one, and no other answers: it is the first of all.
#    Only the first controller comes here without others that answer, as the
#    others are started after it.
#  - this server was the last to leave in order, as it noted itself
#    (safe_to_bootstrap in grastate.dat).
# Where all lost power at once they remember who they were (gvwstate.dat), and are a
# cluster again as soon as all of them are back (pc.recovery, Galera's default).
set -eu
data=$1 peers=$2
shift 2

# What a copy that failed has left. Its numbers are now those of other processes,
# whose end the next copy would wait for.
rm -f "$data/wsrep_sst.pid" "$data/rsync_sst.pid" "$data/stunnel.pid"

answers() {
	for p in ${peers//,/ }; do
		timeout 2 bash -c "exec 3<>/dev/tcp/$p/4567" 2>/dev/null && return 0
	done
	return 1
}

if ! answers; then
	if ! test -e "$data/grastate.dat" || grep -q '^safe_to_bootstrap: 1' "$data/grastate.dat"; then
		exec "$@" --wsrep-new-cluster
	fi
fi
exec "$@"
