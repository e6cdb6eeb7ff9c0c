package maintain

import (
	"fmt"
	"slices"

	"github.com/updraft-cloud/updraft/internal/status"
)

// Refusals are the reasons for which a controller must not be taken out: the others
// have to do its part, and one of three can be missing at a time.
func Refusals(r *status.Report, controllers []string, host string, away []string) []string {
	var out []string
	if len(controllers) < 3 {
		out = append(out, fmt.Sprintf("%d controllers cannot spare one: of two, neither is a majority", len(controllers)))
		if len(controllers) == 1 {
			out[0] = "it is the only controller"
		}
	}
	for i := range r.Hosts {
		h := &r.Hosts[i]
		switch {
		case h.Name == host || !slices.Contains(controllers, h.Name):
		case slices.Contains(away, h.Name):
			out = append(out, h.Name+" is in maintenance")
		case h.State != status.Up:
			out = append(out, fmt.Sprintf("%s is %s", h.Name, h.State))
		default:
			out = append(out, lacking(h)...)
		}
	}
	for _, c := range r.Clusters {
		for _, m := range c.Members {
			if m.Host != host && !m.Serves {
				out = append(out, fmt.Sprintf("%s on %s does not serve (%s)", c.Name, m.Host, m.State))
			}
		}
	}
	return out
}

// lacking is what a controller that is up lacks.
func lacking(h *status.Host) []string {
	var out []string
	for _, c := range h.Containers {
		if c.Health != status.Healthy {
			out = append(out, fmt.Sprintf("%s on %s is %s", c.Name, h.Name, c.Health))
		}
	}
	if h.Differ > 0 { // such as copies that are not healed yet
		out = append(out, fmt.Sprintf("%s is not as the cloud file says (updraft plan shows in what): updraft up first", h.Name))
	}
	return out
}

// Whole reports why the clusters are not whole.
func Whole(r *status.Report, host string) []string {
	var out []string
	for i := range r.Hosts {
		if h := &r.Hosts[i]; h.Name == host {
			if h.State != status.Up {
				return []string{fmt.Sprintf("%s is %s", host, h.State)}
			}
			out = append(out, lacking(h)...)
		}
	}
	for _, c := range r.Clusters {
		for _, m := range c.Members {
			if !m.Serves {
				out = append(out, fmt.Sprintf("%s on %s does not serve (%s)", c.Name, m.Host, m.State))
			}
		}
	}
	return out
}
