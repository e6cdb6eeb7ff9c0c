package lab_test

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/handoff"
)

// handedOver writes the hand-off of a small cloud into a directory whose name
// needs quoting, and returns the directory.
func handedOver(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "hand off & more")
	nic := func(network, addr string) handoff.NIC {
		return handoff.NIC{Network: network, Address: netip.MustParsePrefix(addr)}
	}
	ssh := func(name, addr string) handoff.SSH {
		return handoff.SSH{
			Address: addr, Port: 22, User: "root", HostKeyAlias: name,
			Identity: dir + "/id 100%", KnownHosts: dir + "/known hosts",
			ProxyCommand: []string{"/opt/up draft/updraft", "lab", "connect", "--cloud", "it's 100%h", "%h", "%p"},
		}
	}
	web2 := handoff.Host{Name: "web2", Group: "web", Roles: []string{"nginx-site"}, SSH: ssh("web2", "10.88.0.12"),
		NICs: []handoff.NIC{nic("mgmt", "10.88.0.12/24"), nic("data", "10.88.17.12/20")}}
	web2.NICs[1].Address6 = netip.MustParsePrefix("fd00:88:1::c/64")
	in := handoff.Input{
		Cloud: "web", Domain: "web.internal", Dir: dir,
		Hosts: []handoff.Host{
			{Name: "web1", Group: "web", Roles: []string{"nginx-site"}, SSH: ssh("web1", "10.88.0.11"),
				NICs: []handoff.NIC{nic("mgmt", "10.88.0.11/24"), nic("data", "10.88.16.11/20")}},
			web2,
			{Name: "db1", Group: "db", SSH: handoff.SSH{Address: "db1.example.org", Port: 2222, User: "ada", ProxyJump: "ada@jump.example.org:2200"}},
		},
		VIPs: []handoff.VIP{{Name: "front", Network: "data", Address: netip.MustParseAddr("10.88.16.100"), Group: "web"}},
		Networks: []handoff.Network{
			{Name: "mgmt", CIDR: netip.MustParsePrefix("10.88.0.0/24"), Deployer: netip.MustParseAddr("10.88.0.1")},
			{Name: "data", CIDR: netip.MustParsePrefix("10.88.16.0/20"), CIDR6: netip.MustParsePrefix("fd00:88:1::/64")},
		},
	}
	files, err := handoff.Files(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := handoff.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	return dir
}

func output(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "ANSIBLE_NOCOLOR=1", "HOME="+t.TempDir())
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v: %s%s", name, args, err, stderr.String(), out)
	}
	if s := stderr.String(); strings.Contains(s, "WARNING") {
		t.Errorf("%s %v warns: %s", name, args, s)
	}
	return string(out)
}

func TestAnsibleReadsBothInventoriesAlike(t *testing.T) {
	requireTools(t, "ansible-inventory")
	dir := handedOver(t)
	var ini, yaml map[string]any
	for name, into := range map[string]*map[string]any{"hosts": &ini, "hosts.yaml": &yaml} {
		if err := json.Unmarshal([]byte(output(t, "ansible-inventory", "-i", filepath.Join(dir, name), "--list")), into); err != nil {
			t.Fatal(err)
		}
	}
	if !reflect.DeepEqual(ini["_meta"], yaml["_meta"]) || !reflect.DeepEqual(ini["web"], yaml["web"]) {
		t.Errorf("the inventories differ:\n%v\n%v", ini, yaml)
	}
	vars := ini["_meta"].(map[string]any)["hostvars"].(map[string]any)["web2"].(map[string]any)
	want := map[string]any{
		"ansible_ssh_common_args": "-F '" + dir + "/ssh_config'", "updraft_group": "web",
		"updraft_address": "10.88.0.12", "updraft_address_mgmt": "10.88.0.12", "updraft_address_data": "10.88.17.12",
	}
	if !reflect.DeepEqual(vars, want) {
		t.Errorf("web2 has %v, want %v", vars, want)
	}
	if role := ini["nginx_site"].(map[string]any)["hosts"]; !reflect.DeepEqual(role, []any{"web1", "web2"}) {
		t.Errorf("the role's group holds %v", role)
	}
}

func TestSSHReadsTheConfig(t *testing.T) {
	requireTools(t, "ssh")
	dir := handedOver(t)
	tests := []struct{ host, want string }{
		{"web1", "hostname 10.88.0.11\nuser root\nport 22\nhostkeyalias web1\nidentitiesonly yes\nstricthostkeychecking true\ncontrolmaster false\n" +
			"identityfile " + dir + "/id 100%%\nuserknownhostsfile \"" + dir + "/known hosts\"\n" +
			`proxycommand '/opt/up draft/updraft' lab connect --cloud 'it'\''s 100%%h' %h %p`},
		{"web2.web.internal", "hostname 10.88.0.12\nhostkeyalias web2"},
		{"db1", "hostname db1.example.org\nuser ada\nport 2222\nproxyjump ada@jump.example.org:2200"},
	}
	for _, tt := range tests {
		got := output(t, "ssh", "-G", "-F", filepath.Join(dir, "ssh_config"), tt.host)
		for line := range strings.SplitSeq(tt.want, "\n") {
			if !strings.Contains("\n"+got, "\n"+line+"\n") && !strings.Contains("\n"+got, "\n"+strings.ReplaceAll(line, `"`, "")+"\n") {
				t.Errorf("%s: no %q in\n%s", tt.host, line, got)
			}
		}
	}
}

// TestSSHRunsTheProxyCommandAsGiven lets ssh expand and run a proxy command that
// writes down its arguments.
func TestSSHRunsTheProxyCommandAsGiven(t *testing.T) {
	requireTools(t, "ssh")
	dir := filepath.Join(t.TempDir(), "a b")
	got := filepath.Join(t.TempDir(), "args")
	args := []string{"it's", "$(reboot)", "100%h", "a\"b", `back\slash`, "*", ""}
	in := handoff.Input{Cloud: "web", Domain: "web.internal", Dir: dir, Hosts: []handoff.Host{{
		Name: "web1", Group: "web", SSH: handoff.SSH{Address: "10.88.0.11", Port: 2222, User: "root",
			ProxyCommand: append([]string{"/bin/sh", "-c", `f=$1; shift; printf '%s\n' "$@" >"$f"`, "sh", got, "%h", "%p"}, args...)},
	}}}
	files, err := handoff.Files(in)
	if err != nil {
		t.Fatal(err)
	}
	if err := handoff.Write(dir, files); err != nil {
		t.Fatal(err)
	}
	_ = exec.Command("ssh", "-F", filepath.Join(dir, "ssh_config"), "web1", "true").Run() // fails: there is no server behind the command
	text, err := os.ReadFile(got)
	if err != nil {
		t.Fatal(err)
	}
	if want := "10.88.0.11\n2222\n" + strings.Join(args, "\n") + "\n"; string(text) != want {
		t.Errorf("the command got %q, want %q", text, want)
	}
}

func TestBINDReadsTheZones(t *testing.T) {
	requireTools(t, "named-checkzone")
	dir := handedOver(t)
	zones, err := filepath.Glob(filepath.Join(dir, "zone*"))
	if err != nil || len(zones) != 5 {
		t.Fatalf("zones %v, %v", zones, err)
	}
	for _, path := range zones {
		origin := strings.TrimPrefix(filepath.Base(path), "zone.")
		if origin == "zone" {
			origin = "web.internal"
		}
		out := output(t, "named-checkzone", "-k", "fail", "-n", "fail", origin, path)
		if !strings.HasSuffix(strings.TrimSpace(out), "OK") {
			t.Errorf("%s: %s", origin, out)
		}
	}
}

func TestGetentReadsTheHostsFragment(t *testing.T) {
	requireTools(t, "getent", "unshare")
	dir := handedOver(t)
	// A mount namespace of its own: /etc/hosts of this computer stays as it is.
	out := output(t, "unshare", "--mount", "sh", "-c",
		`mount --bind "$1" /etc/hosts && getent -s hosts:files hosts front.web.internal web1.data web2`, "sh", filepath.Join(dir, "etc-hosts"))
	want := "10.88.16.100 front.web.internal front\n10.88.16.11 web1.data.web.internal web1.data\n10.88.0.12 web2.web.internal web2 web2.mgmt.web.internal web2.mgmt\n"
	if got := squeeze(out); got != want {
		t.Errorf("getent says\n%swant\n%s", got, want)
	}
}

func squeeze(s string) string {
	var b strings.Builder
	for line := range strings.Lines(s) {
		b.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
	}
	return b.String()
}
