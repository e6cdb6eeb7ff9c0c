// Package hostname is the kind "hostname": the name of the host, now and after
// the next boot.
//
// It writes /etc/hostname and sets the kernel's name by the command hostname,
// so it works without systemd's D-Bus services. Removing it brings back the
// name from before.
package hostname

import (
	"context"
	"errors"
	"io/fs"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

const (
	file   = "/etc/hostname"
	kernel = "/proc/sys/kernel/hostname"
)

// Resource is the host's name.
type Resource struct {
	Name string `json:"name" doc:"Name of the host: letters, digits, hyphens and dots, 64 characters at most." required:"true"`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name:    "hostname",
		Doc:     "The name of the host, now and after the next boot. There is one per host.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: web1\n",
	}
}

// Kind returns "hostname".
func (*Resource) Kind() string { return "hostname" }

// Key returns the same for all: a host has one name.
func (*Resource) Key() string { return "system" }

// Validate checks the name (RFC 1123, 2.1; Linux takes 64 bytes).
func (r *Resource) Validate() error {
	if err := CheckName(r.Name); err != "" {
		return resource.Fieldf("name", "choose a name such as web1", "%q %s", r.Name, err)
	}
	return nil
}

// CheckName says what is wrong with a host name, or "".
func CheckName(name string) string {
	if len(name) > 64 {
		return "is longer than 64 characters"
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return "is not a host name"
		}
		for _, c := range []byte(label) {
			if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-') {
				return "is not a host name"
			}
		}
	}
	return ""
}

// Observe compares the live and the lasting name.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	live, lasting, err := names(h)
	if err != nil {
		return drift.Report{}, err
	}
	var b drift.Builder
	b.Want("live", live, r.Name)
	b.Want("lasting", lasting, r.Name)
	return b.Report(), nil
}

// names returns both names; the lasting one is empty where there is none.
func names(h resource.Host) (live, lasting string, err error) {
	data, err := h.ReadFile(kernel)
	if err != nil {
		return "", "", err
	}
	text, err := h.ReadFile(file)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	return strings.TrimSpace(string(data)), fileName(string(text)), nil
}

// fileName reads the format of hostname(5): comments, then the name.
func fileName(text string) string {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			return line
		}
	}
	return ""
}

// Apply sets both names.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	live, lasting, err := names(h)
	if err != nil || live == r.Name && lasting == r.Name {
		return err
	}
	was, err := original.Of(h, file)
	if err != nil {
		return err
	}
	was.Text = live
	if err := original.Keep(h, resource.Ref(r), was); err != nil {
		return err
	}
	if lasting != r.Name {
		if err := h.WriteFile(file, []byte(r.Name+"\n"), resource.Access{Mode: 0o644}); err != nil {
			return err
		}
	}
	return setLive(ctx, h, live, r.Name)
}

func setLive(ctx context.Context, h resource.Host, is, want string) error {
	if is == want {
		return nil
	}
	_, err := h.Run(ctx, resource.Command{Name: "hostname", Args: []string{want}})
	return err
}

// Remove brings back both names.
func (r *Resource) Remove(ctx context.Context, h resource.Host, _ bool) error {
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil || !kept {
		return errors.Join(err, original.Drop(h, resource.Ref(r)))
	}
	live, _, err := names(h)
	if err != nil {
		return err
	}
	if was.Type == "" {
		err = h.Remove(file)
	} else {
		e := was
		e.Type = "file"
		err = e.Restore(h, file)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := setLive(ctx, h, live, was.Text); err != nil {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}
