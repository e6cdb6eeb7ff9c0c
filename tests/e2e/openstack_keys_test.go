package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/updraft-cloud/updraft/internal/netns"
)

// rotateKeys is what a timer does: updraft has no part in it.
const rotateKeys = `/usr/local/lib/updraft/updraft-keys apply -at "$1" /etc/updraft/keystone/keys.json`

// keyRotations rotates Keystone's keys ahead of time, and by updraft, and looks
// whether what was there before is still good.
func keyRotations(t *testing.T, c *cloud) {
	client := c.client(t)
	issue := func() string { return strings.TrimSpace(client("token", "issue", "-f", "value", "-c", "id")) }
	tokens := []string{issue()}
	var ec2 struct{ Access, Secret string }
	if err := json.Unmarshal([]byte(client("ec2", "credentials", "create", "-f", "json")), &ec2); err != nil || ec2.Secret == "" {
		t.Fatalf("there is no credential: %v", err)
	}
	defer client("ec2", "credentials", "delete", ec2.Access)
	valid := validator(t, c)
	good := func(when string) {
		t.Helper()
		for i, token := range tokens {
			if status := valid(token); status != http.StatusOK {
				t.Errorf("%s: token %d is not valid: %d", when, i, status)
			}
		}
		if got := strings.TrimSpace(client("ec2", "credentials", "show", ec2.Access, "-f", "value", "-c", "secret")); got != ec2.Secret {
			t.Errorf("%s: the credential is another", when)
		}
	}
	on := func(script string, args ...string) string {
		t.Helper()
		return c.run(append([]string{"exec", "controller1", "--", "sh", "-euc", script, "sh"}, args...)...).stdout
	}
	const digests = "cd /var/lib/updraft/keystone; sha256sum fernet-keys/1000000 credential-keys/1000000"
	before := on(digests)
	on("systemctl is-active updraft-keystone-keys.timer")
	on(rotateKeys, time.Now().Add(24*time.Hour).UTC().Format(time.RFC3339))
	if on(digests) == before {
		t.Fatal("the primary key of tokens is the same")
	}
	tokens = append(tokens, issue())
	good("a day later")
	on("systemctl start updraft-keystone-keys.service")
	if on(digests) != before {
		t.Error("the keys do not follow the clock")
	}
	good("back from there")
	c.run("plan")

	const hash = "SELECT DISTINCT key_hash FROM keystone.credential"
	was := on(sqlScript, hash)
	on(rotateKeys+"\nsystemctl start updraft-keystone-credentials.service", time.Now().AddDate(0, 0, 90).UTC().Format(time.RFC3339))
	if now := on(sqlScript, hash); now == was || strings.Count(now, "\n") != strings.Count(was, "\n") {
		t.Errorf("credentials are encrypted with %q, and were with %q", now, was)
	}
	c.run("apply")
	good("back from three months later")

	c.run("secrets", "rotate", "keystone-fernet", "keystone-credential")
	c.run("apply")
	if on(digests) == before {
		t.Error("the primary keys are the same")
	}
	good("with other master keys")
	c.expectSettled()
}

// validator returns a function that has Keystone judge a token. Keystone's cache is
// emptied before, so that it has to.
func validator(t *testing.T, c *cloud) func(token string) int {
	t.Helper()
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(c.run("secrets", "export-ca").stdout)) {
		t.Fatal("there is no authority")
	}
	ns, err := netns.Open("ud-" + c.name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DialContext: ns.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true,
	}}
	return func(token string) int {
		t.Helper()
		c.run("exec", "controller1", "--", "bash", "-c", `exec 3<>/dev/tcp/127.0.0.1/11211; printf 'flush_all\r\n' >&3; read -r answer <&3`)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://10.89.0.10:5000/v3/auth/tokens", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Auth-Token", token)
		r.Header.Set("X-Subject-Token", token)
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		return answer.StatusCode
	}
}
