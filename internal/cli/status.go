package cli

import (
	"cmp"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/provision"
)

// hostStatus is one line of status.
type hostStatus struct {
	Host      string `json:"host"`
	Address   string `json:"address"`
	State     string `json:"state"` // in sync, differs, unreachable, missing
	Resources int    `json:"resources"`
	Differ    int    `json:"differ"`
	Reason    string `json:"reason,omitempty"`
}

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Show every host: does it answer, is it as the file says",
		Long: `status observes the cloud and shows a line for each host. It changes nothing.
` + exitHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := a.load()
			if err != nil {
				return err
			}
			defer s.close()
			p, err := s.engine(nil, engine.Options{}).Plan(cmd.Context())
			if err != nil {
				return err
			}
			return a.showStatus(s.statuses(p))
		},
	}
}

func (s *session) statuses(p *engine.Plan) []hostStatus {
	differ, blind, missing, machines := map[string]int{}, map[string]string{}, map[string]bool{}, map[string]string{}
	for i := range p.Steps {
		st := &p.Steps[i]
		if st.Scope == "" && st.Kind == provision.KindMachine {
			name := strings.TrimPrefix(st.ID, provision.KindMachine+":")
			missing[name] = st.Action == engine.Create
			machines[name] = machineReason(st)
		}
		differ[st.Scope]++
	}
	for _, b := range p.Blind {
		blind[b.Scope] = b.Err
	}
	count := map[string]int{}
	for _, n := range s.out.Graph.Nodes() {
		count[n.Scope]++
	}
	var out []hostStatus
	for _, h := range s.cloud.Hosts {
		st := hostStatus{Host: h.Name, Address: h.Address, State: "in sync", Resources: count[h.Name], Differ: differ[h.Name]}
		if len(h.NICs) > 0 {
			st.Address = cmp.Or(st.Address, h.NICs[0].Address.Addr().String())
		}
		switch {
		case missing[h.Name]:
			st.State = "missing"
		case blind[h.Name] != "":
			st.State, st.Reason = "unreachable", blind[h.Name]
		case st.Differ > 0 || machines[h.Name] != "":
			st.State, st.Reason = "differs", machines[h.Name]
		}
		out = append(out, st)
	}
	return out
}

// machineReason says what a step on a machine itself is about.
func machineReason(st *engine.Step) string {
	if st.Action == engine.Remove || st.Action == engine.Create {
		return ""
	}
	var parts []string
	for _, c := range st.Changes {
		parts = append(parts, fmt.Sprintf("%s is %s, not %s", c.Attr, c.From, c.To))
	}
	return cmp.Or(strings.Join(parts, "; "), st.Err)
}

func (a *app) showStatus(hosts []hostStatus) error {
	if a.json {
		return a.printJSON(hosts)
	}
	w := tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "HOST\tADDRESS\tSTATE\tRESOURCES\tDIFFER")
	for _, h := range hosts {
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%s\n", h.Host, h.Address, h.State, h.Resources, h.Differ, h.Reason)
	}
	return w.Flush()
}
