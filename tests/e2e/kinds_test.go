package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// throwawayCloud has one host for the tests of tests/onhost to break.
const throwawayCloud = `version: 1
cloud: labkinds
provider: lab
networks: {mgmt: {cidr: 10.89.24.0/24}}
package_cache: true
configsets: {basebox: {packages: [nftables]}}
groups: {throwaway: {count: 1, nics: [mgmt], memory: 512MiB}}
`

// TestEveryKindOnARealHost runs the cases of all kinds on a host of the lab.
func TestEveryKindOnARealHost(t *testing.T) {
	needLab(t)
	binary := filepath.Join(t.TempDir(), "onhost.test")
	build := exec.CommandContext(t.Context(), "go", "test", "-c", "-o", binary, "../onhost")
	build.Env = append(os.Environ(), "CGO_ENABLED=0") // the host has another libc
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	c := newCloud(t, "labkinds", throwawayCloud)
	c.run("up")
	conf := filepath.Join(strings.TrimSpace(c.run("handoff").stdout), "ssh_config")
	if out, err := exec.CommandContext(t.Context(), "scp", "-F", conf, binary, "throwaway1:/root/onhost.test").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), "ssh", "-F", conf, "throwaway1", "UPDRAFT_THROWAWAY=1 /root/onhost.test -test.v -test.timeout 5m").CombinedOutput()
	text := string(out)
	if err != nil || !strings.HasSuffix(text, "\nPASS\n") || strings.Contains(text, "--- SKIP") {
		t.Fatalf("on the host: %v\n%s", err, text)
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "refused as it should be") {
			t.Log(strings.TrimSpace(line))
		}
	}
	t.Logf("%d cases and drifts hold", strings.Count(text, "--- PASS: "))
}
