# Starts a member of etcd:
#	DATADIR NAME PEER CLUSTER OTHERS LEAF CA COMMAND...
#
# PEER is the member's own URL for others, CLUSTER all members as NAME=PEER, OTHERS
# the URLs for clients of the others.
#
# A member that has data goes on with it. One without asks the others: where a
# majority of a cluster answers, this one either is to be added to it or was in it
# and has lost its data; then it leaves and comes as a new one. Where there has never
# been one it is begun, which takes a majority of those named, too.
set -eu
data=$1 name=$2 peer=$3 cluster=$4 others=$5 leaf=$6 ca=$7
shift 7
set -- "$@" --name="$name" --data-dir="$data"

# The directory has that name when the member is complete.
if test -d "$data/member/wal"; then
	exec "$@"
fi

ctl() {
	etcdctl --endpoints="$others" --cacert="$ca" --cert="$leaf" --key="$leaf" --dial-timeout=2s --command-timeout=5s "$@"
}

# Others that are too busy to answer at once are found by the next question.
if ! ctl member list --command-timeout=2s >/dev/null 2>&1; then
	# Each member begins its log with one entry for each of all members. One that has
	# more has had a leader: there is a cluster, whose majority has to come first.
	named=$(printf '%s\n' "$cluster" | tr , '\n' | grep -c =)
	for index in $(ctl endpoint status --write-out=json 2>/dev/null | grep -o '"raftIndex":[0-9]*' | cut -d : -f 2); do
		test "$index" -le "$named" || { echo 'there is a cluster without a majority: waiting' >&2; exit 1; }
	done
	exec "$@" --initial-cluster="$cluster" --initial-cluster-state=new
fi

# join has the cluster know this member as a new one. A line of the list is: number,
# state, name, URLs of the peer, URLs for clients, learner.
join() {
	members=$(ctl member list) || return
	id=$(printf '%s\n' "$members" | awk -F ', ' -v peer="$peer" '$4 == peer { print $1 }')
	test -z "$id" || ctl member remove "$id" || return
	added=$(ctl member add "$name" --peer-urls="$peer")
}

# A cluster takes none while a member of it has been seen for less than five seconds,
# as those have that are started anew, one after the other, since there is a new one.
# Whether a question whose answer was lost had an effect is seen by the list. The first
# process of a container hears no signal that it does not ask for.
trap 'exit 1' TERM
until join; do
	test "$SECONDS" -lt 120 || exit 1
	sleep 1
done
cluster=$(printf '%s\n' "$added" | sed -n 's/^ETCD_INITIAL_CLUSTER="\(.*\)"$/\1/p')
test -n "$cluster"
rm -rf "$data/member"
exec "$@" --initial-cluster="$cluster" --initial-cluster-state=existing
