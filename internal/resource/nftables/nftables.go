// Package nftables is the resource kind nftables: a ruleset in a table of its
// own, loaded atomically and at every boot.
//
// The table is owned: Apply replaces it as a whole in one transaction, so no
// packet ever sees half a ruleset, and nothing outside of the table is touched.
// A ruleset that nft rejects changes nothing.
//
// Drift. The rules in the kernel are compared with what the kernel listed right
// after they were loaded, of which a digest is kept beside a digest of the text
// (see record). A comment on the table with the digest of its text would be
// cheaper and would not notice a rule that somebody adds or deletes by hand;
// comparing the text with the listing is not possible, as nft rewrites what it
// reads. Left out of the comparison is what moves by itself: handles, counters,
// and the elements of sets to which packets add. The loss of the record costs
// one more load, and so may an upgrade of nft that lists in another way.
package nftables

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// Resource is a ruleset.
type Resource struct {
	Name    string `json:"name" required:"true" doc:"Name of the ruleset: letters, digits and _. The table is updraft_NAME."`
	Family  string `json:"family,omitempty" default:"inet" enum:"inet,ip,ip6,arp,bridge,netdev" doc:"Address family of the table."`
	Content string `json:"content" required:"true" doc:"Body of the table as in nft(8): sets, maps, chains with their rules, without the table around them."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "nftables",
		Doc: "An nftables ruleset in a table of its own, updraft_NAME, replaced atomically, checked before, and loaded at boot. " +
			"Rules that somebody changes by hand in this table are seen and put right; other tables are left alone.",
		New: func() resource.Resource { return &Resource{} },
		Example: "name: ssh\ncontent: |\n  chain input {\n    type filter hook input priority filter; policy accept;\n" +
			"    tcp dport 22 ct state new limit rate over 10/second drop\n  }\n",
	}
}

// Kind returns "nftables".
func (*Resource) Kind() string { return "nftables" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Removal keeps what names the table.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name, Family: r.Family} }

var (
	nameRE   = regexp.MustCompile(`^[A-Za-z0-9_]+$`)
	families = []string{"", "inet", "ip", "ip6", "arp", "bridge", "netdev"}
)

const maxName = 200 // a table's name is bounded by 256, a file's by 255 characters

// Validate checks that the content stays inside of the table.
func (r *Resource) Validate() error {
	var errs []error
	if !nameRE.MatchString(r.Name) || len(r.Name) > maxName {
		errs = append(errs, resource.Fieldf("name", "use letters, digits and _", "%q is not a name for a table", r.Name))
	}
	if !slices.Contains(families, r.Family) {
		errs = append(errs, resource.Fieldf("family", "one of inet, ip, ip6, arp, bridge, netdev", "%q is not a family", r.Family))
	}
	if err := checkBody(r.Content); err != nil {
		errs = append(errs, resource.Fieldf("content", "write only what stands between the braces of the table", "this is not the body of a table: %v", err))
	}
	return errors.Join(errs...)
}

// checkBody checks that braces are balanced, so that the text cannot end the
// table and go on outside, and that it includes no other file.
func checkBody(text string) error {
	depth := 0
	for line := range strings.Lines(text) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word == "include" || word == "flush" {
			return fmt.Errorf("it has a line that begins with %s", word)
		}
		quoted := false
		for _, c := range line {
			switch {
			case c == '"':
				quoted = !quoted
			case quoted:
			case c == '#':
				quoted = true // until the end of the line
			case c == '{':
				depth++
			case c == '}':
				depth--
			}
			if depth < 0 {
				return errors.New("it has more closing braces than opening ones")
			}
		}
	}
	if depth > 0 {
		return errors.New("a brace is not closed")
	}
	if strings.TrimSpace(text) == "" {
		return errors.New("it is empty")
	}
	return nil
}

func (r *Resource) family() string {
	if r.Family == "" {
		return "inet"
	}
	return r.Family
}

func (r *Resource) table() string { return r.family() + " updraft_" + r.Name }

const dir = "/etc/nftables.d"

// file is the ruleset as it is loaded, now and at boot. The table is added so
// that deleting it cannot fail, and made anew: all in one transaction.
func (r *Resource) file() conffile.File {
	var b strings.Builder
	fmt.Fprintf(&b, "%stable %s\ndelete table %s\ntable %s {\n", conffile.Header, r.table(), r.table(), r.table())
	for line := range strings.Lines(r.Content) {
		b.WriteString("\t" + strings.TrimRight(line, "\n") + "\n")
	}
	b.WriteString("}\n")
	return conffile.File{Path: r.path(), Text: b.String(), Mode: 0o600}
}

func (r *Resource) path() string { return path.Join(dir, "updraft-"+r.Name+".nft") }

const (
	bootUnit = "updraft-nftables@.service"
	unitDir  = "/etc/systemd/system"
	// bootText loads a ruleset before the network is configured, and after
	// the distribution's own unit, which may flush all rules.
	bootText = conffile.Header + `[Unit]
Description=nftables ruleset %I
After=nftables.service
Before=network-pre.target
Wants=network-pre.target
DefaultDependencies=no
After=local-fs.target systemd-modules-load.service
Before=shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/nftables.d/updraft-%i.nft

[Install]
WantedBy=sysinit.target
`
)

func bootFile() conffile.File {
	return conffile.File{Path: path.Join(unitDir, bootUnit), Text: bootText}
}

// bootLink is what enables the unit for this ruleset. It is made by hand rather
// than by systemctl, as it can be looked at without a process.
func (r *Resource) bootLink() string {
	return path.Join(unitDir, "sysinit.target.wants", strings.Replace(bootUnit, "@", "@"+r.Name, 1))
}

// Observe compares the file, the rules in the kernel and what loads them at boot.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	live, err := r.listing(ctx, h)
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	there, err := r.file().Compare(h, &b, "content")
	if err != nil {
		return drift.Report{}, err
	}
	if !there && live == "" {
		return drift.Missing(), nil
	}
	if _, err := bootFile().Compare(h, &b, "boot"); err != nil {
		return drift.Report{}, err
	}
	if target, _ := h.Readlink(r.bootLink()); target != bootFile().Path {
		b.Want("boot link", target, bootFile().Path)
	}
	rec, err := r.record(h)
	switch {
	case err != nil:
		return drift.Report{}, err
	case live == "":
		b.Want("rules", "not loaded", "loaded")
	case rec.Text != digest(r.file().Text):
		b.Want("rules", "of another text", "of this text")
	case rec.Listing != live:
		b.Want("rules", "changed by somebody", "as loaded")
	}
	return b.Report(), nil
}

// Apply checks the ruleset, writes it, loads it, and notes how the kernel lists it.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	found, err := r.Observe(ctx, h)
	if err != nil || found.Agrees() {
		return err
	}
	if found.Has("content") || found.Has("rules") {
		if err := r.nft(ctx, h, "-c", "-f", "-"); err != nil {
			return err
		}
	}
	if _, err := r.file().Write(h); err != nil {
		return err
	}
	if err := r.applyBoot(h); err != nil {
		return err
	}
	if !found.Has("content") && !found.Has("rules") {
		return nil
	}
	if err := r.nft(ctx, h, "-f", "-"); err != nil {
		return err
	}
	live, err := r.listing(ctx, h)
	if err != nil {
		return err
	}
	return r.writeRecord(h, record{Text: digest(r.file().Text), Listing: live})
}

func (r *Resource) applyBoot(h resource.Host) error {
	if _, err := bootFile().Write(h); err != nil {
		return err
	}
	if target, _ := h.Readlink(r.bootLink()); target == bootFile().Path {
		return nil
	}
	if err := conffile.MakeDirs(h, path.Dir(r.bootLink())); err != nil {
		return err
	}
	return h.Symlink(bootFile().Path, r.bootLink())
}

// nft gives the ruleset to nft.
func (r *Resource) nft(ctx context.Context, h resource.Host, args ...string) error {
	_, err := h.Run(ctx, resource.Command{Name: "nft", Args: args, Stdin: []byte(r.file().Text), Reads: args[0] == "-c"})
	var exit *resource.ExitError
	if errors.As(err, &exit) {
		return fmt.Errorf("cannot load nftables ruleset %s (its lines are counted from four above the content): %s", r.Name, exit.Stderr)
	}
	return err
}

// Remove deletes the table and what loads it at boot.
func (r *Resource) Remove(ctx context.Context, h resource.Host, _ bool) error {
	if _, err := conffile.Remove(h, r.bootLink(), r.path(), r.recordPath()); err != nil {
		return err
	}
	if live, err := r.listing(ctx, h); err != nil {
		return err
	} else if live != "" {
		if _, err := h.Run(ctx, resource.Command{Name: "nft", Args: append([]string{"delete", "table"}, strings.Fields(r.table())...)}); err != nil {
			return err
		}
	}
	return r.tidy(h)
}

// tidy removes what all rulesets share when this was the last.
func (*Resource) tidy(h resource.Host) error {
	names, err := conffile.List(h, dir)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "updraft-") }) {
		if _, err := conffile.Remove(h, bootFile().Path); err != nil {
			return err
		}
	}
	return conffile.Tidy(h, dir, path.Join(unitDir, "sysinit.target.wants"), recordDir, path.Dir(recordDir))
}
