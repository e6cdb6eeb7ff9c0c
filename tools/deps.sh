#!/bin/bash
# Installs the Debian packages that the lab needs and, with the argument "test",
# those that the tests need as well. Does nothing, and needs no network, when all
# are there.
set -euo pipefail
packages=(systemd-container mmdebstrap iproute2 nftables openssh-client debian-archive-keyring ca-certificates)
if [ "${1:-}" = test ]; then
  # Real parsers and daemons that our files are held against.
  packages+=(openssh-server openssl sudo haproxy keepalived nginx-light chrony bind9-utils ansible-core
    dnf rpm createrepo-c git iputils-ping procps python3-openstackclient python3-octaviaclient python3-barbican python3-waitress chromium libnss3-tools tinyproxy)
fi
missing=()
for p in "${packages[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
sudo=; [ "$(id -u)" = 0 ] || sudo=sudo
# Services of the computer itself are not started: only their parsers are wanted.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' | $sudo tee $policy >/dev/null && $sudo chmod 755 $policy && made=1
fi
trap '[ -z "$made" ] || $sudo rm -f $policy' EXIT
echo "installing: ${missing[*]}"
$sudo apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
