package archtest

import (
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/updraft-cloud/updraft/"

// layers lists the packages from the bottom up. A package may import those of
// layers below its own, and its own subtree. The reason for each boundary
// stands beside it.
var layers = []struct {
	reason string
	pkgs   []string
}{
	{"leaves: standard library only, so that anything may use them",
		[]string{"addr", "diag", "drift", "graph", "retry", "stats", "localweb", "netns", "timeline", "proc", "sshkey", "aptconf"}},
	{"each reads one thing (a file, a wire, a store) and knows none of the others",
		[]string{"spec", "transport", "engine", "pkgcache", "docgen", "secret", "image", "netdump"}},
	{"what runs on a host, and who makes machines: contracts and their implementations",
		[]string{"resource", "machine"}},
	{"the load-balancing service: a product of its own that knows nothing of hosts and clouds",
		[]string{"lb"}},
	{"the agent executes resources on a host",
		[]string{"hostagent"}},
	{"executors of the graph's scopes, checks, hand-off, what is seen of a cloud",
		[]string{"fleet", "provision", "verify", "handoff", "status", "logbundle", "backup"}},
	{"what is deployed",
		[]string{"configset", "openstack"}},
	{"the one list of what is deployed",
		[]string{"catalogue"}},
	{"from a cloud to a graph, purely",
		[]string{"compile"}},
	{"what people see",
		[]string{"ui"}},
	{"the one place where everything is put together",
		[]string{"cli"}},
}

// walls keep third-party packages where they belong.
var walls = []struct {
	pkg    string
	only   []string
	reason string
}{
	{"github.com/spf13/cobra", []string{"cli"}, "commands are a way in, not a way of working"},
	{"golang.org/x/crypto/ssh", []string{"transport/ssh"}, "who can speak SSH can hold keys: one place to audit"},
	{"github.com/vishvananda/netlink", []string{"machine/lab", "lb/driver", "lb/agent", "netdump"}, "only the lab and what carries load balancers make networks on this computer"},
	{"filippo.io/age", []string{"secret"}, "one place where secrets are at rest"},
	{"github.com/google/go-containerregistry", []string{"image"}, "one place that knows what an image is made of"},
	{"github.com/gophercloud/gophercloud", []string{"openstack", "lb/driver"}, "one place on each side that speaks to OpenStack's API"},
	{"go.etcd.io", []string{"lb/store"}, "one place that knows how load balancers are stored"},
	{"github.com/chromedp", nil, "a browser is for tests"},
	{"go.yaml.in/yaml/v4", []string{"spec", "lb/driver/local", "lb/auth"}, "everything else sees typed values with positions"},
}

func TestImportsPointDownOnly(t *testing.T) {
	level := map[string]int{}
	for i, l := range layers {
		for _, p := range l.pkgs {
			level[p] = i
		}
	}
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.path, "_test.go") || !strings.HasPrefix(f.path, "internal/") {
			continue
		}
		own := top(strings.TrimPrefix(f.path, "internal/"))
		if own == "archtest" {
			continue
		}
		mine, ok := level[own]
		if !ok {
			t.Errorf("%s: package %s has no layer; give it one with a reason", f.path, own)
			continue
		}
		for _, imp := range imports(t, f) {
			checkLayer(t, f.path, own, mine, level, imp)
			checkWalls(t, f.path, imp)
		}
	}
}

func checkLayer(t *testing.T, path, own string, mine int, level map[string]int, imp string) {
	t.Helper()
	rest, ours := strings.CutPrefix(imp, module+"internal/")
	if !ours {
		if mine == 0 && strings.Contains(strings.SplitN(imp, "/", 2)[0], ".") && !strings.HasPrefix(imp, "golang.org/x/sys") {
			t.Errorf("%s imports %s: %s", path, imp, layers[0].reason)
		}
		return
	}
	other := top(rest)
	if other == own {
		return
	}
	if theirs, ok := level[other]; ok && theirs > mine {
		t.Errorf("%s (layer %d, %s) imports %s (layer %d, %s)", path, mine, layers[mine].reason, other, theirs, layers[theirs].reason)
	}
}

func checkWalls(t *testing.T, path, imp string) {
	t.Helper()
	for _, w := range walls {
		if imp != w.pkg && !strings.HasPrefix(imp, w.pkg+"/") {
			continue
		}
		inside := false
		for _, only := range w.only {
			inside = inside || strings.HasPrefix(path, "internal/"+only+"/")
		}
		if !inside {
			t.Errorf("%s imports %s, which only %v may: %s", path, imp, w.only, w.reason)
		}
	}
}

func top(path string) string {
	name, _, _ := strings.Cut(path, "/")
	return name
}

func imports(t *testing.T, f file) []string {
	t.Helper()
	parsed, err := parser.ParseFile(token.NewFileSet(), f.path, f.data, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, s := range parsed.Imports {
		p, err := strconv.Unquote(s.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}
