package spec

import (
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// noFiles is a disk with nothing on it.
func noFiles(string) ([]byte, error) { return nil, fs.ErrNotExist }

// FuzzParse holds Parse to its promises for any input: it returns soon; it gives a
// cloud or errors, never both or neither; and it says the same twice.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"../../examples/*.yaml", "testdata/*.txt", "starter.yaml"} {
		files, _ := filepath.Glob(pattern)
		for _, name := range files {
			data, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Add([]byte("a: &a [*a, *a]\n<<: *a\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		opts := Options{Read: noFiles, Set: []string{"size=4"}}
		start := time.Now()
		c, faults := Parse("cloud.yaml", data, opts)
		if took := time.Since(start); took > 10*time.Second {
			t.Fatalf("it took %v", took)
		}
		if (c == nil) != faults.HasErrors() {
			t.Fatalf("cloud %v with faults %v", c, faults)
		}
		again, more := Parse("cloud.yaml", data, opts)
		if faults.Error() != more.Error() || c != nil && c.Digest != again.Digest {
			t.Fatalf("a second time it says\n%v\nnot\n%v", more, faults)
		}
		if c == nil {
			return
		}
		for _, h := range c.Hosts {
			for _, n := range h.NICs {
				if !n.Address.IsValid() {
					t.Fatalf("%s %s has no address", h.Name, n.Name)
				}
			}
		}
	})
}

// TestJunkIsRefusedInBoundedTimeAndMemory feeds ten megabytes of each kind of
// junk that has been known to hurt readers of YAML.
func TestJunkIsRefusedInBoundedTimeAndMemory(t *testing.T) {
	const head = "version: 1\ncloud: x\nnetworks: {m: {cidr: 10.88.0.0/16}}\n"
	for name, junk := range map[string]string{
		"commas":              "[" + fill("a,") + "]",
		"dashes":              fill("- a\n"),
		"brackets":            fill("["),
		"braces":              fill("{a: "),
		"nested dashes":       fill("- "),
		"keys":                numbered("k%d: %d\n"),
		"keys with anchors":   numbered("k%d: &a%d x\n"),
		"the same key":        fill("a: 1\n"),
		"one word":            fill("a"),
		"escapes":             `a: "` + fill(`\x41`) + `"`,
		"question marks":      "{" + fill("?"),
		"exclamation marks":   fill("!"),
		"anchors":             fill("&a "),
		"comments":            fill("# x\n"),
		"spaces":              fill(" "),
		"newlines":            fill("\n"),
		"tabs":                fill("\t"),
		"zero bytes":          fill("\x00"),
		"noise":               noise(),
		"laughs":              laughs(),
		"variables":           head + "vars: {v: \"" + strings.Repeat("x", 1<<20) + "\"}\nmirrors:\n" + numberedN("  k%d: \"${v}-${v}-%d\"\n", 10_000),
		"groups":              head + "groups:\n" + numberedN("  g%d: {count: %d}\n", 50_000),
		"hosts":               head + "groups: {g: {count: 1000}}\nhosts:\n" + numberedN("  g%d: {cpus: %d}\n", 60_000),
		"stray hosts":         head + "groups: {g: {count: 1000}, h: {count: 1000}}\nhosts:\n" + numberedN("  gg%d: {cpus: %d}\n", 9_000),
		"networks":            head[:20] + "networks:\n" + numberedN("  n%d: {mtu: %d}\n", 50_000),
		"checks":              head + "groups: {g: {count: 1000}}\nverify:\n" + numberedN("  - {icmp: {}, from: g%d, name: n%d}\n", 40_000),
		"virtual addresses":   head + "groups: {g: {count: 1000}}\nvips:\n" + numberedN("  v%d: {network: m, group: g, address: 10.88.1.%d}\n", 30_000),
		"a long key":          head + "groups: {g: {configsets: {? " + strings.Repeat("k", 4<<20) + " : [" + strings.Repeat("1,", 200_000) + "]}}}",
		"long keys, deep":     head[11:] + "groups: {g: {configsets: {" + strings.Repeat(strings.Repeat("k", 1000)+": {", 50) + "x: [" + strings.Repeat("1,", 200_000) + "]" + strings.Repeat("}", 53),
		"parameters by hosts": head + "groups: {g: {count: 1000, configsets: {a: {x: [" + strings.Repeat("1,", 200_000) + "]}}}}\nhosts:\n" + numberedN("  g%d: {configsets: {a: {y: %d}}}\n", 1000),
	} {
		t.Run(name, func(t *testing.T) { bounded(t, []byte(junk)) })
	}
}

func bounded(t *testing.T, data []byte) {
	data = data[:min(len(data), maxBytes)]
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := time.Now()
	c, faults := Parse("cloud.yaml", data, Options{Read: noFiles})
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	if c != nil || !faults.HasErrors() {
		t.Fatal("it was taken")
	}
	if len(faults) > mostFaults+1 {
		t.Errorf("%d faults", len(faults))
	}
	for _, d := range faults {
		if len(d.String()) > 4000 {
			t.Errorf("a fault of %d bytes", len(d.String()))
		}
	}
	allocated := (after.TotalAlloc - before.TotalAlloc) >> 20
	t.Logf("%d KiB took %v and %d MiB: %v", len(data)>>10, took.Round(time.Millisecond), allocated, faults[0].Summary)
	if limit := 10 * time.Second; took > limit {
		t.Errorf("it took %v, more than %v", took, limit)
	}
	if allocated > 1500 {
		t.Errorf("it allocated %d MiB in all", allocated)
	}
}

func fill(s string) string { return strings.Repeat(s, maxBytes/len(s)-2) }

func numbered(format string) string { return numberedN(format, 600_000) }

func numberedN(format string, n int) string {
	var b strings.Builder
	for i := 0; i < n && b.Len() < maxBytes; i++ {
		fmt.Fprintf(&b, format, i, i)
	}
	return b.String()
}

func noise() string {
	const letters = "ab:-[]{}\"'&*!|>%@#,? \n\n  "
	r := rand.New(rand.NewPCG(1, 2))
	b := make([]byte, maxBytes)
	for i := range b {
		b[i] = letters[r.IntN(len(letters))]
	}
	return string(b)
}

// laughs is the billion laughs attack: each alias stands for ten of the one before.
func laughs() string {
	var b strings.Builder
	b.WriteString("x-0: &a0 [l, l, l, l, l, l, l, l, l, l]\n")
	for i := 1; i < 30; i++ {
		fmt.Fprintf(&b, "x-%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10), ", "))
	}
	return b.String()
}

func TestAThousandHostsLoadFast(t *testing.T) {
	data := thousand()
	best := time.Hour
	for range 5 {
		start := time.Now()
		c, faults := Parse("cloud.yaml", data, Options{})
		best = min(best, time.Since(start))
		if len(faults) > 0 || len(c.Hosts) != 1000 {
			t.Fatal(faults)
		}
	}
	t.Logf("1000 hosts: %v", best)
	if best > 100*time.Millisecond {
		t.Errorf("1000 hosts took %v, more than 100 ms", best)
	}
}

func thousand() []byte {
	return []byte(`version: 1
cloud: big
networks: {mgmt: {cidr: 10.88.0.0/16, cidr6: "fd00::/64"}, front: {cidr: 10.89.0.0/16}}
configsets: {basebox: {users: [{name: ann}]}}
groups:
  web:
    count: 1000
    nics: [mgmt, front]
    configsets: {web: {port: 80}}
    resources: [{file: {path: /etc/motd, content: hello}}]
`)
}

func BenchmarkThousandHosts(b *testing.B) {
	data := thousand()
	for b.Loop() {
		if _, faults := Parse("cloud.yaml", data, Options{}); len(faults) > 0 {
			b.Fatal(faults)
		}
	}
}
