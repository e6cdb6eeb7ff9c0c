// Package sysctl is the kind "sysctl": a setting of the kernel, now and after
// the next boot.
//
// The live value is written to /proc/sys and read back, as the kernel may clamp
// it. The lasting one is a file of its own below /etc/sysctl.d. Removing the
// resource removes that file and sets the value that was live before.
package sysctl

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/original"
)

// Resource is a kernel setting.
type Resource struct {
	Name     string `json:"name" doc:"Name of the setting, such as net.ipv4.ip_forward; a dot inside an interface's name is written as a slash." required:"true"`
	Value    string `json:"value" doc:"The value; several numbers are separated by blanks." required:"true"`
	Optional bool   `json:"optional,omitempty" doc:"Take it as done where the kernel has no such setting."`
}

// Kind returns the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "sysctl",
		Doc:  "A setting of the kernel, set now and at every boot.",
		New:  func() resource.Resource { return &Resource{} },
		Example: `name: net.ipv4.ip_forward
value: "1"
`,
	}
}

// Kind returns "sysctl".
func (*Resource) Kind() string { return "sysctl" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Removal returns the name alone.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name} }

// Needs returns the kernel module that brings the settings of bridges.
func (r *Resource) Needs() []string {
	if strings.HasPrefix(r.Name, "net.bridge.") {
		return []string{"kernelmodule:br_netfilter"}
	}
	return nil
}

// Validate checks name and value.
func (r *Resource) Validate() error {
	var errs []error
	bad := strings.ContainsFunc(r.Name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/:@", c))
	})
	if bad || !strings.Contains(r.Name, ".") || strings.Contains(r.Name, "..") || strings.Contains(r.Name, "//") || strings.HasPrefix(r.Name, ".") || strings.HasSuffix(r.Name, ".") || len(r.Name) > 200 {
		errs = append(errs, resource.Fieldf("name", "give a name such as net.ipv4.ip_forward", "%q is not the name of a setting", r.Name))
	}
	if strings.TrimSpace(r.Value) == "" || strings.ContainsFunc(r.Value, func(c rune) bool { return c < ' ' && c != '\t' }) {
		errs = append(errs, resource.Fieldf("value", "give the value on one line", "is empty or of several lines"))
	}
	return errors.Join(errs...)
}

// live is the setting's file: dots and slashes change places (sysctl.d(5)).
func (r *Resource) live() string {
	swap := strings.NewReplacer(".", "/", "/", ".")
	return "/proc/sys/" + swap.Replace(r.Name)
}

// lasting is the file that sets the value at boot.
func (r *Resource) lasting() string {
	return "/etc/sysctl.d/60-updraft-" + strings.ReplaceAll(r.Name, "/", "~") + ".conf"
}

func (r *Resource) text() string {
	mark := ""
	if r.Optional {
		mark = "-" // no error at boot (sysctl.d(5))
	}
	return fmt.Sprintf("# Made by updraft; changes will be undone.\n%s%s = %s\n", mark, r.Name, words(r.Value))
}

// words makes values comparable: the kernel separates by tabs.
func words(s string) string { return strings.Join(strings.Fields(s), " ") }

// Observe compares the live and the lasting value. A setting is never absent:
// it has a value before updraft sees it.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	var b drift.Builder
	got, err := h.ReadFile(r.live())
	switch {
	case errors.Is(err, fs.ErrNotExist) && !r.Optional:
		b.Want("live", "unknown to the kernel", words(r.Value))
	case err == nil:
		b.Want("live", words(string(got)), words(r.Value))
	case !errors.Is(err, fs.ErrNotExist):
		return drift.Report{}, err
	}
	file, err := h.ReadFile(r.lasting())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return drift.Report{}, err
	}
	if string(file) != r.text() {
		b.Want("lasting", lastingValue(string(file)), words(r.Value))
	}
	return b.Report(), nil
}

// lastingValue tells a person what a file sets.
func lastingValue(text string) string {
	if text == "" {
		return "not set"
	}
	_, value, ok := strings.Cut(text, " = ")
	if !ok {
		return "something else"
	}
	return words(value)
}

// Apply sets the live value, then the lasting one: a value that the kernel
// refuses does not stay for the next boot.
func (r *Resource) Apply(_ context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	got, err := h.ReadFile(r.live())
	missing := errors.Is(err, fs.ErrNotExist)
	switch {
	case missing && !r.Optional:
		return fmt.Errorf("cannot set %s: this kernel has no such setting (a module may be missing; optional: true goes on without)", r.Name)
	case err != nil && !missing:
		return err
	}
	if err := r.keep(h, got, missing); err != nil {
		return err
	}
	if !missing && words(string(got)) != words(r.Value) {
		if err := r.set(h, r.Value); err != nil {
			return err
		}
	}
	if file, err := h.ReadFile(r.lasting()); err == nil && string(file) == r.text() {
		return nil
	}
	return h.WriteFile(r.lasting(), []byte(r.text()), resource.Access{Mode: 0o644})
}

// keep stores the live value before the first change. A lasting file that is
// there says that the first change is past.
func (r *Resource) keep(h resource.Host, got []byte, missing bool) error {
	if missing {
		return nil
	}
	if _, err := h.Lstat(r.lasting()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return original.Keep(h, resource.Ref(r), original.Entry{Text: words(string(got))})
}

func (r *Resource) set(h resource.Host, value string) error {
	err := h.WriteKernel(r.live(), []byte(words(value)+"\n"))
	if errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission) {
		return fmt.Errorf("cannot set %s: it is read-only here, as in most containers: %w", r.Name, err)
	}
	if err != nil {
		return fmt.Errorf("cannot set %s to %q: %w", r.Name, value, err)
	}
	got, err := h.ReadFile(r.live())
	if err != nil {
		return err
	}
	if words(string(got)) != words(value) {
		return fmt.Errorf("cannot set %s to %q: the kernel made it %q", r.Name, value, words(string(got)))
	}
	return nil
}

// Remove removes the lasting value and sets the live one to what it was.
func (r *Resource) Remove(_ context.Context, h resource.Host, _ bool) error {
	was, kept, err := original.Load(h, resource.Ref(r))
	if err != nil {
		return err
	}
	if kept {
		got, err := h.ReadFile(r.live())
		if err == nil && words(string(got)) != was.Text {
			err = r.set(h, was.Text)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := h.Remove(r.lasting()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return original.Drop(h, resource.Ref(r))
}
