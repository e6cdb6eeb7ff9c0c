// Package mount is the kind "mount": a file system in /etc/fstab, and mounted.
//
// Other lines of fstab stay as they are, byte by byte; the file is replaced
// whole. What is mounted is read from the kernel and not from files that say
// what should be. A busy file system is never torn away: unmounting it is an
// error that names it.
package mount

import (
	"context"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

const (
	fstab  = "/etc/fstab"
	mounts = "/proc/self/mounts"
)

// States of a mount.
const (
	Mounted = "mounted"
	Fstab   = "fstab"
)

// Resource is a file system and where it is mounted.
type Resource struct {
	Target  string   `json:"target" doc:"Absolute path of the mount point; it is made if it is missing." required:"true"`
	Source  string   `json:"source" doc:"Device, UUID=…, LABEL=…, remote export, or directory for a bind mount." required:"true"`
	FSType  string   `json:"fstype" doc:"Type of the file system, such as ext4, nfs, tmpfs or none for a bind mount." required:"true"`
	Options []string `json:"options,omitempty" doc:"Mount options." default:"defaults"`
	Dump    int      `json:"dump,omitempty" doc:"Fifth field of fstab: 1 if dump(8) is to save it."`
	Pass    int      `json:"pass,omitempty" doc:"Sixth field of fstab: in which round of fsck at boot it is checked; 0 for never."`
	State   string   `json:"state,omitempty" doc:"mounted: in fstab and mounted now; fstab: only in fstab." enum:"mounted,fstab" default:"mounted"`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "mount",
		Doc:  "A file system in /etc/fstab, and mounted.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `target: /srv/scratch
source: tmpfs
fstype: tmpfs
options: [size=64m, nosuid, nodev]
`,
	}
}

// Kind returns "mount".
func (*Resource) Kind() string { return "mount" }

// Key returns the mount point.
func (r *Resource) Key() string { return r.Target }

// Needs returns what is above or at the mount point, and a bind's source.
func (r *Resource) Needs() []string {
	out := append(perm.Above(r.Target), "directory:"+r.Target)
	if path.IsAbs(r.Source) {
		out = append(out, "directory:"+r.Source)
	}
	return out
}

// Removal returns what says which mount it is.
func (r *Resource) Removal() resource.Resource {
	return &Resource{Target: r.Target, Source: r.Source, FSType: r.FSType, State: r.State}
}

// Validate checks what goes into fstab.
func (r *Resource) Validate() error {
	errs := []error{perm.CheckPath("target", r.Target)}
	word := func(field, s string) {
		if s == "" || strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c == 0x7f }) || strings.HasPrefix(s, "#") || strings.HasPrefix(s, "-") {
			errs = append(errs, resource.Fieldf(field, "", "%q is not one word", s))
		}
	}
	if r.Source == "" || strings.HasPrefix(r.Source, "-") || strings.HasPrefix(r.Source, "#") || strings.ContainsAny(r.Source, "\n\x00") {
		errs = append(errs, resource.Fieldf("source", "give a device, UUID=…, or an export", "%q is not a source", r.Source))
	}
	word("fstype", r.FSType)
	for _, o := range r.Options {
		word("options", o)
		if strings.Contains(o, ",") {
			errs = append(errs, resource.Fieldf("options", "give a list", "%q holds a comma", o))
		}
	}
	if r.Dump < 0 || r.Dump > 1 {
		errs = append(errs, resource.Fieldf("dump", "", "is 0 or 1"))
	}
	if r.Pass < 0 || r.Pass > 9 {
		errs = append(errs, resource.Fieldf("pass", "", "is from 0 to 9"))
	}
	if !slices.Contains([]string{"", Mounted, Fstab}, r.State) {
		errs = append(errs, resource.Fieldf("state", "write mounted or fstab", "%q is not a state", r.State))
	}
	return errors.Join(errs...)
}

func (r *Resource) options() string {
	if len(r.Options) == 0 {
		return "defaults"
	}
	return strings.Join(r.Options, ",")
}

func (r *Resource) line() fields {
	digit := func(n int) string { return string(rune('0' + n)) }
	return fields{r.Source, r.Target, r.FSType, r.options(), digit(r.Dump), digit(r.Pass)}
}

func (r *Resource) wantsMounted() bool { return r.State != Fstab }

func (r *Resource) isBind() bool {
	return slices.Contains(r.Options, "bind") || slices.Contains(r.Options, "rbind")
}

// view is what was found of a mount point.
type view struct {
	inFstab fields
	line    int // index in fstab, or -1
	live    fields
	mounted bool
}

func (r *Resource) look(h resource.Host) (v view, err error) {
	table, err := readLines(h, fstab)
	if err != nil {
		return v, err
	}
	v.inFstab, v.line = findIn(table, r.Target)
	kernel, err := readLines(h, mounts)
	if err != nil {
		return v, err
	}
	var i int
	v.live, i = findIn(kernel, r.Target)
	v.mounted = i >= 0
	return v, nil
}

// Observe compares fstab, and what is mounted.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	v, err := r.look(h)
	if err != nil {
		return drift.Report{}, err
	}
	if v.line < 0 && !v.mounted {
		return drift.Missing(), nil
	}
	var b drift.Builder
	if v.line < 0 {
		b.Want("fstab", "no line", r.line().String())
	} else if v.inFstab != r.line() {
		b.Want("fstab", v.inFstab.String(), r.line().String())
	}
	if r.wantsMounted() {
		r.compareLive(v, &b)
	}
	return b.Report(), nil
}

func (r *Resource) compareLive(v view, b *drift.Builder) {
	if !v.mounted {
		b.Want("mounted", "no", "yes")
		return
	}
	if !r.sameLive(v) {
		b.Want("mounted", v.live.source+" ("+v.live.fstype+")", r.Source+" ("+r.FSType+")")
		return
	}
	b.Want("live_options", flagsOf(v.live.options), flagsOf(r.options()))
}

// sameLive reports whether it is our file system that is mounted. Of a source
// given by UUID, label or device link the kernel tells another name, and of a
// bind mount the device behind it; then only the type is compared, or nothing.
func (r *Resource) sameLive(v view) bool {
	if r.isBind() {
		return true
	}
	if r.FSType != "auto" && v.live.fstype != r.FSType && !(r.FSType == "nfs" && v.live.fstype == "nfs4") {
		return false
	}
	if strings.Contains(r.Source, "=") || path.IsAbs(r.Source) {
		return true
	}
	return v.live.source == strings.TrimSuffix(r.Source, "/")
}
