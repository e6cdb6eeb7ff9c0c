// Package timer is the resource kind timer: a job that systemd runs at times, as
// a pair of a timer unit and a service unit.
//
// Both units are updraft's, which their first line says; units of others with
// the same name are refused, not overwritten.
package timer

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
	"github.com/updraft-cloud/updraft/internal/resource/unit"
)

// Resource is a job of systemd's timers.
type Resource struct {
	Name        string            `json:"name" required:"true" doc:"Name of the job; the units are NAME.timer and NAME.service."`
	Command     []string          `json:"command" required:"true" doc:"Program, by its absolute path, and its arguments. There is no shell."`
	OnCalendar  string            `json:"on_calendar,omitempty" doc:"When it runs, as in systemd.time(7), such as daily or Mon..Fri 03:30."`
	OnBoot      string            `json:"on_boot,omitempty" doc:"How long after boot it runs, such as 10min."`
	Every       string            `json:"every,omitempty" doc:"How long after each run it runs again, such as 1h. Give on_boot as well for the first run."`
	RandomDelay string            `json:"random_delay,omitempty" doc:"Upper bound of a random delay of each run, so that a fleet does not run at once."`
	Persistent  bool              `json:"persistent,omitempty" doc:"Make up for a calendar run that was missed while the host was off."`
	User        string            `json:"user,omitempty" default:"root" doc:"User as whom it runs."`
	Env         map[string]string `json:"env,omitempty" doc:"Environment variables. The file can be read by everybody: no secrets."`
	Timeout     string            `json:"timeout,omitempty" doc:"How long a run may take, such as 30min; no bound when left out."`
}

// Kind describes the kind.
func Kind() resource.Kind {
	return resource.Kind{
		Name: "timer",
		Doc:  "A job that systemd runs at times: a timer unit with its service unit, enabled and started. Its output is in the journal.",
		New:  func() resource.Resource { return &Resource{} },
		Example: "name: backup\ncommand: [/usr/local/bin/backup, --all]\non_calendar: \"*-*-* 03:30\"\nrandom_delay: 10min\n" +
			"persistent: true\n",
	}
}

// Kind returns "timer".
func (*Resource) Kind() string { return "timer" }

// Key returns the name.
func (r *Resource) Key() string { return r.Name }

// Needs names the user.
func (r *Resource) Needs() []string {
	if r.User == "" {
		return nil
	}
	return []string{"user:" + r.User}
}

// Removal keeps the name.
func (r *Resource) Removal() resource.Resource { return &Resource{Name: r.Name} }

var (
	nameRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.-]*$`)
	envRE  = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// spanRE is a time span of systemd.time(7): 90, 5min, 1h 30min.
	spanRE = regexp.MustCompile(`^\d+(\.\d+)?[a-zA-Zμ]*( ?\d+(\.\d+)?[a-zA-Zμ]+)*$`)
	// calendarRE lets through only the characters that a calendar event is made of.
	calendarRE = regexp.MustCompile(`^[A-Za-z0-9*:,./~+_ -]+$`)
)

// Validate checks what reaches the unit files.
func (r *Resource) Validate() error {
	var errs []error
	fault := func(field, mend, format string, args ...any) {
		errs = append(errs, resource.Fieldf(field, mend, format, args...))
	}
	if !nameRE.MatchString(r.Name) || !unit.ValidName(r.Name+".service") {
		fault("name", "use letters, digits and :_.-", "%q is not a name for a unit", r.Name)
	}
	if len(r.Command) == 0 || !strings.HasPrefix(r.Command[0], "/") {
		fault("command", "write [/absolute/path, ARGUMENT, …]", "%q names no program by its path", r.Command)
	}
	if slices.ContainsFunc(r.Command, func(a string) bool { return strings.ContainsAny(a, "\n\r\x00") }) {
		fault("command", "put it into a script file", "an argument has more than one line")
	}
	if r.OnCalendar == "" && r.OnBoot == "" && r.Every == "" {
		fault("on_calendar", "give on_calendar, on_boot or every", "it is not said when the job runs")
	}
	if r.OnCalendar != "" && !calendarRE.MatchString(r.OnCalendar) {
		fault("on_calendar", "see systemd.time(7); try: systemd-analyze calendar", "%q is not a calendar event", r.OnCalendar)
	}
	for field, span := range map[string]string{"on_boot": r.OnBoot, "every": r.Every, "random_delay": r.RandomDelay, "timeout": r.Timeout} {
		if span != "" && !spanRE.MatchString(span) {
			fault(field, "write it like 90s, 10min or 1h 30min", "%q is not a time span", span)
		}
	}
	if r.User != "" {
		if err := account.CheckName(r.User); err != nil {
			fault("user", "", "%v", err)
		}
	}
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		if !envRE.MatchString(k) || strings.ContainsAny(r.Env[k], "\n\r\x00") {
			fault("env", "use letters, digits and _", "%q is not a variable", k)
		}
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// quote quotes a word for a unit file (systemd.syntax(7), systemd.service(5)):
// neither specifiers nor variables are expanded in it.
func quote(s string, variables bool) string {
	s = strings.NewReplacer(`\`, `\\`, `"`, `\"`, `%`, `%%`, "\t", `\t`).Replace(s)
	if variables {
		s = strings.ReplaceAll(s, "$", "$$")
	}
	return `"` + s + `"`
}

// Service renders the service unit.
func (r *Resource) Service() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s[Unit]\nDescription=%s, run by %s.timer\n\n[Service]\nType=oneshot\n", conffile.Header, r.Name, r.Name)
	set := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
		}
	}
	set("User", r.User)
	set("TimeoutStartSec", r.Timeout)
	for _, k := range slices.Sorted(maps.Keys(r.Env)) {
		set("Environment", quote(k+"="+r.Env[k], false))
	}
	words := make([]string, len(r.Command))
	for i, w := range r.Command {
		words[i] = quote(w, true)
	}
	set("ExecStart", strings.Join(words, " "))
	return b.String()
}

// Timer renders the timer unit.
func (r *Resource) Timer() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s[Unit]\nDescription=When %s.service runs\n\n[Timer]\n", conffile.Header, r.Name)
	persistent := ""
	if r.Persistent {
		persistent = "true"
	}
	for _, s := range [][2]string{
		{"OnCalendar", r.OnCalendar}, {"OnBootSec", r.OnBoot}, {"OnUnitActiveSec", r.Every},
		{"RandomizedDelaySec", r.RandomDelay}, {"Persistent", persistent},
	} {
		if s[1] != "" {
			fmt.Fprintf(&b, "%s=%s\n", s[0], s[1])
		}
	}
	b.WriteString("\n[Install]\nWantedBy=timers.target\n")
	return b.String()
}

// units are the two units, in the order in which they are made.
func (r *Resource) units() (service, timer *unit.Resource) {
	enabled := true
	return &unit.Resource{Name: r.Name + ".service", Content: r.Service()},
		&unit.Resource{Name: r.Name + ".timer", Content: r.Timer(), Enabled: &enabled, State: unit.Started}
}

// Prepare asks systemd once for all units of all timers.
func (*Resource) Prepare(ctx context.Context, h resource.Host, all []resource.Resource) error {
	var names []string
	for _, a := range all {
		names = append(names, a.Key()+".service", a.Key()+".timer")
	}
	return unit.Show(ctx, h, names...)
}

// Observe compares both units.
func (r *Resource) Observe(ctx context.Context, h resource.Host) (drift.Report, error) {
	service, timer := r.units()
	var b drift.Builder
	for _, u := range []*unit.Resource{timer, service} {
		rep, err := u.Observe(ctx, h)
		if err != nil {
			return drift.Report{}, err
		}
		if rep.Status == drift.Absent && u == timer {
			return rep, nil
		}
		what := strings.TrimPrefix(u.Name, r.Name+".")
		if rep.Status == drift.Absent {
			b.Want(what, "absent", u.Name)
		}
		for _, c := range rep.Changes {
			c.Attr = what + " " + c.Attr
			b.Add(c)
		}
	}
	return b.Report(), nil
}

// Apply makes the service, then the timer.
func (r *Resource) Apply(ctx context.Context, h resource.Host, _ drift.Report, _ resource.Cause) error {
	service, timer := r.units()
	for _, u := range []*unit.Resource{service, timer} {
		if err := checkOurs(h, u.Name); err != nil {
			return err
		}
	}
	for _, u := range []*unit.Resource{service, timer} {
		// Made, as checkOurs has found: nothing of others need be kept.
		if err := u.Apply(ctx, h, drift.Report{}, resource.Cause{Made: true}); err != nil {
			return err
		}
	}
	return nil
}

// checkOurs refuses a unit that somebody else made.
func checkOurs(h resource.Host, name string) error {
	text, err := conffile.Read(h, "/etc/systemd/system/"+name)
	if err != nil {
		return err
	}
	theirs, err := conffile.Exists(h, "/usr/lib/systemd/system/"+name)
	if err != nil {
		return err
	}
	if theirs || text != "" && !strings.HasPrefix(text, conffile.Header) {
		return fmt.Errorf("cannot make %s: there is a unit of that name that is not updraft's; choose another name", name)
	}
	return nil
}

// Remove removes the timer, then the service, if they are ours.
func (r *Resource) Remove(ctx context.Context, h resource.Host, _ bool) error {
	service, timer := r.units()
	for _, u := range []*unit.Resource{timer, service} {
		if checkOurs(h, u.Name) != nil {
			continue
		}
		if err := u.Remove(ctx, h, true); err != nil {
			return err
		}
	}
	return nil
}
