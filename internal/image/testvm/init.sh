#!/bin/busybox sh
# The one program of updraft's test VM. It takes its address by DHCP and its name
# from the metadata service, says so on the console, and answers HTTP with it. Of
# further disks it says what they hold.
/bin/busybox mkdir -p /proc /sys /dev /run /tmp /www /etc
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev 2>/dev/null
exec </dev/ttyS0 >/dev/ttyS0 2>&1
uptime() { cut -d' ' -f1 /proc/uptime; }
echo "UPDRAFT-BOOT uptime=$(uptime)"
for m in $(cat /lib/mod/order); do insmod "/lib/mod/$m"; done
# The network card appears a moment after its driver.
n=0
while [ ! -e /sys/class/net/eth0 ] && [ $n -lt 200 ]; do usleep 50000; n=$((n + 1)); done
ip link set lo up
ip link set eth0 up
hostname updraft-testvm
echo "127.0.0.1 localhost" >/etc/hosts
udhcpc -q -n -t 30 -T 1 -A 1 -i eth0 -s /lib/dhcp.sh -O staticroutes -O mtu || echo "UPDRAFT-ERROR no DHCP"
ip -4 addr show eth0
ip route

# Asks the metadata service, which may learn of the port only after DHCP answered.
# netcat, since busybox's wget needs a resolver.
metadata() { printf 'GET /latest/meta-data/%s HTTP/1.0\r\nHost: 169.254.169.254\r\n\r\n' "$1" |
	nc -w 10 169.254.169.254 80 2>/dev/null | tr -d '\r' | awk 'NR == 1 && $2 != 200 { exit } body { print; exit } $0 == "" { body = 1 }'; }
id= n=0
tries=$(sed -n 's/.*updraft\.metadata=\([0-9]*\).*/\1/p' /proc/cmdline)
while [ $n -lt "${tries:-10}" ]; do
	id=$(metadata instance-id)
	[ -z "$id" ] || break
	n=$((n + 1))
	sleep 1
done
name=$(metadata hostname)
[ -z "$name" ] || hostname "$name"

address=$(ip -4 addr show eth0 | awk '$1 == "inet" { print $2; exit }')
answer="hostname=$(hostname) instance-id=${id:-none} address=${address:-none}"
echo "$answer" >/www/index.html
httpd -p 80 -h /www
echo "UPDRAFT-READY $answer uptime=$(uptime)"

# disks says of each disk but the first how many sectors it has and what is written at
# its beginning, whenever that changes. It writes its name onto those that are blank.
disks() {
	now=
	for d in /sys/block/vd[b-z]; do
		[ -b "/dev/${d##*/}" ] || continue
		mark=$(dd if="/dev/${d##*/}" bs=512 count=1 2>/dev/null | tr -d '\000' | cut -c1-80)
		[ -n "$mark" ] || echo "by-$(hostname)" | dd of="/dev/${d##*/}" bs=512 count=1 conv=sync,fsync 2>/dev/null
		now="$now ${d##*/}=$(cat "$d/size"):$mark"
	done
	[ "$now" = "$seen" ] || echo "UPDRAFT-DISKS$now."
	seen=$now
}
seen=
while :; do
	disks
	sleep 1
done
