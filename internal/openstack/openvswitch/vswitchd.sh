# Starts Open vSwitch's daemon with the datapath that this kernel has, in the
# container.
#
# In userspace, TCP between a server and the host only works when segmentation is
# left to Open vSwitch (userspace-tso-enable), which it reads as it starts:
# packets come with checksums that nobody has completed, and connection tracking
# takes them for damaged.
set -eu

# up keeps interfaces of servers up. One was seen down after libvirt had started its
# server, for good: the server gets no address, and nobody says why. Open vSwitch in
# userspace sets flags of an interface at about the time at which libvirt sets it up, and
# the likely cause is that it writes back what it read before; that was not traced.
up() {
	{
		ip -o monitor link &
		ip -o link show
		wait
	} | while read -r _ name flags _; do
		case $name$flags in
		tap*[\<,]UP[,\>]*) ;;
		tap*\<*) ip link set dev "${name%%[:@]*}" up || : ;; # it may be gone
		esac
	done
}

if ovs-dpctl dump-dps >/dev/null 2>&1; then
	datapath=system tso=false
else
	datapath=netdev tso=true
fi
set -- set Open_vSwitch . "external_ids:ovn-bridge-datapath-type=$datapath" "other_config:userspace-tso-enable=$tso" \
	-- --may-exist add-br br-int -- set Bridge br-int fail_mode=secure other_config:disable-in-band=true
for bridge in $(ovs-vsctl --no-wait list-br) br-int; do
	set -- "$@" -- set Bridge "$bridge" "datapath_type=$datapath"
done
ovs-vsctl --no-wait "$@"
if test "$datapath" = netdev; then
	while up; do :; done &
fi
exec ovs-vswitchd unix:/run/openvswitch/db.sock -vconsole:info -vsyslog:off --unixctl=/run/openvswitch/ovs-vswitchd.ctl
