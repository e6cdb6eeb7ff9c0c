# Tells whether the clusters of this cloud have begun: LEAF CA URL,URL
#
# 0: they have, and whoever has no data joins them; 1: never; 2: no majority of etcd
# answers, so nobody knows. Certificate and authority are for clients of etcd.
set -u
leaf=$1 ca=$2
for url in ${3//,/ }; do
	if said=$(etcdctl --endpoints="$url" --cacert="$ca" --cert="$leaf" --key="$leaf" --dial-timeout=2s --command-timeout=5s \
		get /updraft/clusters-begun --print-value-only 2>/dev/null); then
		test -n "$said"
		exit
	fi
done
exit 2
