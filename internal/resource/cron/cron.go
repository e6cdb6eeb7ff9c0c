// Package cron is the resource kind cron: a job in a file of its own below
// /etc/cron.d, which cron reads by itself.
package cron

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
	"github.com/updraft-cloud/updraft/internal/resource/conffile"
)

// Resource is a job of cron.
type Resource struct {
	Name     string            `json:"name" required:"true" doc:"Name of the job: letters, digits, _ and -."`
	Schedule string            `json:"schedule" required:"true" doc:"The five time fields of crontab(5), or a word such as @daily."`
	Command  string            `json:"command" required:"true" doc:"Command line for /bin/sh, on one line. A % is passed on as it is."`
	User     string            `json:"user,omitempty" default:"root" doc:"User as whom it runs."`
	Env      map[string]string `json:"env,omitempty" doc:"Variables such as PATH or MAILTO. The file can be read by everybody: no secrets."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name:    "cron",
		Doc:     "A job in /etc/cron.d. The host needs a cron daemon; where there may be none, use a timer.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: cleanup\nschedule: \"17 3 * * *\"\ncommand: find /var/tmp -xdev -mtime +30 -delete\nuser: root\n",
	}
}

// Kind returns "cron".
func (*Resource) Kind() string { return "cron" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Needs names the user.
func (r *Resource) Needs() []string { return []string{"user:" + r.user()} }

// Removal keeps the name.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name} }

func (r *Resource) user() string {
	if r.User == "" {
		return "root"
	}
	return r.User
}

// cron ignores files whose names have other characters.
var nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*$`)

var envRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Validate checks everything, as cron itself tells faults to its log only.
func (r *Resource) Validate() error {
	var errs []error
	if !nameRE.MatchString(r.Name) {
		errs = append(errs, resource.Fieldf("name", "use letters, digits, _ and -", "%q is not a name that cron reads", r.Name))
	}
	if err := checkSchedule(r.Schedule); err != nil {
		errs = append(errs, resource.Fieldf("schedule", `write it like "*/5 * * * *" or @daily`, "%q is not a schedule: %v", r.Schedule, err))
	}
	if r.Command == "" || !conffile.OneLine(r.Command) {
		errs = append(errs, resource.Fieldf("command", "write one line; put more into a script file", "%q is not a command line", r.Command))
	}
	if err := account.CheckName(r.user()); err != nil {
		errs = append(errs, resource.Fieldf("user", "", "%v", err))
	}
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		if !envRE.MatchString(k) || !conffile.OneLine(r.Env[k]) || strings.ContainsAny(r.Env[k], `"'`) {
			errs = append(errs, resource.Fieldf("env", "use a name of letters, digits and _, and a value without quotes", "%s=%q is not a variable", k, r.Env[k]))
		}
	}
	return errors.Join(errs...)
}

func (r *Resource) file() conffile.File {
	var b strings.Builder
	b.WriteString(conffile.Header)
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		fmt.Fprintf(&b, "%s=%q\n", k, r.Env[k])
	}
	// An unescaped % ends the command and begins its input.
	fmt.Fprintf(&b, "%s %s %s\n", r.Schedule, r.user(), strings.ReplaceAll(r.Command, "%", `\%`))
	return conffile.File{Path: r.path(), Text: b.String()}
}

func (r *Resource) path() string { return "/etc/cron.d/updraft-" + r.Name }

// Observe compares the file.
func (r *Resource) Observe(_ context.Context, h resource.Host) (drift.Report, error) {
	var b drift.Builder
	there, err := r.file().Compare(h, &b, "job")
	if err != nil || there {
		return b.Report(), err
	}
	return drift.Missing(), nil
}

// Apply writes the file.
func (r *Resource) Apply(_ context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	there, err := conffile.Exists(h, "/etc/cron.d")
	if err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("cannot add cron job %s: this host has no /etc/cron.d; install cron, or use a timer", r.Name)
	}
	_, err = r.file().Write(h)
	return err
}

// Remove removes the file.
func (r *Resource) Remove(_ context.Context, h resource.Host, _ bool) error {
	_, err := conffile.Remove(h, r.path())
	return err
}
