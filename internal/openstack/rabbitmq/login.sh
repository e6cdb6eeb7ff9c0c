# Succeeds when RabbitMQ takes the password: ADDRESS PORT FILE
#
# It speaks just as much AMQP 0-9-1 as is needed: the protocol's header and FILE,
# a connection.start-ok with name and password. The answers are connection.start
# (10, 10) and then, when the password is right, connection.tune (10, 30). A
# client of RabbitMQ's own takes half a second of a core for the same.
set -eu
exec 3<>"/dev/tcp/$1/$2"
{ printf 'AMQP\0\0\11\1'; cat "$3"; } >&3

# frame prints class and method of the next frame.
frame() {
	read -r _ _ _ a b c d < <(timeout 5 head -c 7 <&3 | od -An -v -tu1)
	size=$(((a << 24) + (b << 16) + (c << 8) + d))
	# What a frame carries is followed by one byte that ends it.
	read -r a b c d < <(timeout 5 head -c $((size + 1)) <&3 | head -c 4 | od -An -v -tu1)
	echo $(((a << 8) + b)) $(((c << 8) + d))
}

test "$(frame)" = '10 10'
test "$(frame)" = '10 30'
