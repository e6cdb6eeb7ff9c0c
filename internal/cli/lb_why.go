package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/lb/control"
	"github.com/updraft-cloud/updraft/internal/lb/store"
)

func (o *lbOptions) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use: "status [ID]", Short: "How the service fares, or one load balancer", Args: cobra.MaximumNArgs(1),
		Long: "status counts load balancers and amphorae by their statuses, names the controllers,\nand lists what is not ACTIVE with the reason. With an ID it is why.\n" + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), func(s *store.Store) error {
				if len(args) == 1 {
					return o.why(s, args[0])
				}
				v := control.Survey(s.View(), 0)
				if o.a.json {
					return o.a.printJSON(v)
				}
				printOverview(o.a.out, v)
				return nil
			})
		},
	}
}

func printOverview(w io.Writer, v control.Overview) {
	fmt.Fprintln(w, "load balancers:", counts(v.LoadBalancers))
	fmt.Fprintln(w, "operating:     ", counts(v.Operating))
	fmt.Fprintln(w, "amphorae:      ", counts(v.Amphorae))
	fmt.Fprintln(w, "controllers:   ", orNone(strings.Join(v.Controllers, ", ")))
	if v.Unclaimed > 0 {
		fmt.Fprintf(w, "%d shards have no controller: load balancers in them stay as they are\n", v.Unclaimed)
	}
	if len(v.Troubled) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	fmt.Fprintln(t, "\nLOAD BALANCER\tNAME\tSTATUS\tFOR\tREASON")
	for _, b := range v.Troubled {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", b.LoadBalancer, b.Name, b.Status, since(b.Since), b.Reason)
	}
	_ = t.Flush() // as for any text for people
}

func counts[K ~string](m map[K]int) string {
	var out []string
	for _, k := range slices.Sorted(maps.Keys(m)) {
		out = append(out, fmt.Sprintf("%d %s", m[k], k))
	}
	return orNone(strings.Join(out, ", "))
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func since(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return time.Since(t).Round(time.Second).String()
}

func (o *lbOptions) whyCommand() *cobra.Command {
	return &cobra.Command{
		Use: "why ID", Short: "Why a load balancer is as it is", Args: cobra.ExactArgs(1),
		Long: `why shows what is wanted of a load balancer, what is there, what is pending, since
when and why, and what the controllers will do next. The ID may be of anything
below a load balancer, or of an amphora.
` + exitHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.with(cmd.Context(), func(s *store.Store) error { return o.why(s, args[0]) })
		},
	}
}

func (o *lbOptions) why(s *store.Store, id string) error {
	w := control.Explain(s.View(), id, 0)
	if w == nil {
		return fmt.Errorf("there is no load balancer %s, and nothing below one with this id", id)
	}
	if o.a.json {
		return o.a.printJSON(w)
	}
	printWhy(o.a.out, w)
	return nil
}

func printWhy(out io.Writer, w *control.Why) {
	fmt.Fprintf(out, "load balancer %s %s\n", w.LoadBalancer, w.Name)
	if w.Object != "" {
		fmt.Fprintf(out, "  %s is below it\n", w.Object)
	}
	fmt.Fprintf(out, "  is %s for %s, and %s\n", w.Status, since(w.Since), w.Operating)
	if w.Reason != "" {
		fmt.Fprintf(out, "  because %s\n", w.Reason)
	}
	if w.RequestID != "" {
		fmt.Fprintf(out, "  last changed by request %s\n", w.RequestID)
	}
	fmt.Fprintf(out, "  address %s, topology %s\n", w.Address, w.Topology)
	fmt.Fprintf(out, "  %s belongs to controller %s\n", w.Shard, orNone(w.Controller))
	for _, a := range w.Amphorae {
		fmt.Fprintf(out, "  amphora %s %s %s at %s", a.ID, a.Role, a.Status, orNone(a.Endpoint))
		if a.Reason != "" {
			fmt.Fprintf(out, ": %s", a.Reason)
		}
		fmt.Fprintln(out)
	}
	for _, c := range w.Pending {
		fmt.Fprintf(out, "  %s %s %s is %s\n", c.Kind, c.ID, c.Name, c.Status)
	}
	for _, n := range w.Next {
		fmt.Fprintf(out, "  next: %s\n", n)
	}
}
