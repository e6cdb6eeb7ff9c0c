package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/overview"
	"github.com/updraft-cloud/updraft/internal/openstack/stack"
	"github.com/updraft-cloud/updraft/internal/provision"
	"github.com/updraft-cloud/updraft/internal/secret"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
)

// statusTimeout is how long a look at the whole cloud may take.
const statusTimeout = 10 * time.Second

// connectWithin is how long a host may take to accept a connection before status
// says that it does not answer.
const connectWithin = 2 * time.Second

func (a *app) statusCommand() *cobra.Command {
	var output string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how the cloud is, and what is wrong first",
		Long: `status looks at everything at once and shows it on one screen: what is wrong and
what to do about it, then hosts, the clusters that decide together (Galera,
RabbitMQ, OVN), who holds the virtual addresses, OpenStack's services, when the
first certificate ends, and the room for servers. It changes nothing. What does
not answer within the timeout is said, and does not keep the rest from being
shown. A cloud without OpenStack has hosts and virtual addresses alone.

  updraft status
  updraft status -o json | jq -r '.problems[].what'

updraft verify goes further: it proves by use that the cloud does what it is for.

EXIT STATUS
  0    all is well
  1    something is wrong, or could not be looked at
  130  interrupted`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch output {
			case "text":
			case "json":
				a.json = true
			default:
				return fmt.Errorf("--output %s: write text or json", output)
			}
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			r, err := s.status(cmd.Context(), timeout)
			if err != nil {
				return err
			}
			return a.showStatus(r)
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "text", "`FORM` of the report: text or json")
	cmd.Flags().DurationVar(&timeout, "timeout", statusTimeout, "how long all of it may take")
	return cmd
}

func (a *app) showStatus(r *status.Report) error {
	var err error
	if a.json {
		err = a.printJSON(r)
	} else {
		err = status.Text(a.out, r, a.color())
	}
	if err == nil && !r.OK {
		return &exitError{code: exitFailed}
	}
	return err
}

// looking is a look at a cloud under way. What several look at is behind mu.
type looking struct {
	s         *session
	r         *status.Report
	ensembles []status.Ensemble

	mu       sync.Mutex
	failures []status.Problem
}

func (l *looking) failed(mend, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failures = append(l.failures, status.Problem{What: fmt.Sprintf(format, args...), Mend: mend})
}

// status looks at the cloud, all of it at once.
func (s *session) status(ctx context.Context, timeout time.Duration) (*status.Report, error) {
	s.connectWithin = connectWithin
	l := &looking{s: s, r: &status.Report{Cloud: s.cloud.Name, At: time.Now()}}
	running, err := s.running(ctx)
	if err != nil {
		return nil, err
	}
	l.known(running)
	if err := l.certificates(); err != nil {
		return nil, err
	}
	answers := l.answers() // before hosts are looked at
	within, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var wg sync.WaitGroup
	for i := range l.r.Hosts {
		if h := &l.r.Hosts[i]; h.State == status.Up {
			wg.Go(func() { l.look(within, h) })
		}
	}
	var drift *engine.Plan
	wg.Go(func() { drift = l.compare(within) })
	if answers {
		wg.Go(func() { l.ask(within) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l.join(drift)
	status.Judge(l.r, l.ensembles, l.failures)
	l.r.Took = time.Since(l.r.At)
	return l.r, nil
}

// running tells which machines exist, and which of them run.
func (s *session) running(ctx context.Context) (map[string]bool, error) {
	inv, err := s.provider.List(ctx, s.cloud.Name)
	if err != nil {
		return nil, fmt.Errorf("cannot list the machines of %s: %w", s.cloud.Name, err)
	}
	out := map[string]bool{}
	for _, m := range inv.Machines {
		out[m.Name] = m.Running
	}
	return out, nil
}

// known fills in what is known without looking. Hosts that may be up are taken to
// be until they do not answer.
func (l *looking) known(running map[string]bool) {
	s := l.s
	count := map[string]int{}
	for _, n := range s.out.Graph.Nodes() {
		count[n.Scope]++
	}
	for _, h := range s.cloud.Hosts {
		on, exists := running[h.Name]
		st := status.Host{
			Name: h.Name, Address: address(h), State: status.Up, Resources: count[h.Name], Differ: -1, Maintenance: slices.Contains(s.away, h.Name),
		}
		switch {
		case borrows(s.provider): // whether it is there is seen by asking it
		case !exists:
			st.State = status.Missing
		case !on:
			st.State = status.Off
		}
		l.r.Hosts = append(l.r.Hosts, st)
	}
	for _, v := range s.cloud.VIPs {
		l.r.VIPs = append(l.r.VIPs, status.VIP{Name: v.Name, Address: v.Address.String()})
	}
	if s.cloud.OpenStack != nil {
		l.ensembles = openstack.Clusters(&stack.Deployment{Cloud: s.cloud, Spec: s.cloud.OpenStack})
	}
}

// certificates adds when the cloud's certificates end. They are read anew: the
// session's own secrets have placeholders where one is about to be replaced.
func (l *looking) certificates() error {
	if l.s.cloud.OpenStack == nil {
		return nil
	}
	store, err := secret.Open(l.s.a.secretOptions(l.s.cloud.Name))
	if err != nil {
		return err
	}
	if p := store.Phase(); p != secret.PhaseNone {
		l.r.Notes = append(l.r.Notes, status.Problem{What: phaseText(p), Mend: l.s.phaseMend(p)})
	}
	for _, i := range store.List() {
		if !i.Expires.IsZero() {
			l.r.Certificates = append(l.r.Certificates, status.Certificate{Name: i.Name, Ends: i.Expires})
		}
	}
	return nil
}

func address(h *spec.Host) string {
	if h.Address != "" {
		return h.Address
	}
	if len(h.NICs) > 0 && h.NICs[0].Address.IsValid() {
		return h.NICs[0].Address.Addr().String()
	}
	return ""
}

// look asks one host everything.
func (l *looking) look(ctx context.Context, h *status.Host) {
	var printed strings.Builder
	at := time.Now()
	err := l.s.asRootInto(ctx, h.Name, status.Script(h.Name, l.ensembles), &printed)
	if err == nil {
		err = status.Parse(h, printed.String(), at)
	}
	if err != nil {
		h.State, h.Reason = status.Silent, reason(ctx, err)
	}
}

// reason is why something could not be had, in few words.
func reason(ctx context.Context, err error) string {
	if ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	return err.Error()
}

// asRootInto runs shell text as root on a host and hands on what it prints.
func (s *session) asRootInto(ctx context.Context, host, script string, out io.Writer) error {
	t, err := s.target(host)
	if err != nil {
		return err
	}
	o, err := elevated(t, []string{"sh", "-c", script})
	if err != nil {
		return err
	}
	var stderr bytes.Buffer
	err = s.fleet.Exec(ctx, host, o.line, strings.NewReader(o.stdin), out, &stderr)
	if said := strings.TrimSpace(stderr.String()); err != nil && said != "" {
		err = fmt.Errorf("%w: %s", err, said)
	}
	return err
}

// compare plans, which tells what is not as the file says. It returns nil when
// there was no time to see it.
func (l *looking) compare(ctx context.Context) *engine.Plan {
	p, err := l.s.engine(nil, engine.Options{}).Plan(ctx)
	if err != nil {
		l.failed("updraft plan does, or give this more time: --timeout 1m", "cannot compare the cloud with its file: %s", reason(ctx, err))
		return nil
	}
	return p
}

// join adds what the plan saw to the hosts.
func (l *looking) join(p *engine.Plan) {
	if p == nil {
		return
	}
	blind, differ, unready := map[string]bool{}, map[string]int{}, map[string]bool{}
	for _, b := range p.Blind {
		blind[b.Scope] = true
	}
	for i := range p.Steps {
		st := &p.Steps[i]
		scope := st.Scope
		if st.Kind == provision.KindMachine {
			scope = strings.TrimPrefix(st.ID, provision.KindMachine+":")
		}
		differ[scope]++
		for _, c := range st.Changes {
			if st.Kind == "container" && c.Attr == "ready" {
				unready[st.ID] = true
			}
		}
	}
	for i := range l.r.Hosts {
		h := &l.r.Hosts[i]
		if !blind[h.Name] {
			h.Differ = differ[h.Name]
		}
		for k := range h.Containers {
			if c := &h.Containers[k]; c.Health == status.Healthy && unready[h.Name+"/container:"+c.Name] {
				c.Health = status.Unhealthy
			}
		}
	}
}

// answers reports whether there is a controller that may answer for the API.
func (l *looking) answers() bool {
	if l.s.cloud.OpenStack == nil {
		return false
	}
	for _, c := range l.s.cloud.OpenStack.Controllers {
		for i := range l.r.Hosts {
			if h := &l.r.Hosts[i]; h.Name == c.Name && h.State == status.Up {
				return true
			}
		}
	}
	return false
}

// ask asks the cloud's API.
func (l *looking) ask(ctx context.Context) {
	found, err := overview.Ask(ctx, l.s.apiAccess())
	if err != nil {
		l.failed("see what is wrong with the controllers here; updraft logs says more; updraft up mends what it can", "the API does not answer: %s", reason(ctx, err))
	}
	l.r.Services, l.r.Capacity = found.Services, found.Capacity
}
