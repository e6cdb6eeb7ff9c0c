# Starts a member of RabbitMQ: NODE alone|quorum first|other PEER,PEER BEGUN LEAF CA URLS COMMAND...
#
# PEERS are the addresses of the others; "-" stands for none, with which nobody is
# asked anything. A member that was in the cluster goes on with what it has. One that
# was not joins the others as soon as one of them serves, and has itself forgotten
# there first if it was a member before it lost its disk: they would refuse it. One
# without others that has never served begins anew. Only the first controller's member
# begins without others, and only where etcd knows that no cluster of this cloud ever
# began (BEGUN LEAF CA URLS).
#
# RabbitMQ is told of one member that serves, and of nobody when it begins: to look
# for members that are not there takes it minutes.
#
# What is here is about the moment: when queues become replicated, or are no longer
# (alone, quorum), all is begun anew, as a queue does not change its type.
set -eu
node=$1 type=$2 role=$3 peers=$4
begun=(bash "${@:5:4}")
shift 8
data=$HOME/mnesia
port=5671
members=25672

if test -e "$HOME/queues" && test "$(cat "$HOME/queues")" != "$type"; then
	rm -rf "$data" "$HOME/joined"
fi
echo "$type" >"$HOME/queues.new"
mv "$HOME/queues.new" "$HOME/queues"

serves() { timeout 2 bash -c "exec 3<>/dev/tcp/$1/$port" 2>/dev/null; }

# note leaves a mark when this member serves clients: it is in the cluster then.
note() {
	until serves "${node#*@}"; do sleep 1; done
	touch "$HOME/joined"
}

if test "$peers" = -; then
	# One that was ended while it began for the first time has half a store, with which
	# it waits for a leader for ever (RabbitMQ 4 with Khepri: timeout_waiting_for_leader).
	if ! test -e "$HOME/joined"; then
		rm -rf "$data"
		note &
	fi
	exec "$@"
fi
if test -e "$HOME/joined"; then
	exec "$@"
fi

# forget has the member that this one was before forgotten by another.
forget() {
	local said
	said=$(timeout 120 /usr/lib/rabbitmq/bin/rabbitmqctl --longnames --node "rabbit@$1" forget_cluster_node "$node" 2>&1) && return
	case $said in
	*not_a_cluster_node* | *'not a cluster'* | *'not in the cluster'*) ;; # as good as forgotten
	*)
		echo "$1 does not forget the member that was here before: $said" >&2
		exit 1
		;;
	esac
}

known=0
"${begun[@]}" || known=$?
for p in ${peers//,/ }; do
	serves "$p" || continue
	rm -f "$HOME/waits"
	if test "$known" != 1 || test -d "$data/$node"; then
		forget "$p"
	fi
	rm -rf "$data"
	{
		cat "$RABBITMQ_CONFIG_FILE"
		echo 'cluster_formation.peer_discovery_backend = classic_config'
		echo "cluster_formation.classic_config.nodes.1 = rabbit@$p"
		echo "cluster_formation.classic_config.nodes.2 = $node"
	} >"$HOME/join.conf"
	export RABBITMQ_CONFIG_FILE=$HOME/join.conf
	note &
	exec "$@"
done
if test "$known" = 1 && test "$role" = first; then
	rm -rf "$data"
	note &
	exec "$@"
fi

# After a power cut of all, the others may wait for what this one had when it was
# last seen, and lost with its disk. Nobody has newer data then: they go on with theirs.
if ! test -e "$HOME/waits"; then
	touch "$HOME/waits"
elif test "$known" = 0 && test -n "$(find "$HOME/waits" ! -newermt '-30 seconds')"; then
	touch "$HOME/waits"
	for p in ${peers//,/ }; do
		timeout 2 bash -c "exec 3<>/dev/tcp/$p/$members" 2>/dev/null || continue
		timeout 60 /usr/lib/rabbitmq/bin/rabbitmqctl --longnames --node "rabbit@$p" eval \
			'rabbit:is_running() orelse begin rabbit_mnesia:force_load_next_boot(), erlang:halt(0) end.' >&2 || :
	done
fi
echo 'waiting for a member that serves, to join it' >&2
exit 1
