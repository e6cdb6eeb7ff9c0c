package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/openstack"
	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/openstack/maintain"
	"github.com/updraft-cloud/updraft/internal/retry"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/transport"
)

func (a *app) maintenanceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "maintenance",
		Short: "Take a host out of a cloud that goes on, and give it back",
		Long: `maintenance enter takes one host out so that a person can work on it, and leave
gives it back. Meanwhile status says so, and plan and up leave that host alone.

A compute gets no more servers; those that run move to others while they run, with
their disks where these are local. When one cannot be moved it is named with the
reason, and its services go on: say the same again when that is mended. Then they
stop. Servers that are off stay where they are.

A controller is refused unless all others do their work, as one can be missing at
a time. The virtual address moves to another, each service is taken out of HAProxy
and answers what it has, and databases end last. Clients notice nothing.
leave starts all of it, and returns when the clusters are whole. As long as a
controller is out, nothing that works is changed on the others.

A host that is booted meanwhile starts its services by itself; a compute gets no
servers all the same. Cut off anywhere, the same command goes on.

Without a verb it lists hosts in maintenance.
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.listMaintenance() },
	}
	verb := func(use, short string, do func(*session, context.Context, *spec.Host) error) *cobra.Command {
		return &cobra.Command{
			Use: use + " HOST", Short: short, Args: cobra.ExactArgs(1),
			RunE: func(cmd *cobra.Command, args []string) error {
				s, err := a.loadToApply()
				if err != nil {
					return err
				}
				defer s.close()
				h := s.cloud.Host(args[0])
				if h == nil {
					return fmt.Errorf("%s has no host %q", s.cloud.Name, args[0])
				}
				return do(s, cmd.Context(), h)
			},
		}
	}
	cmd.AddCommand(
		verb("enter", "Move its work away and stop its services", (*session).enterMaintenance),
		verb("leave", "Start its services and let work come", (*session).leaveMaintenance),
		&cobra.Command{
			Use: "list", Short: "List hosts in maintenance", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error { return a.listMaintenance() },
		},
	)
	return cmd
}

func (a *app) listMaintenance() error {
	s, err := a.load()
	if err != nil {
		return err
	}
	defer s.close()
	all, err := s.maintenance().All()
	if err != nil {
		return err
	}
	if a.json {
		return a.printJSON(all)
	}
	if len(all) == 0 {
		fmt.Fprintln(a.out, "No host is in maintenance.")
	}
	for _, e := range all {
		fmt.Fprintf(a.out, "%s  %s  since %s\n", e.Host, e.Phase, e.Since.Format(time.DateTime+" MST"))
	}
	return nil
}

// maintenance is the list of hosts that a person works on.
func (s *session) maintenance() maintain.List {
	return maintain.Open(filepath.Join(s.dir, "maintenance.json"))
}

// leftAlone are the hosts that plan and up leave alone.
func (s *session) leftAlone() ([]string, error) {
	all, err := s.maintenance().All()
	var out []string
	for _, e := range all {
		if e.Phase != maintain.Leaving && s.cloud.Host(e.Host) != nil {
			out = append(out, e.Host)
		}
	}
	return out, err
}

// enterMaintenance takes a host out.
func (s *session) enterMaintenance(ctx context.Context, h *spec.Host) (err error) {
	unlock, err := s.lock(ctx, "updraft maintenance enter")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	e, _, err := s.maintenance().Get(h.Name)
	if err != nil {
		return err
	}
	if e.Phase != maintain.Entering && e.Phase != maintain.In {
		if err := s.sparable(ctx, h); err != nil {
			return err
		}
	}
	if err := s.maintenance().Put(h.Name, maintain.Entering, time.Now()); err != nil {
		return err
	}
	if err := s.emptied(ctx, h); err != nil {
		return err
	}
	if err := s.quiet(ctx, h); err != nil {
		return err
	}
	if err := s.maintenance().Put(h.Name, maintain.In, time.Now()); err != nil {
		return err
	}
	fmt.Fprintf(s.a.err, "%s is in maintenance. To give it back: %s\n", h.Name, s.a.again("updraft maintenance leave", h.Name))
	return nil
}

func (s *session) isController(h *spec.Host) bool {
	return s.cloud.OpenStack != nil && slices.Contains(s.cloud.OpenStack.Controllers, h)
}

func (s *session) isCompute(h *spec.Host) bool {
	return s.cloud.OpenStack != nil && slices.Contains(s.cloud.OpenStack.Computes, h)
}

// sparable reports why a host cannot be taken out now.
func (s *session) sparable(ctx context.Context, h *spec.Host) error {
	if !s.isController(h) {
		return nil
	}
	r, err := s.status(ctx, statusTimeout)
	if err != nil {
		return err
	}
	var names []string
	for _, c := range s.cloud.OpenStack.Controllers {
		names = append(names, c.Name)
	}
	if why := maintain.Refusals(r, names, h.Name, s.away); len(why) > 0 {
		return fmt.Errorf("%s cannot be taken out now, and nothing was changed:\n  %s", h.Name, strings.Join(why, "\n  "))
	}
	return nil
}

// moveEvery is how often a server on its way is looked at.
const moveEvery = 500 * time.Millisecond

// compute is a host of servers as the API knows it.
func (s *session) compute(ctx context.Context, h *spec.Host) (*maintain.Compute, func(), error) {
	client, err := api.Connect(ctx, s.apiAccess())
	if err != nil {
		return nil, nil, fmt.Errorf("the cloud's API is needed for that: %w", err)
	}
	return &maintain.Compute{
		API: client, Name: h.Name, Recovery: slices.Contains(s.cloud.OpenStack.Services, "masakari"), Every: moveEvery,
		Log: func(format string, args ...any) { fmt.Fprintf(s.a.err, format+"\n", args...) },
	}, client.Close, nil
}

// emptied moves servers away from a compute.
func (s *session) emptied(ctx context.Context, h *spec.Host) error {
	if !s.isCompute(h) {
		return nil
	}
	c, closed, err := s.compute(ctx, h)
	if err != nil {
		return err
	}
	defer closed()
	if err := c.KeepAway(ctx); err != nil {
		return err
	}
	left, err := c.Empty(ctx)
	if err != nil {
		return err
	}
	if len(left) == 0 {
		return nil
	}
	why := make([]string, len(left))
	for i, l := range left {
		why[i] = l.String()
	}
	return fmt.Errorf("%[1]s gets no more servers, but some run on it still, so its services go on:\n  %[2]s\nmend that and say the same again; to give %[1]s back: %[3]s",
		h.Name, strings.Join(why, "\n  "), s.a.again("updraft maintenance leave", h.Name))
}

// quiet stops a host's services, one after the other.
func (s *session) quiet(ctx context.Context, h *spec.Host) error {
	units := maintain.StopOrder(s.out.Graph, h.Name)
	if len(units) == 0 {
		return nil
	}
	fmt.Fprintf(s.a.err, "stopping %d services on %s\n", len(units), h.Name)
	script := "for u in " + transport.Quote(units...) + "; do systemctl stop \"$u\" || exit 1; done"
	if err := s.asRootInto(ctx, h.Name, script, io.Discard); err != nil {
		return fmt.Errorf("cannot stop the services of %s: %w", h.Name, err)
	}
	return nil
}

// wholeWithin is how long clusters may take to be whole after a host is back, copies
// of files included.
const wholeWithin = 10 * time.Minute

// leaveMaintenance gives a host back.
func (s *session) leaveMaintenance(ctx context.Context, h *spec.Host) error {
	_, ok, err := s.maintenance().Get(h.Name)
	if err != nil {
		return err
	}
	if !ok {
		fmt.Fprintf(s.a.err, "%s is not in maintenance.\n", h.Name)
		return nil
	}
	if err := s.maintenance().Put(h.Name, maintain.Leaving, time.Now()); err != nil {
		return err
	}
	if s.away, err = s.leftAlone(); err != nil {
		return err
	}
	opts, err := s.only(append([]string{"host=" + h.Name}, openstack.Seen(s.cloud.OpenStack, h)...))
	if err != nil {
		return err
	}
	res, err := s.converge(ctx, "updraft maintenance leave "+h.Name, opts, nil)
	if err == nil {
		err = res.Err()
	}
	if err != nil {
		return err
	}
	if err := s.returned(ctx, h); err != nil {
		return err
	}
	if err := s.maintenance().Drop(h.Name); err != nil {
		return err
	}
	fmt.Fprintf(s.a.err, "%s is back.\n", h.Name)
	return nil
}

// returned lets servers onto a compute, and waits for a controller's clusters.
func (s *session) returned(ctx context.Context, h *spec.Host) error {
	if s.isCompute(h) {
		c, closed, err := s.compute(ctx, h)
		if err != nil {
			return err
		}
		defer closed()
		if err := c.Return(ctx); err != nil {
			return err
		}
	}
	if !s.isController(h) {
		return nil
	}
	policy := retry.Policy{First: time.Second, Most: 5 * time.Second, Deadline: wholeWithin}
	return policy.Do(ctx, nil, func(ctx context.Context) error {
		r, err := s.status(ctx, statusTimeout)
		if err != nil {
			return err
		}
		if why := maintain.Whole(r, h.Name); len(why) > 0 {
			return retry.Mark(fmt.Errorf("%s runs, and not all is whole:\n  %s", h.Name, strings.Join(why, "\n  ")), retry.Transient)
		}
		return nil
	})
}

// tellAway says which hosts are left alone.
func (s *session) tellAway() {
	for _, name := range s.away {
		fmt.Fprintf(s.a.err, "%s is in maintenance and is left alone; to give it back: %s\n", name, s.a.again("updraft maintenance leave", name))
	}
}
