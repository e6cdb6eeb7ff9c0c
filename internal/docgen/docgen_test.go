package docgen_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/updraft-cloud/updraft/internal/docgen"
	"github.com/updraft-cloud/updraft/internal/spec"
	"go.yaml.in/yaml/v4"
)

// parts are tables as the program has them, in small.
func parts() docgen.Parts {
	return docgen.Parts{
		spec.PartsProviders:  {{Name: "lab", Doc: "On this computer.", Sample: &lab{}}, {Name: "static", Doc: "Hosts that exist."}},
		spec.PartsConfigsets: {{Name: "web", Doc: "Serves.", Sample: &web{Port: 80}}, {Name: "basebox", Sample: &basebox{Given: &user{Name: "ann"}}}, {Name: "edge", Sample: &edge{}}},
		spec.PartsResources: {
			{Name: "file", Doc: "A file.", Sample: &fileBody{}, Example: "path: /etc/motd"},
			{Name: "directory", Doc: "A directory.", Sample: &fileBody{}},
		},
		spec.PartsChecks: {{Name: "http", Sample: &check{}}, {Name: "icmp", Sample: &check{}}, {Name: "tcp", Sample: &check{}}, {Name: "spread", Sample: &check{}}, {Name: "openstack", Sample: &anything{}}, {Name: "vm", Sample: &anything{}}},
		spec.PartsOpenStack: {
			{Name: "flavor", Sample: &anything{}}, {Name: "image", Sample: &anything{}}, {Name: "network", Sample: &anything{}},
			{Name: "subnet", Sample: &anything{}}, {Name: "router", Sample: &anything{}},
		},
	}
}

// anything has what the examples say of parts that other packages know.
type anything struct {
	Name        string            `json:"name"`
	VCPUs       int               `json:"vcpus"`
	RAM         int               `json:"ram"`
	Disk        int               `json:"disk"`
	File        string            `json:"file"`
	Format      string            `json:"format"`
	Kernel      string            `json:"kernel"`
	Ramdisk     string            `json:"ramdisk"`
	Properties  map[string]string `json:"properties"`
	External    any               `json:"external"`
	Type        string            `json:"provider_type"`
	Physical    string            `json:"physical_network"`
	Network     string            `json:"network"`
	CIDR        string            `json:"cidr"`
	Gateway     string            `json:"gateway"`
	DHCP        bool              `json:"dhcp"`
	Pools       []string          `json:"pools"`
	Interfaces  []string          `json:"interfaces"`
	Hypervisors int               `json:"hypervisors"`
	Within      spec.Duration     `json:"within"`
	Image       string            `json:"image"`
	Flavor      string            `json:"flavor"`
}

type lab struct {
	Suite string `json:"suite" default:"trixie" doc:"The Debian release."`
}

type web struct {
	Port int `json:"port" min:"1" max:"65535" doc:"Where it listens."`
}

type edge struct {
	VIP      string        `json:"vip" required:"true" doc:"The virtual address."`
	Backends string        `json:"backends" required:"true" doc:"A group."`
	Port     int           `json:"port"`
	Grace    spec.Duration `json:"grace" default:"5s"`
}

type basebox struct {
	Users   []user `json:"users" doc:"Users."`
	Sources *user  `json:"sources"`
	Given   *user  `json:"given"`
	On      *bool  `json:"on"`
}

type user struct {
	Name string   `json:"name" required:"true"`
	Keys []string `json:"keys"`
}

type fileBody struct {
	Path    string `json:"path" required:"true" doc:"Where."`
	Content string `json:"content"`
	Mode    string `json:"mode" default:"0644"`
}

type check struct {
	Target   string `json:"target"`
	Network  string `json:"network"`
	URL      string `json:"url"`
	Status   int    `json:"status" default:"200"`
	Port     int    `json:"port"`
	Requests int    `json:"requests" default:"300"`
}

func compiled(t *testing.T) *jsonschema.Schema {
	t.Helper()
	text, err := docgen.Schema(spec.FileSample(), parts())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("cloud-file.json", doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile("cloud-file.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, s *jsonschema.Schema, text []byte) error {
	t.Helper()
	var v any
	if err := yaml.Load(text, &v); err != nil {
		t.Fatal(err)
	}
	return s.Validate(v)
}

func TestExamplesAndStarterFitTheSchema(t *testing.T) {
	s := compiled(t)
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples")
	}
	texts := map[string][]byte{"starter": spec.Starter("hello")}
	for _, f := range files {
		if texts[f], err = os.ReadFile(f); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range texts {
		if err := validate(t, s, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestWrongFilesFitNeitherSchemaNorDecoder changes one thing of a good file.
func TestWrongFilesFitNeitherSchemaNorDecoder(t *testing.T) {
	const good = `version: 1
cloud: web
networks: {mgmt: {cidr: 10.88.0.0/24}}
groups:
  web: {count: 2, nics: [mgmt], memory: 256MiB, configsets: {web: {port: 80}}}
verify:
  - {icmp: {target: web}, timeout: 5s}
`
	s := compiled(t)
	if err := validate(t, s, []byte(good)); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct{ rule, old, new string }{
		{"an unknown key", "cloud: web", "cloud: web\nclod: x"},
		{"an unknown key of a group", "count: 2", "cuont: 2"},
		{"a missing version", "version: 1\n", ""},
		{"another version", "version: 1", "version: 2"},
		{"a bad cloud name", "cloud: web", "cloud: Web_1"},
		{"a network without mask", "10.88.0.0/24", "10.88.0.0"},
		{"a list for a map", "networks: {mgmt: {cidr: 10.88.0.0/24}}", "networks: [mgmt]"},
		{"text for a number", "count: 2", "count: two"},
		{"a number above its bound", "count: 2", "count: 1001"},
		{"memory without unit", "256MiB", "256"},
		{"text for a list", "nics: [mgmt]", "nics: mgmt"},
		{"a bad duration", "timeout: 5s", "timeout: 5"},
		{"two kinds of check", "icmp: {target: web}", "icmp: {target: web}, http: {}"},
		{"an unknown kind of check", "icmp: {target: web}", "ping: {}"},
		{"a NIC without network", "[mgmt]", "[{address: 10.88.0.5}]"},
		{"a bad group name", "  web:", "  We_b:"},
		{"an unknown provider", "cloud: web", "cloud: web\nprovider: moon"},
		{"a number for true or false", "cloud: web", "cloud: web\npackage_cache: 5"},
		{"a bad URL", "cloud: web", "cloud: web\nproxy: {http: proxy}"},
	} {
		text := []byte(strings.Replace(good, tc.old, tc.new, 1))
		if validate(t, s, text) == nil {
			t.Errorf("%s: the schema takes it", tc.rule)
		}
		if _, faults := spec.Parse("cloud.yaml", text, spec.Options{}); !faults.HasErrors() {
			t.Errorf("%s: Parse takes it", tc.rule)
		}
	}
}

// TestTheSchemaTakesWhatParseTakes reads the golden files of package spec.
func TestTheSchemaTakesWhatParseTakes(t *testing.T) {
	text, err := docgen.Schema(spec.FileSample(), docgen.Parts{}) // the golden files name parts that are not there
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("x.json", doc); err != nil {
		t.Fatal(err)
	}
	s := c.MustCompile("x.json")
	files, err := filepath.Glob("../spec/testdata/good-*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files")
	}
	for _, f := range files {
		ar, err := txtar.ParseFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range ar.Files {
			if part.Name != "cloud.yaml" {
				continue
			}
			if err := validate(t, s, part.Data); err != nil {
				t.Errorf("%s: %v", f, err)
			}
		}
	}
}

func TestOutputIsTheSameEveryTime(t *testing.T) {
	first, err := docgen.Schema(spec.FileSample(), parts())
	if err != nil {
		t.Fatal(err)
	}
	reference := docgen.Reference(spec.FileSample(), parts())
	for range 5 {
		again, err := docgen.Schema(spec.FileSample(), parts())
		if err != nil || !bytes.Equal(first, again) {
			t.Fatal("the schema differs")
		}
		if !bytes.Equal(reference, docgen.Reference(spec.FileSample(), parts())) {
			t.Fatal("the reference differs")
		}
	}
}

func TestReferenceNamesEverything(t *testing.T) {
	text := string(docgen.Reference(spec.FileSample(), parts()))
	for _, want := range []string{
		"| `cloud` | name | *required* |", "### networks.NAME", "| `mtu` | whole number from 576 to 65535 | `1500` |",
		"### groups.NAME.nics.N", "### configset: web", "| `port` | whole number from 1 to 65535 | `80` | Where it listens. |",
		"### resource: file", "path: /etc/motd", "### configset: basebox.users.N", "*required*",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing", want)
		}
	}
}
