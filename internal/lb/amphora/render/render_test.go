package render_test

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render"
	"github.com/updraft-cloud/updraft/internal/lb/amphora/render/rendertest"
	"github.com/updraft-cloud/updraft/internal/lb/model"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs; write it with -update if that is meant:\n%s", name, diff)
	}
}

func everything(t *testing.T, text rendertest.Text) *amphora.Config {
	t.Helper()
	c, err := render.Config(rendertest.Everything(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func well(string, string) bool { return true }

func TestEverythingIsRenderedAsBefore(t *testing.T) {
	c := everything(t, rendertest.Plain())
	golden(t, "everything.haproxy", c.HAProxy.Text())
	golden(t, "everything.keepalived", c.Keepalived)
	golden(t, "everything.nft", amphora.Ruleset(nil, c.Virtuals, well))
}

func TestRenderingIsDeterministic(t *testing.T) {
	tree, place := rendertest.Everything(rendertest.Plain())
	first, err := render.Config(tree, place)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []func(){
		func() { slices.Reverse(tree.Listeners) }, func() { slices.Reverse(tree.Pools) }, func() { slices.Reverse(tree.Members) },
		func() { slices.Reverse(tree.Monitors) }, func() { slices.Reverse(tree.Policies) }, func() { slices.Reverse(tree.Rules) },
	} {
		f()
		again, err := render.Config(tree, place)
		if err != nil || again.Digest() != first.Digest() {
			t.Fatalf("the order of what belongs to it changed the result: %v", err)
		}
	}
}

// nasty are values that end a word, a line or a format wherever they are not
// quoted.
var nasty = []string{
	`'`, `"`, `\`, `' if TRUE`, `" if TRUE`, `a\' b`, `$HOME`, `${HOME}`, `"$(id)"`, `%[env(HOME)]`, `%[src]%`, `#`, ` # x`, `}`, `{ always_true }`, `!x`, `--`, `-f`, `-m reg`,
	`;`, `a; set server`, `unless`, `a,b)c(d`, `)`, `|`, `é`, "\u202e", `''''`, `\x0a`, `\n`, `~`, `@1`, `<<`,
}

func TestHAProxyTakesWhateverUsersWrite(t *testing.T) {
	program, err := exec.LookPath("haproxy")
	if err != nil {
		t.Skip("HAProxy is not installed")
	}
	accept := func(text rendertest.Text) {
		t.Helper()
		tree, place := rendertest.Everything(text)
		rendertest.Real(t, &place)
		c, err := render.Config(tree, place)
		if err == nil {
			err = rendertest.Accept(c, t.TempDir(), program, "-c", "-f", "haproxy.cfg")
		}
		if err != nil {
			t.Errorf("%+v: %v", text, err)
		}
	}
	accept(rendertest.Plain())
	for _, s := range nasty {
		text := rendertest.Plain()
		text.Value, text.URL, text.Prefix, text.Path = s, "http://x/"+s, "http://x/"+s, "/"+s
		text.Cookie, text.Key, text.Domain = strings.ReplaceAll(s, " ", ""), s, "x"+s
		accept(text)
	}
	long := rendertest.Plain()
	long.Ciphers = strings.Repeat("ECDHE-RSA-AES256-GCM-SHA384:", 2048/28) + "ECDHE-RSA-AES256-GCM-SHA384"
	long.Value = strings.Repeat(`'`, 255)
	accept(long)
}

// words splits a line of a configuration as HAProxy does, as far as Quote writes
// any. What Quote would never write is an error.
func words(t *testing.T, line string) []string {
	t.Helper()
	var out []string
	var word strings.Builder
	in, quoted := false, false
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case quoted && c == '\'':
			quoted = false
		case quoted:
			word.WriteByte(c)
		case c == '\'':
			in, quoted = true, true
		case c == '\\' && i+1 < len(line) && line[i+1] == '\'':
			i++
			word.WriteByte('\'')
		case c == ' ':
			if in {
				out = append(out, word.String())
			}
			word.Reset()
			in = false
		case strings.IndexByte("\"#\\$\t\r\n\x00", c) >= 0:
			t.Fatalf("%q stands outside of quotes in %q", c, line)
		default:
			in = true
			word.WriteByte(c)
		}
	}
	if quoted {
		t.Fatalf("a quote does not end in %q", line)
	}
	if in {
		out = append(out, word.String())
	}
	return out
}

// mark stands for a value in the configuration that others are compared with.
const mark = "MARK"

func marked() rendertest.Text {
	return rendertest.Text{Key: mark, Value: mark, URL: mark, Prefix: mark, Cookie: mark, Path: mark, Domain: mark, Ciphers: mark, Codes: mark, Method: mark}
}

// FuzzNothingBreaksOut has every line with a user's value be of the same words as
// with another value, but for the one that is the value.
func FuzzNothingBreaksOut(f *testing.F) {
	for _, s := range nasty {
		f.Add(s)
	}
	f.Add("a\nb")
	f.Add("a\r\n    server x 1.2.3.4:80")
	tree, place := rendertest.Everything(marked())
	c, err := render.Config(tree, place)
	if err != nil {
		f.Fatal(err)
	}
	base := strings.Split(c.HAProxy.Text(), "\n")
	f.Fuzz(func(t *testing.T, s string) {
		if s == "" || strings.Contains(s, mark) || strings.Contains(s, "TLS_") || strings.Contains(s, ":") {
			t.Skip("these choose other words on purpose")
		}
		tree, place := rendertest.Everything(rendertest.Text{Key: s, Value: s, URL: s, Prefix: s, Cookie: s, Path: s, Domain: s, Ciphers: s, Codes: s, Method: s})
		c, err := render.Config(tree, place)
		if err != nil {
			return // refused
		}
		lines := strings.Split(c.HAProxy.Text(), "\n")
		if len(lines) != len(base) {
			t.Fatalf("%d lines became %d", len(base), len(lines))
		}
		for i, line := range lines {
			got, want := words(t, line), words(t, base[i])
			if len(got) != len(want) {
				t.Fatalf("%q has %d words and not %d", line, len(got), len(want))
			}
			for j := range want {
				if !strings.Contains(want[j], mark) && got[j] != want[j] {
					t.Fatalf("%q has %q where %q was", line, got[j], want[j])
				}
			}
		}
		for _, e := range escapes(t, c) {
			if strings.Contains(strings.ReplaceAll(e, "%%", ""), "%") {
				t.Fatalf("%q is a format of HAProxy's", e)
			}
		}
	})
}

// escapes are the words that HAProxy evaluates as formats.
func escapes(t *testing.T, c *amphora.Config) []string {
	var out []string
	for line := range strings.SplitSeq(c.HAProxy.Text(), "\n") {
		w := words(t, line)
		if i := slices.Index(w, "location"); i > 0 && w[0] == "http-request" {
			out = append(out, w[i+1])
		}
		if len(w) > 5 && w[1] == "redirect" && w[4] == "prefix" {
			out = append(out, w[5])
		}
	}
	return out
}

func TestControlCharactersAreRefused(t *testing.T) {
	for _, s := range []string{"a\nb", "a\rb", "a\x00b", "\x7f"} {
		text := rendertest.Plain()
		text.Value = s
		if _, err := render.Config(rendertest.Everything(text)); err == nil || !strings.Contains(err.Error(), "control character") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestWhatIsDisabledIsNotThere(t *testing.T) {
	tree, place := rendertest.Everything(rendertest.Plain())
	tree.LoadBalancer.AdminStateUp = false
	c, err := render.Config(tree, place)
	if err != nil || c.HAProxy != nil || c.Virtuals != nil || len(c.VIPs) != 2 {
		t.Errorf("a disabled load balancer does %+v, %v", c, err)
	}
	tree.LoadBalancer.AdminStateUp = true
	for _, p := range tree.Pools {
		p.AdminStateUp = false
	}
	if c, err = render.Config(tree, place); err != nil || len(c.HAProxy.Backends) != 0 || strings.Contains(c.HAProxy.Text(), "backend ") {
		t.Errorf("disabled pools are there, %v:\n%s", err, c.HAProxy.Text())
	}
	for _, l := range tree.Listeners {
		l.AdminStateUp = false
	}
	if c, err = render.Config(tree, place); err != nil || c.HAProxy != nil {
		t.Errorf("disabled listeners are there, %v", err)
	}
}

func TestWhatCannotBeRenderedIsSaid(t *testing.T) {
	for want, change := range map[string]func(*render.Tree, *render.Place){
		`nothing for the ref "cert"`:  func(_ *render.Tree, p *render.Place) { delete(p.Secrets, "cert") },
		`there is no type "SIZE"`:     func(x *render.Tree, _ *render.Place) { x.Rules[0].Type = "SIZE" },
		`no comparison "LIKE"`:        func(x *render.Tree, _ *render.Place) { x.Rules[0].CompareType = "LIKE" },
		`there is no action "IGNORE"`: func(x *render.Tree, _ *render.Place) { x.Policies[0].Action = "IGNORE" },
		"member member-":              func(x *render.Tree, _ *render.Place) { x.Members[0].Address = "x" },
		"port 70000 is none":          func(x *render.Tree, _ *render.Place) { x.Members[0].ProtocolPort = 70000 },
		"cannot use VIP":              func(_ *render.Tree, p *render.Place) { p.VIPs[0].Interface = "eth0; flush ruleset" },
		"weight 257":                  func(x *render.Tree, _ *render.Place) { x.Members[0].Weight = 257 },
	} {
		tree, place := rendertest.Everything(rendertest.Plain())
		change(&tree, &place)
		if _, err := render.Config(tree, place); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q was expected, not %v", want, err)
		}
	}
}

func TestWhatTheAgentHasIsNamedAlone(t *testing.T) {
	tree, place := rendertest.Everything(rendertest.Plain())
	before, err := render.Config(tree, place)
	if err != nil {
		t.Fatal(err)
	}
	place.Kept = map[string]string{"cert": amphora.ContentName(place.Secrets["cert"])}
	delete(place.Secrets, "cert")
	after, err := render.Config(tree, place)
	if err != nil {
		t.Fatal(err)
	}
	if before.HAProxy.Text() != after.HAProxy.Text() || len(before.Files) != len(after.Files) {
		t.Error("HAProxy shall do something else")
	}
	empty := 0
	for i, f := range after.Files {
		if f.Name != before.Files[i].Name {
			t.Errorf("%s is named %s", before.Files[i].Name, f.Name)
		}
		if f.Data == nil {
			empty++
		}
	}
	if empty != 1 {
		t.Errorf("%d files are without their content", empty)
	}
}

func TestOnlyMembersAreChangedAtRunTime(t *testing.T) {
	at := func(change func(*render.Tree)) *amphora.HAProxy {
		tree, place := rendertest.Everything(rendertest.Plain())
		change(&tree)
		c, err := render.Config(tree, place)
		if err != nil {
			t.Fatal(err)
		}
		return c.HAProxy
	}
	before := at(func(*render.Tree) {})
	member := func(x *render.Tree, pool string) *model.Member {
		for _, m := range x.Members {
			if m.PoolID == pool {
				return m
			}
		}
		t.Fatalf("%s has no member", pool)
		return nil
	}
	last := func(x *render.Tree) *model.Pool { // a pool of TCP, without cookies
		for _, p := range x.Pools {
			if p.Protocol == model.ProtocolTCP {
				return p
			}
		}
		return nil
	}
	for _, tc := range []struct {
		rule     string
		change   func(*render.Tree)
		commands int // -1: a reload
	}{
		{"nothing", func(*render.Tree) {}, 0},
		{"a weight", func(x *render.Tree) { member(x, last(x).ID).Weight = 9 }, 1},
		{"a state", func(x *render.Tree) { member(x, last(x).ID).AdminStateUp = false }, 1},
		{"a name", func(x *render.Tree) { x.Listeners[0].Name = "other" }, 0},
		{"a member more", func(x *render.Tree) {
			m := *member(x, last(x).ID)
			m.ID, m.Address = "member-new", "198.51.100.77"
			x.Members = append(x.Members, &m)
		}, 3},
		{"a member less", func(x *render.Tree) { member(x, last(x).ID).PoolID = "" }, 1},
		{"a member's monitor", func(x *render.Tree) { member(x, last(x).ID).MonitorPort = 99 }, -1},
		{"a member with a cookie", func(x *render.Tree) {
			m := *member(x, x.Pools[0].ID)
			m.ID = "member-new"
			x.Members = append(x.Members, &m)
		}, 3},
		{"a listener", func(x *render.Tree) { x.Listeners[0].ConnectionLimit = 9 }, -1},
		{"an algorithm", func(x *render.Tree) { x.Pools[0].LBAlgorithm = model.LeastConnections }, -1},
	} {
		plan := amphora.Diff(before, at(tc.change))
		if plan.Reload != (tc.commands < 0) || !plan.Reload && len(plan.Commands) != tc.commands {
			t.Errorf("%s: %+v", tc.rule, plan)
		}
	}
}
