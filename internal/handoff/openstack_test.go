package handoff

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// awkward is a password that every format must escape.
const awkward = `p'a"s\s $HOME {region} %s #x: ünï` + "`id`"

func certificate(kind string) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte("not looked at here")}))
}

func openstackSample() Input {
	in := sample()
	in.OpenStack = &OpenStack{
		AuthURL: "https://10.88.0.10:5000/v3", Region: "Region One", Project: "admin", User: "admin", Password: awkward,
		CA: certificate("CERTIFICATE") + certificate("CERTIFICATE"),
		Endpoints: []Endpoint{
			{"nova", "compute", "https://10.88.0.10:8774/v2.1"},
			{"horizon", "", "https://10.88.0.10:443/"},
		},
	}
	return in
}

func openstackFile(t *testing.T, name string) File {
	t.Helper()
	files, err := Files(openstackSample())
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("%s is missing", name)
	}
	return files[i]
}

func TestPasswordIsForTheOwnerOnly(t *testing.T) {
	files, err := Files(openstackSample())
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text := string(f.Content)
		secret := strings.Contains(text, "p'a") || strings.Contains(text, `p\'a`) || strings.Contains(text, `p'\''a`)
		if secret != slices.Contains([]string{"clouds.yaml", "openrc"}, f.Name) || secret != (f.Mode == 0o600) {
			t.Errorf("%s has mode %o and the password: %v", f.Name, f.Mode, secret)
		}
	}
	if _, err := Files(sample()); err != nil {
		t.Error("a cloud without OpenStack:", err)
	}
}

func TestCloudsYAMLSaysWhatItIsGiven(t *testing.T) {
	var got struct {
		Clouds map[string]struct {
			Auth    map[string]string `yaml:"auth"`
			Region  string            `yaml:"region_name"`
			CA      string            `yaml:"cacert"`
			Iface   string            `yaml:"interface"`
			Version int               `yaml:"identity_api_version"`
		} `yaml:"clouds"`
	}
	if err := yaml.Unmarshal(openstackFile(t, "clouds.yaml").Content, &got); err != nil {
		t.Fatal(err)
	}
	c := got.Clouds["web"]
	if c.Auth["password"] != awkward || c.Auth["auth_url"] != "https://10.88.0.10:5000/v3" || c.Auth["user_domain_name"] != "Default" {
		t.Errorf("got %v", c.Auth)
	}
	if c.Region != "Region One" || c.CA != "/home/ada l/hand-off/ca.pem" || c.Iface != "public" || c.Version != 3 {
		t.Errorf("got %+v", c)
	}
}

func TestOpenrcSaysWhatItIsGiven(t *testing.T) {
	path := filepath.Join(t.TempDir(), "openrc")
	if err := os.WriteFile(path, openstackFile(t, "openrc").Content, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-euc", `. "$0"; printf '%s\n' "$OS_PASSWORD" "$OS_AUTH_URL" "$OS_CACERT" "$OS_REGION_NAME" "${OS_CLOUD-unset}"`, path)
	cmd.Env = append(os.Environ(), "OS_CLOUD=other")
	out, err := cmd.CombinedOutput()
	want := strings.Join([]string{awkward, "https://10.88.0.10:5000/v3", "/home/ada l/hand-off/ca.pem", "Region One", "unset", ""}, "\n")
	if err != nil || string(out) != want {
		t.Errorf("%v: got\n%s", err, out)
	}
}

func TestFilesSayWhereClientsReachTheCloud(t *testing.T) {
	in := openstackSample()
	for _, tc := range []struct {
		rule    string
		through []string
		want    string
	}{
		{"from here", nil, " openstack "},
		{"from a namespace", []string{"ip", "netns", "exec", "ud-web"}, " ip netns exec ud-web openstack "},
		{"words are quoted", []string{"in", "the lab"}, " in 'the lab' openstack "},
	} {
		in.OpenStack.Through = tc.through
		files, err := Files(in)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if f.Name != "clouds.yaml" && f.Name != "openrc" {
				continue
			}
			if first, _, _ := strings.Cut(string(f.Content), "\n"); !strings.Contains(first, tc.want) {
				t.Errorf("%s: %s says %q", tc.rule, f.Name, first)
			}
		}
	}
}

func TestEndpointsAreListed(t *testing.T) {
	var got struct {
		Cloud     string
		Endpoints []Endpoint
	}
	if err := json.Unmarshal(openstackFile(t, "endpoints.json").Content, &got); err != nil || got.Cloud != "web" || len(got.Endpoints) != 2 {
		t.Errorf("%v: %+v", err, got)
	}
	want := "SERVICE  TYPE     URL\nnova     compute  https://10.88.0.10:8774/v2.1\nhorizon  -        https://10.88.0.10:443/\n"
	if text := string(openstackFile(t, "endpoints.txt").Content); text != want {
		t.Errorf("got\n%s", text)
	}
}

func TestOpenStackThatNoFormatCanCarryIsRefused(t *testing.T) {
	for _, c := range []struct {
		rule   string
		change func(*OpenStack)
		want   string
	}{
		{"no password", func(o *OpenStack) { o.Password = "" }, "a password"},
		{"a password of two lines", func(o *OpenStack) { o.Password = "hunter2\nx" }, "a password"},
		{"a control character that YAML has no place for", func(o *OpenStack) { o.User = "a\u0081" }, "the user"},
		{"a region that would be expanded", func(o *OpenStack) { o.Region = "{auth}" }, "the region"},
		{"a URL that is none", func(o *OpenStack) { o.AuthURL = "10.88.0.10:5000" }, "the authentication URL"},
		{"a URL with a password", func(o *OpenStack) { o.AuthURL = "https://a:b@c/" }, "the authentication URL"},
		{"an endpoint with a line end", func(o *OpenStack) { o.Endpoints[0].URL += "\n" }, "the endpoint"},
		{"a service that breaks the table", func(o *OpenStack) { o.Endpoints[0].Service = "a\tb" }, "a service called"},
		{"a private key beside the authority", func(o *OpenStack) { o.CA += certificate("PRIVATE KEY") }, "an authority"},
		{"what is left of a private key", func(o *OpenStack) { o.CA = "MIGHAgEAMBMGByqGSM49\n" + o.CA }, "an authority"},
	} {
		t.Run(c.rule, func(t *testing.T) {
			in := openstackSample()
			c.change(in.OpenStack)
			_, err := Files(in)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// The stock client's own library reads the file to the same values. It is in
// Debian's python3-openstackclient.
func TestOpenstackSDKReadsCloudsYAML(t *testing.T) {
	const python = "/usr/bin/python3"
	if err := exec.Command(python, "-c", "import openstack").Run(); err != nil {
		if strings.Contains(os.Getenv("REQUIRE"), "lab") {
			t.Fatal("install python3-openstackclient: ", err)
		}
		t.Skip("there is no openstacksdk")
	}
	path := filepath.Join(t.TempDir(), "clouds.yaml")
	if err := os.WriteFile(path, openstackFile(t, "clouds.yaml").Content, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", `
import json, sys
from openstack.config import OpenStackConfig
c = OpenStackConfig(config_files=[sys.argv[1]], load_envvars=False).get_one("web")
print(json.dumps([c.config["auth"]["password"], c.config["auth"]["auth_url"], c.config["auth"]["project_name"],
                  c.region_name, c.config["cacert"], c.config["interface"], c.get_requests_verify_args()[0]]))
`, path)
	out, err := cmd.CombinedOutput()
	var got []string
	if err != nil || json.Unmarshal(out, &got) != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ca := "/home/ada l/hand-off/ca.pem"
	if want := []string{awkward, "https://10.88.0.10:5000/v3", "admin", "Region One", ca, "public", ca}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
