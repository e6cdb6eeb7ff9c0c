package fakehost

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// Nft is nft with the kernel's tables, whose rules are kept as lines of text. A
// line with the word "bogus" is a syntax error.
type Nft struct{ tables map[string][]string }

// Install registers the command.
func (n *Nft) Install(h *Host, _ *FS) {
	n.tables = map[string][]string{}
	h.Handle("nft", n.nft)
}

// Render lists the ruleset.
func (n *Nft) Render(*FS) string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(n.tables)) {
		b.WriteString("table " + name + " {\n")
		for _, line := range n.tables[name] {
			b.WriteString("    " + line + "\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func (n *Nft) nft(_ context.Context, h *Host, c resource.Command) (resource.Output, error) {
	switch line := strings.Join(c.Args, " "); {
	case strings.HasPrefix(line, "-j list table ") && len(c.Args) == 5:
		return n.list(h, c)
	case line == "-c -f -" || line == "-f -":
		return n.load(h, c)
	case line == "flush ruleset":
		return resource.Output{}, h.Change(func(*FS) error { clear(n.tables); return nil })
	case strings.HasPrefix(line, "delete table ") && len(c.Args) == 4:
		name := c.Args[2] + " " + c.Args[3]
		if n.tables[name] == nil {
			return Exit(c, 1, "Error: No such file or directory; did you mean table?")
		}
		return resource.Output{}, h.Change(func(*FS) error { delete(n.tables, name); return nil })
	case strings.HasPrefix(line, "add rule ") && len(c.Args) > 5:
		name := c.Args[2] + " " + c.Args[3]
		return resource.Output{}, h.Change(func(*FS) error {
			n.tables[name] = append(n.tables[name], strings.Join(c.Args[4:], " "))
			return nil
		})
	}
	return resource.Output{}, Refuse(c, "not understood")
}

func (n *Nft) list(h *Host, c resource.Command) (out resource.Output, err error) {
	err = h.View(func(*FS) error {
		rules, ok := n.tables[c.Args[3]+" "+c.Args[4]]
		if !ok {
			out, err = Exit(c, 1, "Error: No such file or directory\nlist table %s %s", c.Args[3], c.Args[4])
			return err
		}
		objects := []any{map[string]any{"metainfo": map[string]any{"version": "1.1.3"}}}
		for i, rule := range rules {
			objects = append(objects, map[string]any{"rule": map[string]any{"table": c.Args[4], "handle": h.changes + i, "expr": rule}})
		}
		out.Stdout, err = json.Marshal(map[string]any{"nftables": objects})
		return err
	})
	return out, err
}

// load takes a script that makes one table anew.
func (n *Nft) load(h *Host, c resource.Command) (resource.Output, error) {
	var name string
	var rules []string
	deleted := false
	for i, line := range strings.Split(strings.TrimSpace(string(c.Stdin)), "\n") {
		line = strings.TrimSpace(line)
		begun := strings.HasSuffix(line, " {") && strings.HasPrefix(line, "table ")
		switch {
		case strings.Contains(line, "bogus"):
			return Exit(c, 1, "/dev/stdin:%d:1-5: Error: syntax error, unexpected string", i+1)
		case strings.HasPrefix(line, "delete table "):
			deleted = true
		case begun:
			name = strings.TrimSuffix(strings.TrimPrefix(line, "table "), " {")
		case name != "" && line != "":
			rules = append(rules, line)
		}
	}
	if name == "" || !deleted {
		return resource.Output{}, Refuse(c, "the script does not replace a table")
	}
	if c.Args[0] == "-c" {
		return resource.Output{}, nil
	}
	return resource.Output{}, h.Change(func(*FS) error { n.tables[name] = rules; return nil })
}
