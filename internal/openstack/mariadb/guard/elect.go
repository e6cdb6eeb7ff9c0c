package guard

import (
	"cmp"
	"fmt"
	"slices"
)

// Condition is how a server is.
type Condition string

const (
	// Primary is one in a primary component.
	Primary Condition = "primary"
	// Live is one that runs and answers, and is in no primary component.
	Live Condition = "live"
	// Waiting is one that has been started, or is about to be, and has not been in a
	// primary component since.
	Waiting Condition = "waiting"
	// Unknown is one of which nothing can be said: it does not answer, but may have
	// been in a primary component since it was started.
	Unknown Condition = "unknown"
)

// Report is what a guard says of its server.
type Report struct {
	Host      string    `json:"host"`
	Condition Condition `json:"condition"`
	View      View      `json:"view"`
	Position  Position  `json:"position"`
	// Whole is set when the server was seen to have all data in that view. A member
	// whose data are still being copied is in the view as well.
	Whole bool `json:"whole"`
}

// Choice is who may begin the cluster anew, and from which view.
type Choice struct {
	Host, View string
	// Live is set when all who were counted have been there all the time, so that
	// nobody else is just being started.
	Live bool
}

// Elect returns who may begin the cluster, or an error that says why nobody may.
// All guards that see the same reports come to the same answer, whatever their order.
func Elect(reports []Report) (Choice, error) {
	if i := slices.IndexFunc(reports, func(r Report) bool { return r.Condition == Primary }); i >= 0 {
		return Choice{}, fmt.Errorf("%s is in a primary component", reports[i].Host)
	}
	view, err := newest(reports)
	if err != nil {
		return Choice{}, err
	}
	present := of(reports, view)
	if 2*len(present) <= len(view.Members) {
		return Choice{}, fmt.Errorf("%d of %d members of the last view %s are there, which is no majority", len(present), len(view.Members), view.ID)
	}
	best, err := mostAdvanced(present)
	if err != nil {
		return Choice{}, err
	}
	live := !slices.ContainsFunc(present, func(r Report) bool { return r.Condition != Live })
	return Choice{Host: best.Host, View: view.ID, Live: live}, nil
}

// newest is the view with the highest number.
func newest(reports []Report) (View, error) {
	var v View
	for _, r := range reports {
		if r.View.Number() > v.Number() {
			v = r.View
		}
	}
	if v.Number() < 0 {
		return v, fmt.Errorf("no server remembers a view")
	}
	for _, r := range reports {
		same := r.View.ID == v.ID && slices.Equal(slices.Sorted(slices.Values(r.View.Members)), slices.Sorted(slices.Values(v.Members)))
		if r.View.Number() == v.Number() && !same {
			return v, fmt.Errorf("%s remembers another view with the number %d", r.Host, v.Number())
		}
	}
	return v, nil
}

// of are the reports, one for each member, of those whose own last view it was.
func of(reports []Report, v View) []Report {
	var out []Report
	for _, r := range reports {
		known := slices.ContainsFunc(out, func(o Report) bool { return o.View.Self == r.View.Self })
		if r.View.ID == v.ID && slices.Contains(v.Members, r.View.Self) && !known && (r.Condition == Live || r.Condition == Waiting) {
			out = append(out, r)
		}
	}
	return out
}

// mostAdvanced is the one with the most transactions among those with all data;
// among equals one that runs, and then the first by name.
func mostAdvanced(present []Report) (Report, error) {
	sorted := slices.SortedFunc(slices.Values(present), func(a, b Report) int {
		return cmp.Or(-cmp.Compare(a.Position.Seqno, b.Position.Seqno), cmp.Compare(a.Condition, b.Condition), cmp.Compare(a.Host, b.Host))
	})
	i := slices.IndexFunc(sorted, func(r Report) bool { return r.Whole && r.Position.Known() })
	if i < 0 {
		return Report{}, fmt.Errorf("none of those who are there is known to have all data")
	}
	best := sorted[i]
	for _, r := range sorted {
		if r.Position.Known() && (r.Position.UUID != best.Position.UUID || r.Position.Seqno > best.Position.Seqno) {
			return Report{}, fmt.Errorf("%s is at %s:%d, which %s does not have", r.Host, r.Position.UUID, r.Position.Seqno, best.Host)
		}
	}
	return best, nil
}
