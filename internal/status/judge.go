package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits above which something is a problem.
const (
	fullDisk   = 0.90
	fullMemory = 0.95
	// clockOff is how far clocks may be apart: tokens and raft bear a second or
	// two, and what the question took is in the figure.
	clockOff = 5 * time.Second
	// crashes is how many restarts by systemd tell that a container does not come up.
	crashes = 3
	// CertificateLeft is what a certificate should have left: updraft replaces one
	// in the last third of its year.
	CertificateLeft = 60 * 24 * time.Hour
)

// Judge completes a report of what was found: clusters, addresses, and what is
// wrong, the gravest first. failures are what could not be looked at.
func Judge(r *Report, ensembles []Ensemble, failures []Problem) {
	j := &judge{r: r}
	j.hosts()
	for _, e := range ensembles {
		j.cluster(e)
	}
	j.vips()
	j.problems = append(j.problems, failures...)
	for i := range r.Hosts {
		j.host(&r.Hosts[i])
	}
	j.services()
	j.certificates()
	j.drift()
	r.Problems = j.problems
	if r.Problems == nil {
		r.Problems = []Problem{} // a list in JSON
	}
	r.OK = len(r.Problems) == 0
}

type judge struct {
	r        *Report
	problems []Problem
}

func (j *judge) add(host, mend, format string, args ...any) {
	if h := j.find(host); h != nil && h.Maintenance {
		return
	}
	j.problems = append(j.problems, Problem{Host: host, What: fmt.Sprintf(format, args...), Mend: mend})
}

// hosts tells of those that are away.
func (j *judge) hosts() {
	missing := 0
	for i := range j.r.Hosts {
		if j.r.Hosts[i].State == Missing {
			missing++
		}
	}
	if missing > 0 && missing == len(j.r.Hosts) {
		j.add("", "updraft up makes it", "nothing of %s is there", j.r.Cloud)
		return
	}
	for i := range j.r.Hosts {
		h := &j.r.Hosts[i]
		switch h.State {
		case Missing:
			j.add(h.Name, "updraft up makes it", "%s is not there", h.Name)
		case Off:
			j.add(h.Name, "updraft up starts it, and what belongs on it", "%s is off", h.Name)
		case Silent:
			j.add(h.Name, "see whether it has power and network, then updraft up", "%s does not answer: %s", h.Name, cmp.Or(h.Reason, "no reason is known"))
		case Up:
		}
	}
}

func (j *judge) find(name string) *Host {
	for i := range j.r.Hosts {
		if j.r.Hosts[i].Name == name {
			return &j.r.Hosts[i]
		}
	}
	return nil
}

// cluster makes members of what was printed, and judges whether they can decide.
func (j *judge) cluster(e Ensemble) {
	c := Cluster{Name: e.Name}
	serving, asked := 0, false
	for _, name := range e.Hosts {
		m := Member{Host: name, State: "away"}
		if h := j.find(name); h != nil && h.State == Up {
			m, asked = e.Read(h.clusters[e.Name]), true
			m.Host = name
		}
		if m.Serves {
			serving++
		}
		c.Members = append(c.Members, m)
	}
	c.Quorum = 2*serving > len(c.Members)
	j.r.Clusters = append(j.r.Clusters, c)
	if asked {
		j.members(&c, serving)
	}
}

func (j *judge) members(c *Cluster, serving int) {
	if why := split(c); why != "" {
		j.add("", "look at the network between the controllers, then updraft up; updraft logs shows what they say", "%s is split: %s", c.Name, why)
	}
	if !c.Quorum {
		j.add("", "updraft up starts what is down, from the most advanced member", "%s has no quorum: %d of %d serve", c.Name, serving, len(c.Members))
	}
	for _, m := range c.Members {
		if !m.Serves && m.State != "away" && len(c.Members) > 1 {
			j.add(m.Host, "updraft up brings it back; if it does not: updraft logs "+m.Host, "%s on %s does not serve: %s", c.Name, m.Host, m.State)
		}
	}
}

// split says in what members that serve contradict each other; "" if they agree.
func split(c *Cluster) string {
	var first *Member
	leaders := map[int][]string{}
	for i := range c.Members {
		m := &c.Members[i]
		if !m.Serves {
			continue
		}
		if m.Leader {
			leaders[m.Term] = append(leaders[m.Term], m.Host)
		}
		if first == nil {
			first = m
			continue
		}
		if m.Identity != first.Identity {
			return fmt.Sprintf("%s and %s are in different clusters", first.Host, m.Host)
		}
		if m.Sees != first.Sees {
			return fmt.Sprintf("%s sees %d members, %s sees %d", first.Host, first.Sees, m.Host, m.Sees)
		}
	}
	for _, who := range leaders {
		if len(who) > 1 {
			return strings.Join(who, " and ") + " lead at the same time"
		}
	}
	return ""
}

// vips finds who has the virtual addresses.
func (j *judge) vips() {
	for i := range j.r.VIPs {
		v := &j.r.VIPs[i]
		v.Holders = []string{}
		anybody := false
		for k := range j.r.Hosts {
			h := &j.r.Hosts[k]
			anybody = anybody || h.State == Up
			has := func(a string) bool { address, _, _ := strings.Cut(a, "/"); return address == v.Address }
			if slices.ContainsFunc(h.addresses, has) {
				v.Holders = append(v.Holders, h.Name)
			}
		}
		switch {
		case len(v.Holders) > 1:
			j.add("", "they do not hear each other: look at the network between them", "%s (%s) is on %s at once", v.Name, v.Address, strings.Join(v.Holders, " and "))
		case len(v.Holders) == 0 && anybody:
			j.add("", "updraft up starts what holds it", "nobody has %s (%s)", v.Name, v.Address)
		}
	}
}

// host tells of what is wrong on a host that is up.
func (j *judge) host(h *Host) {
	if h.State != Up {
		return
	}
	for _, c := range h.Containers {
		logs := fmt.Sprintf("updraft logs %s -u %s says why", h.Name, c.Name)
		switch {
		case c.Health == Restarting || c.Health == Stopped && c.Restarts >= crashes:
			j.add(h.Name, logs, "%s on %s ends again and again (%d times)", c.Name, h.Name, c.Restarts)
		case c.Health == Stopped:
			j.add(h.Name, "updraft up starts it", "%s on %s is stopped", c.Name, h.Name)
		case c.Health == Unhealthy:
			j.add(h.Name, logs+"; updraft up mends what it can", "%s on %s runs, and does not do its work", c.Name, h.Name)
		case c.Health == Healthy:
		}
	}
	for _, d := range h.Disks {
		if d.Share() >= fullDisk {
			j.add(h.Name, "make room: updraft exec "+h.Name+" -- journalctl --vacuum-size=200M", "%s on %s is %.0f%% full", d.Mount, h.Name, 100*d.Share())
		}
	}
	if h.Memory.Share() >= fullMemory {
		j.add(h.Name, "give it more memory, or move servers away", "%.0f%% of the memory of %s is in use", 100*h.Memory.Share(), h.Name)
	}
	if h.Ahead.Abs() > clockOff {
		j.add(h.Name, "see: updraft exec "+h.Name+" -- chronyc tracking", "the clock of %s is off by %s", h.Name, h.Ahead.Round(time.Second))
	}
	for _, u := range h.Failed {
		if !slices.ContainsFunc(h.Containers, func(c Container) bool { return c.Name+".service" == u }) {
			j.add(h.Name, fmt.Sprintf("updraft logs %s -u %s says why", h.Name, u), "the unit %s has failed on %s", u, h.Name)
		}
	}
}

// services tells of those that are down, but for those of hosts that are away.
func (j *judge) services() {
	for _, s := range j.r.Services {
		if h := j.find(s.Host); s.Up || s.Disabled || h != nil && h.State != Up {
			continue
		}
		j.add(s.Host, fmt.Sprintf("updraft logs %s says why; updraft up starts it", s.Host), "%s on %s is down", s.Name, s.Host)
	}
}

func (j *judge) certificates() {
	slices.SortFunc(j.r.Certificates, func(a, b Certificate) int { return cmp.Or(a.Ends.Compare(b.Ends), cmp.Compare(a.Name, b.Name)) })
	for _, c := range j.r.Certificates {
		switch left := c.Ends.Sub(j.r.At); {
		case left <= 0:
			j.add("", "updraft up replaces it", "the certificate %s ended on %s", c.Name, c.Ends.Format(time.DateOnly))
		case left < CertificateLeft:
			j.add("", "updraft up replaces it", "the certificate %s ends on %s", c.Name, c.Ends.Format(time.DateOnly))
		}
	}
}

// drift tells of hosts that are not as the file says, which is the least.
func (j *judge) drift() {
	for i := range j.r.Hosts {
		if h := &j.r.Hosts[i]; h.State == Up && h.Differ > 0 {
			j.add(h.Name, "updraft plan shows in what, updraft up mends it", "%s is not as the cloud file says, in %d of its %d resources", h.Name, h.Differ, h.Resources)
		}
	}
}
