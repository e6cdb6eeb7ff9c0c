# Takes this controller's program out of its HAProxy before it ends, or gives it back
# before it starts:
#	leave|enter PORT HOST
#	hops
#	clients
#
# What comes from the HAProxy of another controller is refused before anything was
# said, so that it goes elsewhere, whatever it is. When nothing is left under way, or
# after some time, the program may end. Nothing is taken away where no other controller
# has a program that works. It comes back as one that is down, and is used as soon as
# it is seen to answer.
#
# With hops, before HAProxy itself ends, nothing more is taken from other controllers,
# and what they have sent is answered; but for memcached and consoles, whose connections
# stay open. With clients, requests of clients are waited for, but for consoles.
set -eu
verb=$1 port=${2-} host=${3-}
patience=12 # seconds; systemd gives this twice ten (TimeoutStopSec)

pid=$(cat /run/updraft/haproxy.pid 2>/dev/null) || exit 0
test -d "/proc/$pid" || exit 0
# One connection for all questions: a program for each, of all services of a controller
# that ends, took more of its processors than the services did.
coproc haproxy { exec nsenter --target "$pid" --mount -- socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock; }
# ask COMMAND... sends commands on one line, and keeps what the last one answers: each
# ends with a prompt of its own.
ask() {
	local IFS=';'
	printf '%s\n' "$*" >&"${haproxy[1]}"
	for _; do IFS= read -r -d '>' -t 5 answer <&"${haproxy[0]}"; done
}
ask prompt

# each calls a function with what a table has, each line: proxy, server, sessions,
# status; what else is said goes to it, too.
each() {
	local f
	ask "show stat -1 $1 -1"
	while IFS=, read -ra f; do
		test "${#f[@]}" -lt 18 || "${@:2}" "${f[0]}" "${f[1]}" "${f[4]}" "${f[17]}"
	done <<<"$answer"
}
servers=4 frontends=1

# The lines that matter.
mine() { [[ $1 == *-"$port" && $2 == "$host" ]]; }
others() { [[ $1 == *-"$port" && $2 != "$host" && $4 == UP* ]]; }
hop() { [[ $1 == hop-* && $1 != *memcached && $1 != *-6080 ]]; }
client() { [[ $1 != *'#'* && $1 != alive && $1 != useful && $1 != mariadb && $1 != memcached* && $1 != hop-* && $1 != *-6080 ]]; }

count() { if "$1" "${@:2}"; then n=$((n + $4)); fi; }
note() { if "$1" "${@:2}"; then names+=("$2/$3"); fi; }

# set_state FUNCTION STATE... gives states to the servers that matter, one server's at
# once.
set_state() {
	local name state commands
	names=()
	each $servers note "$1"
	for name in "${names[@]}"; do
		commands=()
		for state in "${@:2}"; do commands+=("set server $name $state"); done
		ask "${commands[@]}"
	done
}

# wait_until_idle TABLE FUNCTION SECONDS waits until nothing is under way there.
wait_until_idle() {
	local pause=0.05
	while
		n=0
		each "$1" count "$2"
		test "$n" -gt 0 && test "$SECONDS" -lt "$3"
	do
		sleep $pause
		pause=0.2
	done
}

case $verb in
hops)
	set_state hop 'state maint'
	wait_until_idle $servers hop $patience
	;;
clients)
	wait_until_idle $frontends client 4
	;;
enter)
	set_state mine 'state ready' 'health down'
	;;
leave)
	up() { if others "$@"; then n=1; fi; }
	while
		n=0
		each $servers up
		test "$n" = 0
	do
		test "$SECONDS" -lt 5 || exit 0
		sleep 0.2
	done
	set_state mine 'state maint'
	wait_until_idle $servers mine $patience
	;;
esac
