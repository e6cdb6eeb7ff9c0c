# Makes GlusterFS on a controller, or says whether that is done: WHAT check|apply [VOLUME]
#
#   pool    who this server is, and who the others are
#   meet    this server takes the others for members of its pool
#   volume  the volume with its options, started
#   brick   this server's copy of the volume, served; an empty one is filled anew
#   heal    nothing is left that this server has and another has not
#   whole   (check alone) all copies are served, and none lacks anything
#
# Checks read glusterd's files and ask nobody, but for whole: they cost
# milliseconds, and are true also while glusterd is down. Servers have numbers that
# follow from their names, so one that lost its disk comes back as itself, and the
# others recognise it.
#
# Sources: the administrator's guide, "Replacing a failed host", "Replace brick";
# glusterd-store.c for the files; index.c for what waits for healing.
set -eu
. /etc/updraft/gluster/storage.conf # uuid address peers bricks root
what=$1 mode=$2 volume=${3:-}
state=/var/lib/glusterd
info=$state/vols/$volume/info
patience=60

gluster() { timeout 120 gluster --mode=script "$@" </dev/null; }

# order ARGUMENT...: changes a volume. glusterd makes one change at a time, on all
# servers, and refuses another meanwhile; and while servers come to know each other
# they may lose touch for a moment, or a volume that they are just learning anew. Where
# some have made a change and others not, what is left to do is looked for again.
order() {
	local i s said
	for ((i = 0; i < patience; i++)); do
		s=0
		said=$(timeout 45 gluster --mode=script "$@" 2>&1 </dev/null) || s=$?
		if ((s == 0)); then return; fi
		if ((s == 124)); then anew "$* does not answer"; fi # timeout's own
		case $said in
		*'is not part of cluster'*) return 0 ;; # who detached it for another volume was first
		*'Commit failed on '*) anew "$*: $said" ;;
		'' | *'Connection failed'* | *'alidation failed on '* | *'Staging failed on '* | *'transaction is in progress'* | *'Locking failed'* | *'not connected'* | *"not in 'Peer in Cluster' state"*) sleep 1 ;;
		*) break ;;
		esac
	done
	fail "gluster $*: ${said:-no answer}"
}

# anew WHY: begins again with another glusterd. Of a change that was never answered, what
# another server said was lost, and it would wait for that for ten minutes, with the
# lock of all in hand. Changes take seconds; that it ends undoes the lock everywhere.
# And servers compare notes when they meet.
anew() {
	export begun=$((${begun:-0} + 1))
	if ((begun > 3)); then fail "gluster $1"; fi
	echo "gluster $1; glusterd is started again" >&2
	systemctl restart glusterd
	until_ok connected || :
	exec bash "$0" "$what" "$mode" "$volume"
}

# own finds the directory of this server's copy. One that is made anew gets another name.
own() {
	brick=$root/$volume/brick
	if test -e "$info"; then
		mangled=$(sed -n "s/^brick-[0-9]*=$address://p" "$info")
		brick=$root/$volume/${mangled##*-}
	fi
}
own

fail() {
	echo "$*" >&2
	exit 1
}

# until_ok COMMAND...: tries it for so many seconds, which is past what was ever seen.
until_ok() {
	local end=$((SECONDS + patience))
	until "$@"; do
		if ((SECONDS >= end)); then return 1; fi
		sleep 0.2
	done
}

# glusterd writes its files anew as servers come and go: what is missing for a moment
# is looked for again.
pool_check() {
	test -s $state/glusterd.info || return 1
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		if pool_is; then return; fi
		sleep 0.2
	done
	return 1
}

pool_is() {
	grep -qsx "UUID=$uuid" $state/glusterd.info || return 1
	for p in $peers; do
		grep -qsx "hostname1=${p%=*}" "$state/peers/${p#*=}" || return 1
	done
}

# rejected succeeds when a server of the pool does not take this one for what it says
# it is. While a pool is made that is so until the other has its own part of it. What
# those say that are to go does not matter.
rejected() {
	local p
	for p in $peers; do
		if grep -qsx state=6 "$state/peers/${p#*=}"; then return; fi
	done
	return 1
}

accepted() { ! rejected; }

# What probing would write is written at once: it comes to the same on all servers
# in any order, and on one that knows nothing any more. Of volumes it then learns
# from the others. (By itself the server would take part as a stranger, and the
# others would refuse it.)
pool_apply() {
	if pool_check; then return; fi
	systemctl start glusterd
	# It notes who it is, and which version, when it is first asked for that.
	until_ok gluster pool list >/dev/null || fail "glusterd does not answer"
	if ! grep -qx "UUID=$uuid" $state/glusterd.info; then
		test -z "$(ls -A $state/vols 2>/dev/null)$(ls -A $state/peers 2>/dev/null)" ||
			fail "this host belongs to another GlusterFS pool: take it out of that with gluster peer detach, or move $state away"
	fi
	systemctl stop glusterd
	version=$(grep '^operating-version=' $state/glusterd.info)
	printf 'UUID=%s\n%s\n' "$uuid" "$version" >$state/glusterd.info.updraft
	mv $state/glusterd.info.updraft $state/glusterd.info
	mkdir -p $state/peers
	for p in $peers; do
		printf 'uuid=%s\nstate=3\nhostname1=%s\n' "${p#*=}" "${p%=*}" >"$state/peers.updraft"
		mv "$state/peers.updraft" "$state/peers/${p#*=}"
	done
	systemctl start glusterd
	until_ok pool_check || fail "glusterd does not keep what it was told of the pool: $(gluster peer status | tr '\n' ';')"
}

# Servers that come to know each other at the same time may end with one that goes on to
# wait for another's word (state 4), and then refuses changes to that other's copies.
met() {
	local p
	for p in $peers; do
		grep -qsx state=3 "$state/peers/${p#*=}" || return 1
	done
}

# One that has just come back is in another state for a moment.
meet_check() { patience=3 until_ok met; }

meet_apply() {
	for _ in 1 2 3; do
		if patience=15 until_ok met; then return; fi
		systemctl restart glusterd
	done
	until_ok met || fail "this server does not take others for members of its pool: $(gluster peer status | tr '\n' ';')"
}

# connected succeeds when all servers of the pool see each other.
connected() {
	local n=0
	set -- $bricks
	n=$(gluster pool list 2>/dev/null | grep -c '[[:space:]]Connected') || :
	test "$n" -ge $#
}

placed() {
	for b in $bricks; do
		grep -qsx "brick-[0-9]*=$b:${root//\//-}-$volume-brick[0-9]*" "$info" || return 1
	done
}

# moved gives copies that are on servers which hold none any more to those which are
# to hold one and have none, and lets those servers go. A copy that is new is filled.
moved() {
	local from to one=
	while read -r from; do
		case " $bricks " in *" ${from%%:*} "*) continue ;; esac
		if test -n "$one"; then filled "$from"; fi
		one=$from
		for to in $bricks; do
			grep -q "^brick-[0-9]*=$to:" "$info" || break
		done
		order volume replace-brick "$volume" "$from" "$to:$root/$volume/brick" commit force
		until_ok grep -q "^brick-[0-9]*=$to:" "$info" || fail "the copy on $from was not replaced by one on $to"
		agreed
	done <<<"$(gluster volume info "$volume" | sed -n 's/^Brick[0-9]*: //p')"
}

# filled FROM: waits until all copies are whole, as long as the copy that is to go next
# answers. Otherwise the only one left might be one that missed something.
filled() {
	until whole_now; do
		case $said in *"Brick $1"$'\n''Status: Transport endpoint is not connected'*) return 0 ;; esac
		sleep 1
	done
}

# strangers has servers leave the pool that the cloud file has no more, as soon as they
# hold no copy. They may be dead.
strangers() {
	local f name
	for f in "$state"/peers/*; do
		name=$(sed -n 's/^hostname1=//p' "$f" 2>/dev/null) || continue
		case " $bricks " in *" $name "*) continue ;; esac
		if grep -qs "=$name:" "$state"/vols/*/info; then continue; fi
		order peer detach "$name" force
	done
}

# known SERVER: that one knows the volume. While servers are on their way up a question
# to another one was seen to get no answer ever, though all of them were connected: it is
# asked again.
known() {
	local s
	for _ in 1 2 3 4 5 6; do
		s=0
		timeout 10 gluster --mode=script --remote-host="$1" volume info "$volume" </dev/null >/dev/null 2>&1 || s=$?
		if ((s != 124)); then return "$s"; fi # not timeout's own
	done
	fail "glusterd on $1 does not answer"
}

# described [OPTION]: what a server knows of the volume that must not differ. (What is so by
# default some list and others do not.)
described() {
	timeout 10 gluster --mode=script "$@" volume info "$volume" </dev/null 2>&1 | grep -E '^(Volume ID|Status|Brick[0-9]+|auth[.][a-z-]+): ' | sort
}

# agree succeeds when all servers know the same of the volume.
agree() {
	local p mine
	mine=$(described) || :
	case $mine in *'Volume ID'*) ;; *) return 1 ;; esac
	for p in $peers; do
		test "$(described --remote-host="${p%=*}")" = "$mine" || return 1
	done
}

# agreed has all servers know the same. A change is told to those that are connected just
# then, and another one learns of it when it meets this one again; without that, its
# clients go on to ask where a copy was before, and it will not start when that server has
# left the pool.
agreed() {
	if patience=10 until_ok agree; then return; fi
	echo "not all servers know of the last change to $volume: glusterd is started again, as they compare notes when they meet" >&2
	systemctl restart glusterd
	until_ok connected || fail "the servers of the pool do not see each other"
	until_ok agree || fail "not all servers know the same of volume $volume: $(for p in $peers; do described --remote-host="${p%=*}" | diff <(described) - | tr '\n' ' '; done)"
}

options_left() { grep -vxFf "$info" "/etc/updraft/gluster/$volume.options"; }

options_set() {
	left=$(options_left) || :
	read -ra words <<<"${left//[=$'\n']/ }"
	if test -n "$left"; then order volume set "$volume" "${words[@]}"; fi
}

volume_check() { placed && accepted && grep -qx status=1 "$info" && ! options_left >/dev/null; }

volume_apply() {
	until_ok connected || fail "the servers of the pool do not see each other: $(gluster pool list 2>&1 | tr '\n\t' '; ')"
	until_ok accepted || fail "another server of the pool rejects this one: $(gluster peer status | tr '\n' ';')"
	# A server that knows nothing any more learns from the others.
	for p in $peers; do
		if test -e "$info"; then break; fi
		if known "${p%=*}"; then until_ok test -e "$info"; fi
	done
	if ! test -e "$info"; then
		# A volume whose making was cut off has copies with nothing in them.
		b=$(find "$root/$volume" -mindepth 2 -maxdepth 2 ! -name '.glusterfs*' -print -quit)
		test -z "$b" || fail "there is $b, and no server knows the volume that it is of: it is not begun anew. Have a server that knows it answer, or move that away"
		copies=$(set -- $bricks; echo $#) replica=
		if ((copies > 1)); then replica="replica $copies"; fi
		order volume create "$volume" $replica $(printf "%s:$brick " $bricks) force
	fi
	agreed
	# Before it is started, and before a server gets a copy, which mounts it for that.
	options_set
	placed || moved
	options_set # GlusterFS puts who gets a copy on the list by itself
	placed || fail "volume $volume has its copies elsewhere: $(grep '^brick-' "$info" | tr '\n' ' ')"
	if ! grep -qx status=1 "$info"; then order volume start "$volume"; fi
	agreed
	strangers
}

# learned succeeds when this server knows of the volume, and where its copies are.
learned() { grep -qsx status=1 "$info" && placed; }

brick_pid() {
	local pid
	pid=$(cat "/run/gluster/vols/$volume/$address${brick//\//-}.pid" 2>/dev/null) || return 1
	tr '\0' '\n' 2>/dev/null <"/proc/$pid/cmdline" | grep -qx "$brick" || return 1
	echo "$pid"
}

brick_check() {
	local pid
	learned || return 1
	pid=$(brick_pid) || return 1
	ss --no-header --tcp --listening --numeric --processes | grep -q ",pid=$pid,"
}

# serve waits until the copy is served. A program whose question to glusterd for what it
# is to serve was lost never asks again: another one is started.
serve() {
	local pid
	for _ in 1 2 3; do
		if patience=15 until_ok brick_check; then return; fi
		echo "the program that serves $brick does not listen: another one is started" >&2
		if pid=$(brick_pid); then
			kill "$pid" || :
			until_ok gone "$pid" || kill -9 "$pid" || :
		fi
		order volume start "$volume" force
	done
	until_ok brick_check || fail "nothing serves $brick; see /var/log/glusterfs/bricks"
}

gone() { ! test -d "/proc/$1"; }

# mounted refuses to fill a directory whose file system is to be mounted and is not.
mounted() {
	while read -r source target _; do
		case $source in '#'* | '') continue ;; esac
		case $root/ in "${target%/}"/*) mountpoint -q "$target" || fail "$target is in /etc/fstab and not mounted" ;; esac
	done </etc/fstab
}

brick_apply() {
	if brick_check; then return; fi
	if ! patience=10 until_ok learned; then
		systemctl restart glusterd # servers compare notes when they meet
		until_ok learned || fail "this server has not learned from the others where the copies of volume $volume are"
	fi
	own
	if test -d "$brick/.glusterfs"; then
		order volume start "$volume" force
	else
		test -n "$peers" || fail "the only copy of volume $volume is not in $brick any more"
		until_ok connected || fail "the servers of the pool do not see each other"
		mounted
		last=${brick##*brick}
		to=$root/$volume/brick$((${last:-1} + 1))
		order volume replace-brick "$volume" "$address:$brick" "$address:$to" commit force
		brick=$to
	fi
	serve
}

# What one of the others lacks has an entry here, beside one that all of them are
# links of; and so has what may differ, as who wrote it may have died of it. Of a
# write that is just going on, the file is some moments old.
waiting() {
	local index=$brick/.glusterfs/indices id
	ls "$index/xattrop" 2>/dev/null | grep -v '^xattrop-' || :
	for id in "$index"/dirty/*-*-*-*-*; do
		id=${id##*/}
		case $id in dirty-* | '*'*) continue ;; esac
		find "$brick/.glusterfs/${id:0:2}/${id:2:2}/$id" ! -newerct '5 seconds ago' 2>/dev/null || :
	done
}

# Every write waits for a moment: only what still does after some seconds is left.
heal_check() {
	local i
	for ((i = 0; i < 20; i++)); do
		if test -z "$(waiting)"; then return; fi
		sleep 0.15
	done
	return 1
}

# joined succeeds when whoever is connected to one copy is to all of them, as far as it is
# to be. A client that does not reach a new one yet leaves it behind again with all that it
# writes. On hosts with copies whoever heals is one more client; elsewhere more than one
# are of before a change, and go when no file is open in them.
joined() {
	local allowed
	allowed=$(sed -n 's/^auth[.]allow=//p' "/etc/updraft/gluster/$volume.options")
	timeout 15 gluster --mode=script volume status "$volume" clients 2>/dev/null </dev/null |
		awk -v copies="$(set -- $bricks; echo $#)" -v allowed=",$allowed," -v bricks=" $bricks " '
		/^Brick : / { copy++ }
		NF == 4 && $1 ~ /:[0-9]+$/ && $2 ~ /^[0-9]+$/ {
			sub(/:[0-9]+$/, "", $1)
			if (!index(allowed, "," $1 ",")) next
			n[$1, copy]++
			if (n[$1, copy] > most[$1]) most[$1] = n[$1, copy]
		}
		END {
			for (host in most) {
				least = index(bricks, " " host " ") && most[host] > 1 ? 2 : 1
				for (i = 1; i <= copies; i++) if (n[host, i] < least) exit 1
			}
			exit copy != copies
		}'
}

# Clients that do not reach a copy are waited for, but not for ever: they may be unable to.
heal_apply() {
	local i
	for ((i = 0; ; i++)); do
		if heal_check && { joined || ((SECONDS >= patience)); }; then return; fi
		# Refused while it goes on, or a daemon is on its way up: it begins by itself then.
		if ((i % 4 == 0)); then
			gluster volume heal "$volume" >&2 || :
			echo "volume $volume: another copy lacks what was written to $(waiting | wc -l) files or directories" >&2
		fi
		sleep "$((RANDOM % 3)).5" # glusterd answers one of the servers at a time
	done
}

# A write that is just going on shows like one that a copy lacks: it is asked for
# some seconds.
whole_check() {
	for info in $state/vols/*/info; do
		volume=${info%/info}
		volume=${volume##*/}
		until whole_now; do
			if ((SECONDS >= 10)); then fail "volume $volume: $said"; fi
			sleep 0.5
		done
	done
}

whole_now() {
	if test -z "$peers"; then # the only copy lacks nothing that another has
		brick=$root/$volume/$(sed -n "s/^brick-[0-9]*=$address:.*-//p" "$info")
		said="it is not served"
		brick_check
		return
	fi
	said=$(gluster volume heal "$volume" info summary 2>&1)
	awk -v copies="$(set -- $bricks; echo $#)" '
		/^Status: Connected/ { up++ }
		/^Total Number of entries:/ { if ($NF != "0") left = 1 }
		END { exit !(up == copies && !left) }' <<<"$said"
}

# What is changed on a server at one time may be disturbed by another glusterd.
if test "$mode" = apply && test "$what" != heal; then
	exec 9>/run/updraft-gluster.lock
	flock 9
fi
"${what}_$mode"
