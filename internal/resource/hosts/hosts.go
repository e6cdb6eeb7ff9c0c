// Package hosts is the kind "hosts": a block of /etc/hosts between two marks.
//
// What stands outside the marks is left as it is, byte by byte.
package hosts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/hostname"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

const file = "/etc/hosts"

// Resource is one block of entries.
type Resource struct {
	Name    string  `json:"name,omitempty" doc:"Name of the block, to tell several apart." default:"updraft"`
	Entries []Entry `json:"entries" doc:"The entries, in the order of the file." required:"true"`
}

// Entry is a line: an address and its names.
type Entry struct {
	IP    string   `json:"ip" doc:"IPv4 or IPv6 address." required:"true"`
	Names []string `json:"names" doc:"Names of the address; the first is the canonical one." required:"true"`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "hosts",
		Doc:  "A block of entries in /etc/hosts; the rest of the file is left alone.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `entries:
  - ip: 192.0.2.10
    names: [web1.example.org, web1]
`,
	}
}

// Kind returns "hosts".
func (*Resource) Kind() string { return "hosts" }

// Key returns the block's name.
func (r *Resource) Key() string {
	if r.Name == "" {
		return "updraft"
	}
	return r.Name
}

// Removal returns the block's name alone.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name} }

// Validate checks addresses and names.
func (r *Resource) Validate() error {
	var errs []error
	if strings.ContainsFunc(r.Name, func(c rune) bool { return c <= ' ' || c == 0x7f }) {
		errs = append(errs, resource.Fieldf("name", "choose one word", "%q holds blanks", r.Name))
	}
	if len(r.Entries) == 0 {
		errs = append(errs, resource.Fieldf("entries", "list at least one", "there are none"))
	}
	for i, e := range r.Entries {
		if a, err := netip.ParseAddr(e.IP); err != nil || a.Zone() != "" {
			errs = append(errs, resource.Fieldf("entries", "", "entry %d: %q is not an IP address", i+1, e.IP))
		}
		if len(e.Names) == 0 {
			errs = append(errs, resource.Fieldf("entries", "", "entry %d has no name", i+1))
		}
		for _, n := range e.Names {
			if msg := checkName(n); msg != "" {
				errs = append(errs, resource.Fieldf("entries", "", "entry %d: %q %s", i+1, n, msg))
			}
		}
	}
	return errors.Join(errs...)
}

// checkName takes longer names than a host itself can have (RFC 1035: 253).
func checkName(name string) string {
	if len(name) > 253 {
		return "is longer than 253 characters"
	}
	for label := range strings.SplitSeq(name, ".") {
		if msg := hostname.CheckName(label); msg != "" {
			return msg
		}
	}
	return ""
}

func (r *Resource) begin() string { return "# BEGIN " + r.mark() + "\n" }
func (r *Resource) end() string   { return "# END " + r.mark() + "\n" }

func (r *Resource) mark() string {
	if r.Key() == "updraft" {
		return "updraft"
	}
	return "updraft " + r.Key()
}

// block renders the entries with their marks.
func (r *Resource) block() string {
	var b strings.Builder
	b.WriteString(r.begin())
	for _, e := range r.Entries {
		fmt.Fprintf(&b, "%s\t%s\n", e.IP, strings.Join(e.Names, " "))
	}
	return b.String() + r.end()
}

// split finds the block. Without an end mark there is none: somebody has edited
// it, and where it ends cannot be known.
func (r *Resource) split(text string) (before, block, after string, err error) {
	start := lineIndex(text, r.begin())
	if start < 0 {
		// Before a last line without a newline, so that none is to be added.
		start = strings.LastIndexByte(text, '\n') + 1
		return text[:start], "", text[start:], nil
	}
	end := lineIndex(text[start:], r.end())
	if end < 0 {
		return "", "", "", fmt.Errorf("%s has the line %q and no line %q after it", file, strings.TrimSpace(r.begin()), strings.TrimSpace(r.end()))
	}
	end += start + len(r.end())
	return text[:start], text[start:min(end, len(text))], text[min(end, len(text)):], nil
}

// lineIndex returns where a whole line begins, or -1. The last line of the file
// may lack its newline.
func lineIndex(text, line string) int {
	at := 0
	for l := range strings.Lines(text) {
		if l == line || l+"\n" == line {
			return at
		}
		at += len(l)
	}
	return -1
}

func read(h resource.Host) (string, resource.Access, error) {
	fi, err := h.Stat(file)
	if errors.Is(err, fs.ErrNotExist) {
		return "", resource.Access{Mode: 0o644}, nil
	}
	if err != nil {
		return "", resource.Access{}, err
	}
	data, err := h.ReadFile(file)
	return string(data), perm.AccessOf(fi), err
}

// Observe compares the block.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	text, _, err := read(h)
	if err != nil {
		return drift.Report{}, err
	}
	_, block, _, err := r.split(text)
	if err != nil {
		return drift.Report{}, err
	}
	if block == "" {
		return drift.Missing(), nil
	}
	var b drift.Builder
	if want := r.block(); block != want {
		b.Add(drift.Change{Attr: "entries", Text: block, NewText: want})
	}
	return b.Report(), nil
}

// Apply writes the block in its place, or at the end.
func (r *Resource) Apply(_ context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	return r.edit(h, r.block())
}

// Remove removes the block.
func (r *Resource) Remove(_ context.Context, h resource.Host, _ bool) error { return r.edit(h, "") }

func (r *Resource) edit(h resource.Host, block string) error {
	defer h.Lock(file)()
	text, access, err := read(h)
	if err != nil {
		return err
	}
	before, _, after, err := r.split(text)
	if err != nil {
		return err
	}
	if result := before + block + after; result != text {
		return h.WriteFile(file, []byte(result), access)
	}
	return nil
}
