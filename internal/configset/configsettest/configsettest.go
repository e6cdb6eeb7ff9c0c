// Package configsettest holds every configset to the same promises: what it asks
// for is valid, refers only to what is there, is the same each time, and is what
// the golden files say.
//
// A set keeps its examples as testdata/NAME.yaml, each a whole cloud file, with
// what comes of them in testdata/NAME.golden. "go test -update" writes the golden
// files anew; do so only when you can say what moved them.
package configsettest

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/spec"
)

var update = flag.Bool("update", false, "write the golden files")

// Golden builds the set for the examples in testdata. It may refer to items of
// the other sets that are given, on hosts that use these, too.
func Golden(t *testing.T, set configset.Set, others ...configset.Set) {
	t.Helper()
	examples, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples in testdata: %v", err)
	}
	for _, path := range examples {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := renderAll(t, set, others, Cloud(t, string(data)))
			golden := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", golden, diff)
			}
		})
	}
}

// renderAll builds the set, twice, on every host that uses it.
func renderAll(t *testing.T, set configset.Set, others []configset.Set, c *spec.Cloud) string {
	t.Helper()
	var b strings.Builder
	for _, h := range c.Hosts {
		if !uses(h, set) {
			continue
		}
		items, faults := Build(t, set, c, h)
		if len(faults) > 0 {
			t.Fatalf("%s: %v", h.Name, faults.Error())
		}
		have := map[string]bool{}
		for _, o := range others {
			if uses(h, o) {
				more, _ := Build(t, o, c, h)
				note(t, h.Name, have, more)
			}
		}
		check(t, h.Name, have, items)
		again, _ := Build(t, set, c, h)
		text := Render(t, items)
		if other := Render(t, again); other != text {
			t.Errorf("%s: a second build gives something else:\n%s", h.Name, cmp.Diff(text, other))
		}
		fmt.Fprintf(&b, "======== %s\n%s", h.Name, text)
	}
	return b.String()
}

// Cloud reads a cloud file.
func Cloud(t *testing.T, text string) *spec.Cloud {
	t.Helper()
	c, faults := spec.Parse("cloud.yaml", []byte(text), spec.Options{})
	if c == nil {
		t.Fatalf("the example is no cloud file:\n%v", faults.Error())
	}
	return c
}

// Build builds the set on the host as compile does.
func Build(t *testing.T, set configset.Set, c *spec.Cloud, h *spec.Host) ([]configset.Item, diag.List) {
	t.Helper()
	var faults diag.List
	for _, use := range h.Sets {
		if use.Set != set.Name {
			continue
		}
		params := set.Params()
		if len(use.Params.JSON) > 0 {
			use.Params.Decode(params, use.Path, &faults)
		}
		if faults.HasErrors() {
			return nil, faults
		}
		items := set.Build(&configset.Input{Cloud: c, Host: h, Params: params, Diags: &faults, Use: use})
		return items, faults
	}
	t.Fatalf("%s does not use %s", h.Name, set.Name)
	return nil, nil
}

func uses(h *spec.Host, set configset.Set) bool {
	return slices.ContainsFunc(h.Sets, func(u spec.Use) bool { return u.Set == set.Name })
}

// note adds the references of items to have; each is to be there once.
func note(t *testing.T, host string, have map[string]bool, items []configset.Item) {
	t.Helper()
	for _, it := range items {
		ref := resource.Ref(it.Resource)
		if have[ref] {
			t.Errorf("%s: %s is there twice", host, ref)
		}
		have[ref] = true
	}
}

// check holds the items against what compile asks of them.
func check(t *testing.T, host string, have map[string]bool, items []configset.Item) {
	t.Helper()
	note(t, host, have, items)
	for _, it := range items {
		ref := resource.Ref(it.Resource)
		if err := it.Resource.Validate(); err != nil {
			t.Errorf("%s: %s: %v", host, ref, err)
		}
		for _, other := range slices.Concat(it.Needs, it.Triggers) {
			if !have[other] {
				t.Errorf("%s: %s refers to %s, which is not there", host, ref, other)
			}
		}
	}
}

// Render shows items as text: reference, phase, edges, then the fields, those of
// several lines as a block.
func Render(t *testing.T, items []configset.Item) string {
	t.Helper()
	var b strings.Builder
	for _, it := range items {
		fmt.Fprintf(&b, "%s", resource.Ref(it.Resource))
		if it.Phase != "" {
			fmt.Fprintf(&b, " (%s)", it.Phase)
		}
		b.WriteByte('\n')
		writeRefs(&b, "needs", it.Needs)
		writeRefs(&b, "triggered by", it.Triggers)
		data, err := json.Marshal(it.Resource)
		if err != nil {
			t.Fatal(err)
		}
		var fields map[string]any
		if err := json.Unmarshal(data, &fields); err != nil {
			t.Fatal(err)
		}
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			writeField(t, &b, name, fields[name])
		}
	}
	return b.String()
}

func writeRefs(b *strings.Builder, label string, refs []string) {
	for _, r := range refs {
		fmt.Fprintf(b, "  %s %s\n", label, r)
	}
}

func writeField(t *testing.T, b *strings.Builder, name string, value any) {
	t.Helper()
	if text, ok := value.(string); ok && strings.Contains(text, "\n") {
		fmt.Fprintf(b, "  %s:\n", name)
		for line := range strings.Lines(text) {
			fmt.Fprintf(b, "    | %s\n", strings.TrimSuffix(line, "\n"))
		}
		if !strings.HasSuffix(text, "\n") {
			b.WriteString("    (no line end)\n")
		}
		return
	}
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(b, "  %s: %s\n", name, data)
}
