package lab_test

import (
	"os"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// drained has a HAProxy with a service of two controllers, which takes two seconds for an
// answer, and a hop of another service. While a request is under way at each controller's
// service it has the script, $1, take away what its arguments say, and prints how many
// requests had been answered by then, how long that took, and what is taken away.
const drained = `
mkdir -p /run/updraft /run/haproxy /tmp/t
cd /tmp/t
cat >answer <<'END'
while read -r line && test "${#line}" -gt 1; do :; done
sleep 2
printf 'HTTP/1.0 200 OK\r\n\r\nhello\n'
END
for i in 1 2; do
	socat TCP-LISTEN:1810$i,bind=127.0.0.1,reuseaddr,fork EXEC:"bash answer" 2>/dev/null &
done
cat >haproxy.cfg <<'END'
global
	stats socket /run/haproxy/admin.sock mode 600 level admin
defaults
	mode http
	timeout connect 2s
	timeout client 20s
	timeout server 20s
listen slow-9999
	bind 127.0.0.1:18100
	balance roundrobin
	server controller1 127.0.0.1:18101 check
	server controller2 127.0.0.1:18102 check
listen hop-slow-9999
	bind 127.0.0.1:18110
	server controller1 127.0.0.1:18101
listen hop-other-8888
	bind 127.0.0.1:18120
	server controller1 127.0.0.1:18101
END
haproxy -db -f haproxy.cfg 2>/dev/null &
echo $! >/run/updraft/haproxy.pid
until test -S /run/haproxy/admin.sock; do sleep 0.1; done
request() {
	exec 3<>/dev/tcp/127.0.0.1/$1
	printf 'GET / HTTP/1.0\r\n\r\n' >&3
	grep -q hello <&3 && touch answered.$2
}
request 18100 1 & request 18100 2 & request 18110 3 &
busy() { echo 'show stat -1 4 -1' | socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock | cut -d, -f5 | paste -sd+ | sed 's/[^0-9+]//g; s/^+*//; s/++*/+/g; s/+$//'; }
until test "$(($(busy)))" -ge 3; do sleep 0.05; done
bash -c "$1" drain "${@:2}"
echo answered: answered.*
echo 'show stat -1 4 -1' | socat -t 5 - UNIX-CONNECT:/run/haproxy/admin.sock | awk -F , '$18 == "MAINT" { print $1 "/" $2 }'
kill $(jobs -p) 2>/dev/null
wait 2>/dev/null
`

func TestWhatLeavesHAProxyWaitsForWhatIsUnderWay(t *testing.T) {
	b := newBox(t, "infra")
	script, err := os.ReadFile("../../internal/openstack/haproxy/drain.sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		rule string
		args []string
		want string
	}{
		{"a program that ends, with what other controllers sent", []string{"leave", "9999", "controller1"}, "answered: answered.1 answered.2 answered.3\nslow-9999/controller1\nhop-slow-9999/controller1"},
		{"all that other controllers sent", []string{"hops"}, "answered: answered.1 answered.2 answered.3\nhop-slow-9999/controller1\nhop-other-8888/controller1"},
		{"all that clients sent", []string{"clients"}, "answered: answered.1 answered.2 answered.3"},
	} {
		words := append([]string{"bash", "-c", drained, "test", string(script)}, x.args...)
		out, err := b.run("-euc", "podman run box/infra:x "+transport.Quote(words...))
		if err != nil || strings.TrimSpace(out) != x.want {
			t.Errorf("%s: %v, got\n%s\nand not\n%s", x.rule, err, out, x.want)
		}
	}
}
