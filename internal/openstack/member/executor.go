package member

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// Executor is the [engine.Executor] and [engine.Guard] of the scope.
type Executor struct {
	// D has the controllers that stay or come.
	D *stack.Deployment
	// Clusters are those that they decide in.
	Clusters []status.Ensemble
	// Known returns the controllers that had members before this run.
	Known func() map[string]Controller
	// Run runs shell text on a controller as root, and returns what it prints. Its
	// error says why where the host does not answer.
	Run func(ctx context.Context, host, script string) (string, error)
}

// Times within which a controller says how it is, services object, it leaves, and is
// forgotten.
const (
	askWithin    = 15 * time.Second
	objectWithin = time.Minute
	leaveWithin  = 5 * time.Minute
	forgetWithin = 3 * time.Minute
)

// Observe finds members in place: they join by themselves.
func (x *Executor) Observe(_ context.Context, _ string, nodes []*engine.Node) ([]drift.Report, error) {
	out := make([]drift.Report, len(nodes))
	for i := range out {
		out[i].Status = drift.InSync
	}
	return out, nil
}

// Apply implements [engine.Executor].
func (x *Executor) Apply(context.Context, *engine.Node, drift.Report, engine.Cause, func(string)) error {
	return nil
}

// going are the controllers that had members and are not in the file, staying those
// that had and are.
func (x *Executor) going() (going []Controller, staying []*spec.Host) {
	known := x.Known()
	for _, h := range x.D.Spec.Controllers {
		if _, ok := known[h.Name]; ok {
			staying = append(staying, h)
		}
	}
	for _, c := range known {
		if !slices.ContainsFunc(staying, func(h *spec.Host) bool { return h.Name == c.Name }) {
			going = append(going, c)
		}
	}
	slices.SortFunc(going, func(a, b Controller) int { return strings.Compare(a.Name, b.Name) })
	return going, staying
}

// Object implements [engine.Guard]: it says why the clusters would not bear it.
func (x *Executor) Object(ctx context.Context, r engine.Record) error {
	if r.Kind != Kind {
		return nil
	}
	going, staying := x.going()
	if len(staying) == 0 {
		return errors.New("no controller would stay that has the database. Nothing was changed. Put one of them back into the cloud file, and take it out when the others have joined")
	}
	faults := x.look(ctx, going, staying)
	serving, running, all := 0, 0, len(staying)
	var why []string
	for _, h := range staying {
		if faults[h.Name] == "" {
			serving, running = serving+1, running+1
			continue
		}
		why = append(why, faults[h.Name])
	}
	for _, c := range going {
		switch faults[c.Name] {
		case hasLeft: // in a run before this one
			continue
		case "":
			running++
		default:
			why = append(why, faults[c.Name])
		}
		all++
	}
	if err := quorum(serving, len(staying), running, all, why); err != nil {
		return err
	}
	return x.objections(ctx, going, staying)
}

// objections asks the services on all controllers that answer.
func (x *Executor) objections(ctx context.Context, going []Controller, staying []*spec.Host) error {
	var script strings.Builder
	for _, s := range x.D.Services {
		if s.Leaving.Object != nil {
			script.WriteString(s.Leaving.Object(x.D))
		}
	}
	if script.Len() == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, objectWithin)
	defer cancel()
	var hosts []string
	for _, h := range staying {
		hosts = append(hosts, h.Name)
	}
	for _, c := range going {
		hosts = append(hosts, c.Name)
	}
	said := make([]string, len(hosts))
	var g errgroup.Group
	for i, h := range hosts {
		g.Go(func() error {
			said[i], _ = x.Run(ctx, h, script.String()) // who does not answer has no say
			return nil
		})
	}
	_ = g.Wait() // what was said is in said
	for i, text := range said {
		if text = strings.TrimSpace(text); text != "" {
			return fmt.Errorf("%s: %s. Nothing was changed", hosts[i], strings.ReplaceAll(text, "\n", "; "))
		}
	}
	return nil
}

// quorum says why a cluster of which so many serve of those that stay, and so many of
// all, cannot do without the others.
func quorum(serving, staying, running, all int, why []string) error {
	const mend = "Nothing was changed. Bring back what is down first (put the controllers back into the cloud file, updraft up)"
	switch reasons := strings.Join(why, "; "); {
	case 2*running <= all:
		return fmt.Errorf("the clusters of the controllers have no majority, without which nobody leaves: %d of %d serve (%s). %s", running, all, reasons, mend)
	case 2*serving <= staying:
		return fmt.Errorf("the clusters of the controllers would have no majority left: of the %d that stay, %d serve (%s). %s; or take out the one that is down instead",
			staying, serving, reasons, mend)
	}
	return nil
}

// look returns what is wrong with members, by controller; nothing for those that
// serve in all clusters. Of those that go only whether they answer counts.
func (x *Executor) look(ctx context.Context, going []Controller, staying []*spec.Host) map[string]string {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	defer cancel()
	faults := make([]string, len(staying)+len(going))
	var g errgroup.Group
	for i, h := range staying {
		g.Go(func() error { faults[i] = x.serves(ctx, h); return nil })
	}
	for i, c := range going {
		g.Go(func() error {
			switch said, err := x.Run(ctx, c.Name, runs); {
			case err != nil:
				faults[len(staying)+i] = c.Name + ": " + oneLine(err)
			case strings.TrimSpace(said) == hasLeft:
				faults[len(staying)+i] = hasLeft
			}
			return nil
		})
	}
	_ = g.Wait() // what failed is in faults
	out := map[string]string{}
	for i, f := range faults {
		if i < len(staying) {
			out[staying[i].Name] = f
		} else {
			out[going[i-len(staying)].Name] = f
		}
	}
	return out
}

// hasLeft is said by a controller whose members have taken leave, and were not started
// since. The mark goes with a boot.
const (
	hasLeft  = "left"
	leftFile = "/run/updraft/members-left"
	// RabbitMQ's node goes on until it is forgotten.
	runs = "systemctl is-active --quiet mariadb ovn-nb ovn-sb && exit\n" +
		"test -e " + leftFile + " && ! systemctl is-active mariadb ovn-nb ovn-sb | grep -q ^activ && echo " + hasLeft + "\n"
)

func oneLine(err error) string { return strings.Join(strings.Fields(err.Error()), " ") }

// serves says which of the controller's members does not serve; "" if all do.
func (x *Executor) serves(ctx context.Context, h *spec.Host) string {
	const mark = "\x1e"
	var script []string
	for _, e := range x.Clusters {
		script = append(script, "{ "+e.Ask(h.Name)+"; } 2>/dev/null || :", "printf '"+`\036`+"'")
	}
	printed, err := x.Run(ctx, h.Name, strings.Join(script, "\n"))
	if err != nil {
		return h.Name + ": " + oneLine(err)
	}
	answers := strings.Split(printed, mark)
	for i, e := range x.Clusters {
		text := ""
		if i < len(answers) {
			text = answers[i]
		}
		if m := e.Read(strings.TrimSpace(text)); !m.Serves {
			return fmt.Sprintf("%s on %s: %s", e.Name, h.Name, m.State)
		}
	}
	return ""
}

// Seal implements [engine.Guard].
func (x *Executor) Seal(ctx context.Context, r engine.Record) error { return x.Object(ctx, r) }

// Remove implements [engine.Executor]: the controller's members take leave if it
// still answers, and the others forget it.
func (x *Executor) Remove(ctx context.Context, r engine.Record, log func(string)) error {
	if r.Kind != Kind {
		return nil
	}
	c, err := decode(r)
	if err != nil {
		return err
	}
	_, staying := x.going()
	if len(staying) == 0 {
		return errors.New("no controller stays that could forget it")
	}
	if !x.answers(ctx, c, log) {
		return x.forget(ctx, c, staying, log)
	}
	if err := x.bury(ctx, c, staying, log); err != nil {
		return err
	}
	x.run(ctx, leaveWithin, c.Name, "mkdir -p /run/updraft\ntouch "+leftFile+"\n"+workers+x.text(func(l stack.Leaving) string { return l.Leave }), log)
	err = x.forget(ctx, c, staying, log)
	x.run(ctx, leaveWithin, c.Name, x.text(func(l stack.Leaving) string { return l.End }), log)
	if err == nil {
		x.run(ctx, leaveWithin, c.Name, x.text(func(l stack.Leaving) string { return l.Clear }), log)
	}
	return err
}

// bury has those that go and do not answer forgotten before one leaves that does: the
// others might have no majority without it.
func (x *Executor) bury(ctx context.Context, c Controller, staying []*spec.Host, log func(string)) error {
	going, _ := x.going()
	for _, other := range going {
		if other.Name == c.Name || x.answers(ctx, other, log) {
			continue
		}
		if err := x.forget(ctx, other, staying, log); err != nil {
			return err
		}
	}
	return nil
}

// answers reports whether a controller does.
func (x *Executor) answers(ctx context.Context, c Controller, log func(string)) bool {
	if x.run(ctx, askWithin, c.Name, "true", log) {
		return true
	}
	log(c.Name + " does not answer: the others forget it")
	return false
}

// workers stops all but the members: first what holds the virtual address, so that
// nobody asks here any more, then what is at work for others.
const workers = `systemctl stop keepalived || :
for f in /etc/containers/systemd/*.container; do
	name=${f##*/}
	name=${name%.container}
	case $name in
	etcd | mariadb | rabbitmq | ovn-nb | ovn-sb | haproxy | '*') continue ;;
	esac
	set -- "$@" "$name"
done
test $# = 0 || systemctl stop "$@" || :
systemctl stop haproxy || :
`

// text joins the shell text of the services.
func (x *Executor) text(of func(stack.Leaving) string) string {
	var out strings.Builder
	for _, s := range x.D.Services {
		if t := of(s.Leaving); t != "" {
			fmt.Fprintf(&out, "(\n%s) || echo '%s: not in order'\n", t, s.Name)
		}
	}
	return out.String()
}

// run runs text on a controller, tells what it says, and reports whether it ended
// well.
func (x *Executor) run(ctx context.Context, within time.Duration, host, text string, log func(string)) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	out, err := x.Run(ctx, host, text)
	for line := range strings.Lines(out) {
		log(host + ": " + strings.TrimRight(line, "\n"))
	}
	if err != nil {
		log(host + ": " + oneLine(err))
	}
	return err == nil
}

// forget has one of those that stay tell the clusters to do without the controller.
func (x *Executor) forget(ctx context.Context, c Controller, staying []*spec.Host, log func(string)) error {
	for _, s := range x.D.Services {
		if s.Leaving.Forget == nil {
			continue
		}
		done := slices.ContainsFunc(staying, func(h *spec.Host) bool {
			return x.run(ctx, forgetWithin, h.Name, "set -eu\n"+s.Leaving.Forget(x.D, h, c.Address), log)
		})
		if !done {
			return fmt.Errorf("no controller that stays has %s forget %s; what they said is in the log above", s.Name, c.Name)
		}
	}
	return nil
}
