# Makes the file of one member of an OVN database:
#	FILE begin|join SCHEMA MODEL MEMBER OTHER...
#
# The first controller begins the cluster, unless another member answers or a file
# FILE.begun says that there is one: then it was in it before, has lost its file, and
# joins. The file gets its name when it is complete.
set -eu
file=$1 role=$2 schema=$3 model=$4 member=$5
shift 5

answers() {
	for o; do
		at=${o#*:}
		timeout 2 bash -c "exec 3<>/dev/tcp/${at%:*}/${at##*:}" 2>/dev/null && return 0
	done
	return 1
}

rm -f "$file.new" "$file.new".~lock~ "${file%/*}/.${file##*/}.new.~lock~"
if test "$role" = begin && ! test -e "$file.begun" && ! answers "$@"; then
	rm -f "$file.cluster" # of one that is no more
	# Members that are busy for a second are not dead.
	ovsdb-tool --election-timer=4000 create-cluster "$file.new" "$model" "$member"
else
	ovsdb-tool join-cluster "$file.new" "$schema" "$member" "$@"
fi
sync "$file.new"
mv "$file.new" "$file"
