package compile_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/updraft-cloud/updraft/internal/catalogue"
	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/fleet"
	"github.com/updraft-cloud/updraft/internal/machine"
	"github.com/updraft-cloud/updraft/internal/machine/lab"
	"github.com/updraft-cloud/updraft/internal/openstack/check"
	"github.com/updraft-cloud/updraft/internal/openstack/release"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/resource/all"
	"github.com/updraft-cloud/updraft/internal/spec"
)

var update = flag.Bool("update", false, "write what was got into the golden files")

func compileText(t *testing.T, name string, text []byte) (*compile.Output, diag.List) {
	t.Helper()
	cloud, diags := spec.Parse(name, text, spec.Options{})
	if diags.HasErrors() {
		return nil, diags
	}
	return compile.Compile(compile.Input{
		Cloud: cloud, Sets: catalogue.Sets(), Kinds: all.Registry(), Provider: lab.New(lab.Options{}),
		Access: func(*spec.Host) machine.Access { return machine.Access{User: "root", Port: 22} },
		Body:   fleet.Body, OpenStack: openStack(t),
	})
}

// service is a thing beside the cloud that is always there.
type service struct{}

func (service) Digest() string           { return "service" }
func (service) Removal() json.RawMessage { return nil }
func (service) Observe(context.Context) (drift.Report, error) {
	return drift.Report{Status: drift.InSync}, nil
}
func (service) Ensure(context.Context, func(string, ...any)) error { return nil }

// secrets are their names.
type secrets struct{}

func (secrets) Password(name string) string                             { return "password of " + name }
func (secrets) FernetKeys(name string) map[string]string                { return map[string]string{"0": name} }
func (secrets) Certificate(name string, _ ...string) (cert, key string) { return name, name }
func (secrets) Authority() string                                       { return "authority" }

func openStack(t *testing.T) *compile.OpenStack {
	t.Helper()
	rel, err := release.Load(release.Default)
	if err != nil {
		t.Fatal(err)
	}
	return &compile.OpenStack{
		Release: rel, Secrets: secrets{}, API: service{}, Proof: service{}, Store: "/images",
		Image: func(string) (provision.Service, error) { return service{}, nil },
		Registry: &compile.Registry{
			Program: []byte("program"), Answer: service{}, Pushed: func(string) (provision.Service, error) { return service{}, nil },
			Recipe: func(name string) (string, error) { return "{" + name + "}", nil },
		},
		ProofFile: func(part string) (string, bool) { return "/proof/" + part, part != "nothing" },
		File:      func(path string) string { return "/dir/" + path },
		Checks:    check.Kinds(check.Cloud{}),
	}
}

// graphText lists nodes in the order of the graph, with what they need.
func graphText(g *engine.Graph) string {
	var b strings.Builder
	for _, n := range g.Nodes() {
		id := n.ID
		if strings.HasPrefix(id, "image:") {
			id = "image:*" // its digest changes with the way of building
		}
		fmt.Fprintf(&b, "%s [%s]", id, n.Phase)
		for _, need := range n.Needs {
			if strings.HasPrefix(need, "image:") {
				need = "image:*"
			}
			b.WriteString(" <" + strings.TrimPrefix(need, n.Scope+"/"))
		}
		for _, tr := range n.Triggers {
			b.WriteString(" !" + strings.TrimPrefix(tr, n.Scope+"/"))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// TestGolden compiles every cloud of testdata: the wanted part is the graph, or
// the faults.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no golden files", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			a, err := txtar.ParseFile(name)
			if err != nil {
				t.Fatal(err)
			}
			out, diags := compileText(t, a.Files[0].Name, a.Files[0].Data)
			got := ""
			for _, d := range diags {
				got += d.String() + "\n"
			}
			if !diags.HasErrors() {
				got += graphText(out.Graph)
			}
			if *update {
				a.Files = append(a.Files[:1], txtar.File{Name: "want", Data: []byte(got)})
				if err := os.WriteFile(name, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[1].Data), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestExamplesCompile(t *testing.T) {
	files, err := filepath.Glob("../../examples/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal("no examples", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			if _, diags := compileText(t, name, text); len(diags) > 0 {
				t.Error(diags)
			}
		})
	}
}

func TestTheSameFileGivesTheSameGraph(t *testing.T) {
	text, err := os.ReadFile("../../examples/web.yaml")
	if err != nil {
		t.Fatal(err)
	}
	first, diags := compileText(t, "web.yaml", text)
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	for range 5 {
		again, _ := compileText(t, "web.yaml", text)
		if again.Graph.Digest() != first.Graph.Digest() || graphText(again.Graph) != graphText(first.Graph) {
			t.Fatal("compiling twice gave two graphs")
		}
	}
}

// TestEveryKindsExampleCompiles holds the examples of the reference to what a
// cloud file takes, with the defaults that it fills in.
func TestEveryKindsExampleCompiles(t *testing.T) {
	const head = "version: 1\ncloud: c\nprovider: lab\nnetworks: {mgmt: {cidr: 10.88.0.0/24}}\n" +
		"groups:\n  node:\n    count: 1\n    nics: [mgmt]\n    resources:\n    - "
	for _, k := range all.Registry().Kinds() {
		t.Run(k.Name, func(t *testing.T) {
			body := strings.ReplaceAll("\n"+strings.TrimSpace(k.Example), "\n", "\n        ")
			if _, diags := compileText(t, "cloud.yaml", []byte(head+k.Name+":"+body+"\n")); len(diags) > 0 {
				t.Error(diags)
			}
		})
	}
}
