# Starts a member of an OVN database, unless its file is of another database or of
# another cluster:
#	FILE SCHEMA LEAF AUTHORITIES OTHERS PROGRAM...
# OTHERS is a file with where the others are asked, one a line; it is not there when there are none.
#
# RAFT keeps members of two clusters apart, but a member that is a cluster of its own
# serves whoever asks it. A file tells its cluster by a number (cid). FILE.cluster has
# the one that this controller was in when it last started, and other members tell
# theirs: who finds none that agrees, and one that does not, is the stranger.
#
# Sources: ovsdb-tool(1), db-name, db-cid; ovsdb-server(5), the database _Server.
set -eu
file=$1 schema=$2 leaf=$3 authorities=$4 others=$5
shift 5

refuse() {
	echo "refused: $1" >&2
	exit 1
}

# Prints the number of the cluster that a member is in, and the member.
told() {
	ovsdb-client --timeout=2 --no-leader-only --private-key="$leaf" --certificate="$leaf" --ca-cert="$authorities" query "$1" \
		"[\"_Server\",{\"op\":\"select\",\"table\":\"Database\",\"where\":[[\"name\",\"==\",\"$schema\"]],\"columns\":[\"cid\"]}]" 2>/dev/null |
		sed -n "s/.*\"uuid\",\"\([0-9a-f-]*\)\".*/\1 ${1#*:}/p"
}

found=$(ovsdb-tool db-name "$file")
test "$found" = "$schema" || refuse "$file is the database $found, and $schema is wanted"
own=$(ovsdb-tool db-cid "$file" 2>/dev/null) || own= # one that never joined does not know
noted=
if test -s "$file.cluster"; then read -r noted <"$file.cluster"; fi
if test -n "$own" && test -n "$noted" && test "$own" != "$noted"; then
	refuse "$file is of cluster $own, and this controller is in cluster $noted. Put the file back, or remove it to have this controller join anew; if the other cluster is meant, remove $file.cluster"
fi
known=${own:-$noted}
if test -s "$others"; then
	members=$(while read -r at; do told "$at" & done <"$others"; wait)
	if test -n "$known" && test -n "$members" && ! echo "$members" | grep -q "^$known "; then
		refuse "$file is of cluster $known, and others are in another: $(echo "$members" | tr '\n' ' ')(cluster, member). Remove it on the one that is wrong, to have that controller join anew"
	fi
	if test -z "$known"; then known=$(echo "$members" | sed -n '1s/ .*//p'); fi
fi
if test -n "$known" && test "$known" != "$noted"; then
	echo "$known" >"$file.cluster.new"
	mv "$file.cluster.new" "$file.cluster"
fi
exec "$@"
