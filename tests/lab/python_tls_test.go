package lab_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/transport"
)

// staleError has two ends of TLS shake hands in memory, leaves an error of a system
// call in OpenSSL's queue, as a connection does whose peer has died, and reads where
// there is nothing to read yet.
const staleError = `
import ctypes, ssl

def end(side):
    c = ssl.SSLContext(side)
    c.check_hostname, c.verify_mode = False, ssl.CERT_NONE
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    c.set_ciphers("AECDH-AES256-SHA:@SECLEVEL=0")
    return c

up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
client = end(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(down, up)
server = end(ssl.PROTOCOL_TLS_SERVER).wrap_bio(up, down, server_side=True)
for one in (client, server) * 3:
    try:
        one.do_handshake()
    except ssl.SSLWantReadError:
        pass
crypto = ctypes.CDLL("libcrypto.so.3")
crypto.ERR_new()
crypto.ERR_set_error(2, 110, None)
try:
    client.read(1)
except Exception as e:
    print(type(e).__name__)
`

func TestAnErrorOfOneTLSConnectionIsNotToldOfOthers(t *testing.T) {
	b := newBox(t, "openstack")
	for _, test := range []struct{ rule, option, want string }{
		{"Python itself tells it of another connection, for otherwise updraft_tls.py is not needed any more", "-S", "TimeoutError"},
		{"Python in an image asks for patience", "-I", "SSLWantReadError"},
	} {
		out, err := b.run("-euc", "podman run box/openstack:x "+transport.Quote("python3", test.option, "-c", staleError))
		if err != nil || strings.TrimSpace(out) != test.want {
			t.Errorf("%s: got %q, %v, want %s", test.rule, out, err, test.want)
		}
	}
}
