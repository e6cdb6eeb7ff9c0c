// Package file is the kind "file": a regular file with its content, mode and
// owner.
//
// A reader sees the old content or the new, never a part. A validation command
// judges the new content before it takes the place of the old. What was at the
// path before updraft changed it is kept and comes back when the resource is
// removed.
package file

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
	"github.com/updraft-cloud/updraft/internal/resource/perm"
)

// textLimit is the size in bytes up to which a report carries the old text.
const textLimit = 64 << 10

// Resource is a regular file.
type Resource struct {
	Path string `json:"path" doc:"Absolute path of the file." required:"true"`
	// Content and Data exclude each other.
	Content string `json:"content,omitempty" doc:"The content, as text."`
	Data    []byte `json:"data,omitempty" doc:"The content in base64, for a file that is not text."`
	Mode    string `json:"mode,omitempty" doc:"Permissions in octal; an existing file keeps its own when this is left out, a new one gets 0644, or 0600 when it is sensitive." default:"0644"`
	Owner   string `json:"owner,omitempty" doc:"Owner, by name or number; an existing file keeps its own when this is left out." default:"root"`
	Group   string `json:"group,omitempty" doc:"Group, by name or number; an existing file keeps its own when this is left out." default:"root"`
	// Check is named validate for people; the method has that name in Go.
	Check       []string `json:"validate,omitempty" doc:"Command that must succeed before the new content is put in place; %s in an argument stands for the path of a file that holds it."`
	Sensitive   bool     `json:"sensitive,omitempty" doc:"Keep the content out of plans, logs and errors."`
	KeepContent bool     `json:"keep_content,omitempty" doc:"Leave the content of an existing file alone; only a missing file gets the content."`
	Template    bool     `json:"template,omitempty" doc:"The content is a template that is rendered from the cloud file's values before anything is planned."`
	// Digest and Size stand for the content in a probe and a removal.
	Digest string `json:"digest,omitempty" doc:"Set by updraft: SHA-256 of the content."`
	Size   int64  `json:"size,omitempty" doc:"Set by updraft: size of the content in bytes."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "file",
		Doc:  "A regular file with its content, mode and owner. What was there before comes back when it is removed.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `path: /etc/motd
content: |
  This host is managed by updraft.
mode: "0644"
`,
	}
}

// Kind returns "file".
func (*Resource) Kind() string { return "file" }

// Key returns the path.
func (r *Resource) Key() string { return r.Path }

// IsSensitive reports whether the content must not be shown.
func (r *Resource) IsSensitive() bool { return r.Sensitive }

// Needs returns the directories above and the owner.
func (r *Resource) Needs() []string { return r.spec().Needs(r.Path) }

// Probe returns the file with its content replaced by its digest.
func (r *Resource) Probe() resource.Resource {
	c := *r
	c.Digest, c.Size = r.digest()
	c.Content, c.Data, c.Check = "", nil, nil
	return &c
}

// Removal returns the path alone.
func (r *Resource) Removal() resource.Resource {
	return &Resource{Path: r.Path, Sensitive: r.Sensitive}
}

func (r *Resource) spec() perm.Spec { return perm.Spec{Mode: r.Mode, Owner: r.Owner, Group: r.Group} }

func (r *Resource) content() []byte {
	if len(r.Data) > 0 {
		return r.Data
	}
	return []byte(r.Content)
}

// Text returns the content for people, if it is a text, not too long for them, and
// nothing that they must not see.
func (r *Resource) Text() (string, bool) {
	text := r.content()
	if r.Sensitive || len(text) > textLimit || !utf8.Valid(text) {
		return "", false
	}
	return string(text), true
}

func (r *Resource) digest() (string, int64) {
	if r.Digest != "" {
		return r.Digest, r.Size
	}
	return digestOf(r.content()), int64(len(r.content()))
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// Validate checks path, mode, owner and the validation command.
func (r *Resource) Validate() error {
	errs := []error{perm.CheckPath("path", r.Path), r.spec().Validate()}
	if r.Content != "" && len(r.Data) > 0 {
		errs = append(errs, resource.Fieldf("data", "give content or data", "content is given as well"))
	}
	if len(r.Check) > 0 && !slices.ContainsFunc(r.Check[1:], func(a string) bool { return strings.Contains(a, "%s") }) {
		errs = append(errs, resource.Fieldf("validate", `add %s, such as ["visudo", "-cf", "%s"]`, "no argument says where the path of the new file goes"))
	}
	return errors.Join(errs...)
}

// Observe compares the file with what is wanted.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	fi, err := h.Lstat(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return drift.Missing(), nil
	}
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	if fi.Type != resource.Regular {
		b.Want("type", original.TypeName(fi.Type), "file")
		return r.hide(b.Report()), nil
	}
	if err := r.compareContent(h, fi, &b); err != nil {
		return drift.Report{}, err
	}
	if err := r.spec().Compare(h, fi, &b); err != nil {
		return drift.Report{}, err
	}
	return r.hide(b.Report()), nil
}

func (r *Resource) compareContent(h resource.Host, fi resource.FileInfo, b *drift.Builder) error {
	if r.KeepContent {
		return nil
	}
	want, size := r.digest()
	if fi.Size != size && (fi.Size > textLimit || r.Sensitive) {
		b.Want("content", fmt.Sprintf("%d bytes", fi.Size), fmt.Sprintf("%d bytes", size))
		return nil
	}
	data, err := h.ReadFile(r.Path)
	if err != nil {
		return err
	}
	if got := digestOf(data); got != want {
		c := drift.Change{Attr: "content", From: brief(got, int64(len(data))), To: brief(want, size)}
		if len(data) <= textLimit && utf8.Valid(data) {
			c.Text = string(data)
		}
		b.Add(c)
	}
	return nil
}

// brief names a content for people.
func brief(digest string, size int64) string {
	return fmt.Sprintf("sha256:%.12s (%d bytes)", digest, size)
}

func (r *Resource) hide(rep drift.Report) drift.Report {
	if r.Sensitive {
		return rep.WithoutValues()
	}
	return rep
}

// Apply writes the file, or sets its mode and owner if only those differ.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	found, err := r.Observe(ctx, h)
	if err != nil || found.Agrees() {
		return err
	}
	var was original.Entry
	if found.Status != drift.Absent {
		if was, err = original.Of(h, r.Path); err != nil {
			return err
		}
		if was.Type != "file" && was.Type != "symlink" {
			return fmt.Errorf("cannot write %s: there is a %s", r.Path, was.Type)
		}
		if err := original.KeepUnless(why.Made, h, resource.Ref(r), was); err != nil {
			return err
		}
	}
	access, err := r.access(h, was)
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", r.Path, err)
	}
	if was.Type == "file" && !found.Has("content") {
		return r.setAccess(h, access)
	}
	return r.write(ctx, h, access)
}

func (r *Resource) access(h resource.Host, was original.Entry) (resource.Access, error) {
	has := resource.Access{Mode: 0o644}
	if r.Sensitive {
		has.Mode = 0o600
	}
	if was.Type == "file" {
		has = resource.Access{Mode: was.Mode, UID: was.UID, GID: was.GID}
	}
	return r.spec().Access(h, has)
}

func (r *Resource) setAccess(h resource.Host, want resource.Access) error {
	fi, err := h.Lstat(r.Path)
	if err != nil {
		return err
	}
	return perm.Set(h, r.Path, fi, want)
}

func (r *Resource) write(ctx context.Context, h resource.Host, a resource.Access) error {
	if len(r.Check) == 0 {
		return h.WriteFile(r.Path, r.content(), a)
	}
	temp := r.checkPath()
	if err := h.WriteFile(temp, r.content(), a); err != nil {
		return err
	}
	if err := r.check(ctx, h, temp); err != nil {
		return errors.Join(err, ignoreMissing(h.Remove(temp)))
	}
	return h.Rename(temp, r.Path)
}

// checkPath is where the content is while it is validated: beside the file, so
// that it can be renamed, and hidden from programs that read whole directories.
func (r *Resource) checkPath() string {
	return path.Join(path.Dir(r.Path), "."+path.Base(r.Path)+".updraft-check")
}

func (r *Resource) check(ctx context.Context, h resource.Host, temp string) error {
	args := slices.Clone(r.Check[1:])
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "%s", temp)
	}
	_, err := h.Run(ctx, resource.Command{Name: r.Check[0], Args: args, Quiet: r.Sensitive, Reads: true})
	var exit *resource.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	why := strings.ReplaceAll(exit.Stderr, temp, r.Path)
	if r.Sensitive {
		why = "its output is withheld, as the file is sensitive"
	}
	return fmt.Errorf("cannot put %s in place: %s refuses it with status %d: %s", r.Path, r.Check[0], exit.Code, why)
}

// Remove removes the file, or brings back what was there before.
func (r *Resource) Remove(_ context.Context, h resource.Host, made bool) error {
	if err := ignoreMissing(h.Remove(r.checkPath())); err != nil {
		return err
	}
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if made {
		err = r.removeMade(h)
	} else if kept {
		err = r.restore(h, was)
	}
	if err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}

// removeMade removes the file, but nothing of another type that took its place.
func (r *Resource) removeMade(h resource.Host) error {
	fi, err := h.Lstat(r.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || fi.Type != resource.Regular {
		return err
	}
	return ignoreMissing(h.Remove(r.Path))
}

// restore puts the original back. Somebody may have removed the directory
// meanwhile; then there is no place for it and nothing to do.
func (r *Resource) restore(h resource.Host, was original.Entry) error {
	now, err := original.Of(h, r.Path)
	if err != nil {
		return err
	}
	if now.Type == was.Type && now.Mode == was.Mode && now.UID == was.UID && now.GID == was.GID &&
		now.Text == was.Text && bytes.Equal(now.Data, was.Data) {
		return nil
	}
	return ignoreMissing(was.Restore(h, r.Path))
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
