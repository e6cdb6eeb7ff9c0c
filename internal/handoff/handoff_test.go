package handoff

import (
	"bytes"
	"flag"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func sample() Input {
	host := func(name, group, mgmt, data string, roles ...string) Host {
		h := Host{Name: name, Group: group, Roles: roles, NICs: []NIC{
			{Name: "eth0", Network: "mgmt", MAC: "02:00:5e:00:53:01", Address: netip.MustParsePrefix(mgmt)},
			{Name: "eth1", Network: "data", Address: netip.MustParsePrefix(data)},
		}}
		h.SSH = SSH{
			Address: h.NICs[0].Address.Addr().String(), Port: 22, User: "root",
			Identity: "/home/ada l/.updraft/web/id_ed25519", KnownHosts: "/home/ada l/.updraft/web/known_hosts", HostKeyAlias: name,
			ProxyCommand: []string{"/opt/up draft/updraft", "lab", "connect", "--cloud", "web", "%h", "%p"},
		}
		return h
	}
	web2 := host("web2", "web", "10.88.0.22/24", "10.88.17.22/20", "nginx-site")
	web2.NICs[1].Address6 = netip.MustParsePrefix("fd00:88:1::16/64")
	return Input{
		Cloud: "web", Domain: "web.internal", Dir: "/home/ada l/hand-off",
		Hosts: []Host{
			host("edge1", "edge", "10.88.0.11/24", "10.88.16.11/20", "balancer", "edge"),
			host("web1", "web", "10.88.0.21/24", "10.88.16.21/20", "nginx-site"),
			web2,
			{Name: "db1", Group: "db", SSH: SSH{Address: "db1.example.org", Port: 2222, User: "ada", ProxyJump: "ada@jump.example.org:2200"}},
		},
		VIPs: []VIP{{Name: "front", Network: "data", Address: netip.MustParseAddr("10.88.16.100"), Group: "edge"}},
		Networks: []Network{
			{Name: "mgmt", CIDR: netip.MustParsePrefix("10.88.0.0/24"), Deployer: netip.MustParseAddr("10.88.0.1")},
			{Name: "data", CIDR: netip.MustParsePrefix("10.88.16.0/20"), CIDR6: netip.MustParsePrefix("fd00:88:1::/64")},
		},
	}
}

func TestFilesAgreeWithTheGoldenFiles(t *testing.T) {
	files, err := Files(sample())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, f := range files {
		seen[f.Name] = true
		path := filepath.Join("testdata", f.Name)
		if *update {
			if err := os.WriteFile(path, f.Content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(f.Content, want) || f.Mode != 0o644 {
			t.Errorf("%s (mode %o) differs; got:\n%s", f.Name, f.Mode, f.Content)
		}
	}
	for _, name := range []string{"hosts", "hosts.yaml", "ssh_config", "etc-hosts", "facts.json", "zone", "zone.0.88.10.in-addr.arpa"} {
		if !seen[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestTwoRendersAreTheSame(t *testing.T) {
	a, _ := Files(sample())
	b, _ := Files(sample())
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Content, b[i].Content) {
			t.Errorf("%s differs from %s", a[i].Name, b[i].Name)
		}
	}
}

func TestWhatAFormatCannotCarryIsRefused(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Input)
		fault  string
	}{
		{"a host name with a line end", func(in *Input) { in.Hosts[0].Name = "a\nb" }, `a host called "a\nb"`},
		{"two hosts of one name", func(in *Input) { in.Hosts[1].Name = "edge1" }, `a host called "edge1"`},
		{"a VIP named as a host", func(in *Input) { in.VIPs[0].Name = "web1" }, `a VIP called "web1"`},
		{"a group with a bracket", func(in *Input) { in.Hosts[0].Group = "a]" }, `a group called "a]"`},
		{"a user that is an option", func(in *Input) { in.Hosts[0].SSH.User = "-oX" }, `a host with user "-oX"`},
		{"an address that is an option", func(in *Input) { in.Hosts[0].SSH.Address = "-oX" }, `a host at address "-oX"`},
		{"a quote in a path", func(in *Input) { in.Hosts[0].SSH.Identity = `/a"b` }, `the key file`},
		{"an expansion in a path", func(in *Input) { in.Hosts[0].SSH.KnownHosts = `/a/${HOME}` }, `the known_hosts file`},
		{"a jump host with options", func(in *Input) { in.Hosts[0].SSH.ProxyJump = "a -oB" }, `the jump host`},
		{"a line end in a proxy command", func(in *Input) { in.Hosts[0].SSH.ProxyCommand = []string{"a\nHost *"} }, `a proxy command`},
		{"a relative directory", func(in *Input) { in.Dir = "out" }, `into the directory "out"`},
		{"no domain", func(in *Input) { in.Domain = "" }, `the domain ""`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in := sample()
			tt.change(&in)
			if _, err := Files(in); err == nil || !strings.Contains(err.Error(), tt.fault) {
				t.Errorf("err = %v, want %q", err, tt.fault)
			}
		})
	}
}

func TestProxyCommandIsQuotedForShellAndTokens(t *testing.T) {
	for want, argv := range map[string][]string{
		"updraft lab connect --cloud web %h %p": {"updraft", "lab", "connect", "--cloud", "web", "%h", "%p"},
		`'a b' 'it'\''s' '$(reboot)' 100%%`:     {"a b", "it's", "$(reboot)", "100%"},
		`'x %%h' ''`:                            {"x %h", ""},
	} {
		if got := proxyCommand(argv); got != want {
			t.Errorf("%q gives %s, want %s", argv, got, want)
		}
	}
}

func TestEmptyCloud(t *testing.T) {
	files, err := Files(Input{Cloud: "web", Domain: "web.internal", Dir: "/x"})
	if err != nil || len(files) != 6 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

func TestZoneSerialFollowsTheContent(t *testing.T) {
	in := sample()
	a := zones(in)[0].Content
	in.VIPs[0].Address = in.VIPs[0].Address.Next()
	b := zones(in)[0].Content
	if serial(t, a) == serial(t, b) {
		t.Error("the serial is the same for other content")
	}
}

func serial(t *testing.T, zone []byte) string {
	t.Helper()
	head, _, ok := strings.Cut(string(zone), " ; serial")
	if !ok {
		t.Fatalf("no serial in %s", zone)
	}
	return head[strings.LastIndex(head, "\t")+1:]
}

func TestWriteReplacesRemovesStaleAndTouchesNothingElse(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	write := func(files ...File) {
		t.Helper()
		if err := Write(dir, files); err != nil {
			t.Fatal(err)
		}
	}
	file := func(name, text string) File { return File{name, 0o640, []byte(text)} }
	write(file("hosts", "a"), file("zone.old", "b"))
	foreign := filepath.Join(dir, "notes.txt")
	if err := os.WriteFile(foreign, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	before, _ := os.Stat(filepath.Join(dir, "hosts"))
	write(file("hosts", "a"), file("zone", "c"))
	after, err := os.Stat(filepath.Join(dir, "hosts"))
	if err != nil || !os.SameFile(before, after) || after.Mode() != 0o640 {
		t.Errorf("an unchanged file was written again: %v %v", after.Mode(), err)
	}
	want := ".updraft-files hosts notes.txt zone"
	if got := strings.Join(entries(t, dir), " "); got != want {
		t.Errorf("entries %s, want %s", got, want)
	}
}

func TestWriteDoesNotTrustTheManifest(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "out")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	precious := filepath.Join(root, "precious")
	for path, text := range map[string]string{precious: "x", filepath.Join(dir, manifest): "../precious\n" + precious + "\n.\n..\n"} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(precious); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"../x", "a/b", "", ".", ".updraft-files"} {
		if err := Write(dir, []File{{Name: bad}}); err == nil {
			t.Errorf("a file called %q was written", bad)
		}
	}
}

func entries(t *testing.T, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			names = append(names, d.Name())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
