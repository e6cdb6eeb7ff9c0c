// Package command is the resource kind command: a program that is run when a
// guard says that its work is not done.
//
// There is no unguarded command. The guard is a path that exists once the work
// is done, or a probe command, which by contract changes nothing: it is run
// whenever the host is observed. After the command the guard is asked again,
// so that a command that claims success without having done its work fails.
package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/account"
)

const (
	// defaultTimeout bounds a command that says nothing of its own.
	defaultTimeout = 5 * time.Minute
	// probeTimeout bounds a guard. It is part of every observation.
	probeTimeout = 30 * time.Second
)

// Resource is a guarded command.
type Resource struct {
	Name      string            `json:"name" required:"true" doc:"Name of the command, for people and references."`
	Run       []string          `json:"run,omitempty" doc:"Program with its arguments, run without a shell."`
	Script    string            `json:"script,omitempty" doc:"Text for /bin/sh -eu instead of run. It shows in the process list: give secrets by stdin or env, and set sensitive, so that what it prints is not kept."`
	Creates   string            `json:"creates,omitempty" doc:"Path that exists once the work is done. One of creates, unless and onlyif is required."`
	Unless    string            `json:"unless,omitempty" doc:"Shell text that succeeds once the work is done. It must not change anything."`
	OnlyIf    string            `json:"onlyif,omitempty" doc:"Shell text that succeeds as long as there is work to do. It must not change anything."`
	User      string            `json:"user,omitempty" doc:"User as whom command and guard run; root when left out."`
	Dir       string            `json:"cwd,omitempty" doc:"Directory in which command and guard run."`
	Env       map[string]string `json:"env,omitempty" doc:"Environment variables of command and guard."`
	Stdin     string            `json:"stdin,omitempty" doc:"Text for the command's standard input."`
	Timeout   string            `json:"timeout,omitempty" default:"5m" doc:"How long the command may take, such as 90s or 10m."`
	Sensitive bool              `json:"sensitive,omitempty" doc:"Keep the command's output out of logs and errors."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "command",
		Doc: "A command that is run when its guard says that its work is not done, or when something that triggers it has changed. " +
			"What it did stays when it is removed.",
		New:     func() resource.Resource { return &Resource{} },
		Example: "name: dhparam\nrun: [openssl, dhparam, -out, /etc/ssl/dhparam.pem, \"2048\"]\ncreates: /etc/ssl/dhparam.pem\n",
	}
}

// Kind returns "command".
func (*Resource) Kind() string { return "command" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// IsSensitive reports whether the values must not be shown.
func (r *Resource) IsSensitive() bool { return r.Sensitive }

// Probe leaves out what only the command itself needs.
func (r *Resource) Probe() resource.Resource {
	c := *r
	c.Run, c.Script, c.Stdin = nil, "", ""
	return &c
}

// Removal keeps the name alone: there is nothing to take back.
func (r *Resource) Removal() resource.Resource {
	return &Resource{Name: r.Name, Sensitive: r.Sensitive}
}

// Needs names the user and the directory.
func (r *Resource) Needs() []string {
	var out []string
	if r.User != "" {
		out = append(out, "user:"+r.User)
	}
	if r.Dir != "" {
		out = append(out, "directory:"+r.Dir)
	}
	return out
}

var (
	nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9 ._:@/+-]*$`)
	envRE  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Validate insists on a guard.
func (r *Resource) Validate() error {
	var errs []error
	fault := func(field, mend, format string, args ...any) {
		errs = append(errs, resource.Fieldf(field, mend, format, args...))
	}
	if !nameRE.MatchString(r.Name) {
		fault("name", "use letters, digits, spaces and ._:@/+-", "%q is not a name for a command", r.Name)
	}
	switch {
	case len(r.Run) == 0 && r.Script == "":
		fault("run", `write [PROGRAM, ARGUMENT, …], or give a script`, "there is nothing to run")
	case len(r.Run) > 0 && r.Script != "":
		fault("script", "leave one of them out", "there is run as well")
	case len(r.Run) > 0 && (r.Run[0] == "" || strings.ContainsRune(strings.Join(r.Run, ""), 0)):
		fault("run", "name a program", "%q cannot be run", r.Run)
	}
	if r.Creates == "" && r.Unless == "" && r.OnlyIf == "" {
		fault("unless", "give creates, unless or onlyif, so that it is known when the work is done", "the command has no guard")
	}
	for field, p := range map[string]string{"creates": r.Creates, "cwd": r.Dir} {
		if p != "" && (!path.IsAbs(p) || strings.ContainsRune(p, 0)) {
			fault(field, "write a path that begins with /", "%q is not an absolute path", p)
		}
	}
	if r.User != "" {
		if err := account.CheckName(r.User); err != nil {
			fault("user", "", "%v", err)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		if !envRE.MatchString(k) || strings.ContainsRune(r.Env[k], 0) {
			fault("env", "use letters, digits and _", "%q is not the name of a variable", k)
		}
	}
	if d, err := r.timeout(); err != nil || d <= 0 {
		fault("timeout", "write it like 90s or 10m", "%q is not a duration", r.Timeout)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

func (r *Resource) timeout() (time.Duration, error) {
	if r.Timeout == "" {
		return defaultTimeout, nil
	}
	return time.ParseDuration(r.Timeout)
}

// Takes returns how long applying may take: the command, and its guards before
// and after it.
func (r *Resource) Takes() time.Duration {
	d, err := r.timeout()
	if err != nil {
		return defaultTimeout // refused by Validate
	}
	return d + 4*probeTimeout
}

// Observe asks the guards. A guard that cannot be asked yet, as its program or
// user is only about to be made, counts as work to do: Apply asks again.
//
// All guards that are given must agree that there is work.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	why, err := r.pending(ctx, h)
	var unready *unreadyError
	if errors.As(err, &unready) {
		why, err = unready.Error(), nil
	}
	if err != nil || why == "" {
		return drift.Report{Status: drift.InSync}, err
	}
	var b drift.Builder
	b.Want("work", why, "done")
	rep := b.Report()
	if r.Sensitive {
		rep = rep.WithoutValues()
	}
	return rep, nil
}

// unreadyError says that a guard could not be asked.
type unreadyError struct{ why string }

func (e *unreadyError) Error() string { return e.why }

// pending says why there is work to do; "" when there is none.
func (r *Resource) pending(ctx context.Context, h resource.Host) (why string, err error) {
	if r.Creates != "" {
		if _, err := h.Stat(r.Creates); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		why = r.Creates + " does not exist"
	}
	if r.Unless != "" {
		ok, err := r.ask(ctx, h, "unless", r.Unless)
		var unready *unreadyError
		switch {
		case errors.As(err, &unready): // perhaps it is the command that brings it
			why = unready.why
		case ok || err != nil:
			return "", err
		default:
			why = "unless fails"
		}
	}
	if r.OnlyIf != "" {
		ok, err := r.ask(ctx, h, "onlyif", r.OnlyIf)
		if !ok || err != nil {
			return "", err
		}
		why = "onlyif succeeds"
	}
	return why, nil
}

// Exit statuses of a shell that could not run the command.
const (
	notExecutable = 126
	notFound      = 127
)

// ask runs a guard.
func (r *Resource) ask(ctx context.Context, h resource.Host, field, text string) (bool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, fmt.Errorf("it took longer than %s", probeTimeout))
	defer cancel()
	c, err := r.command(h, []string{"/bin/sh", "-c", text})
	if err != nil {
		return false, err
	}
	c.Reads, c.Quiet = true, true
	_, err = h.Run(ctx, c)
	var exit *resource.ExitError
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, fs.ErrNotExist):
		return false, &unreadyError{"what " + field + " needs is not there yet"}
	case !errors.As(err, &exit):
		return false, fmt.Errorf("cannot ask %s: %w", field, err)
	case exit.Code == notFound || exit.Code == notExecutable:
		return false, &unreadyError{field + " names a command that is not there yet"}
	default:
		return false, nil
	}
}

// command returns argv as it is run: as the user, in the directory.
func (r *Resource) command(h resource.Host, argv []string) (resource.Command, error) {
	c := resource.Command{Dir: r.Dir}
	if r.User != "" && r.User != "root" {
		db, err := account.Load(h)
		if err != nil {
			return c, err
		}
		u, ok := db.User(r.User)
		if !ok {
			return c, &unreadyError{fmt.Sprintf("there is no user %s yet", r.User)}
		}
		c.Env = append(c.Env, "HOME="+u.Home, "USER="+r.User, "LOGNAME="+r.User)
		argv = append([]string{"runuser", "-u", r.User, "--"}, argv...)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		c.Env = append(c.Env, k+"="+r.Env[k])
	}
	c.Name, c.Args = argv[0], argv[1:]
	return c, nil
}

// Apply runs the command if the guard still asks for it, or a trigger does.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, why resource.Cause) error {
	work, err := r.pending(ctx, h)
	if err != nil {
		return fmt.Errorf("cannot run command %s: %w", r.Name, err)
	}
	if work == "" && len(why.Triggered) == 0 {
		return nil
	}
	if err := r.run(ctx, h); err != nil {
		return err
	}
	if work, err = r.pending(ctx, h); err == nil && work != "" {
		err = fmt.Errorf("command %s has run, but its work is not done: %s", r.Name, work)
	}
	return err
}

func (r *Resource) run(ctx context.Context, h resource.Host) error {
	limit, err := r.timeout()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %s", limit))
	defer cancel()
	argv := r.Run
	if r.Script != "" {
		argv = []string{"/bin/sh", "-euc", r.Script}
	}
	c, err := r.command(h, argv)
	if err != nil {
		return fmt.Errorf("cannot run command %s: %w", r.Name, err)
	}
	c.Quiet = r.Sensitive
	if r.Stdin != "" {
		c.Stdin = []byte(r.Stdin)
	}
	_, err = h.Run(ctx, c)
	var exit *resource.ExitError
	switch {
	case err == nil:
		return nil
	case context.Cause(ctx) != nil:
		return fmt.Errorf("command %s was ended: %w", r.Name, context.Cause(ctx))
	case !errors.As(err, &exit):
		return fmt.Errorf("cannot run command %s: %w", r.Name, err)
	case r.Sensitive || exit.Stderr == "":
		return fmt.Errorf("command %s ended with status %d", r.Name, exit.Code)
	default:
		return fmt.Errorf("command %s ended with status %d: %s", r.Name, exit.Code, exit.Stderr)
	}
}

// Remove does nothing: what a command did cannot be known.
func (*Resource) Remove(context.Context, resource.Host, bool) error { return nil }
