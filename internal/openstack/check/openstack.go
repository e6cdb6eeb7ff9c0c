package check

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// OpenStack proves that the services answer and that what they run on is up.
type OpenStack struct {
	Services    []string        `json:"services,omitempty" doc:"What is to answer: the services of the types identity, image, compute, network, placement in the catalogue, the dashboard (Horizon's login page with its styles and scripts), and console (the proxy to servers' screens); all of these when not given. What else is in the catalogue is not asked."`
	Hypervisors int             `json:"hypervisors,omitempty" default:"1" doc:"How many hypervisors are to be up, at least. None that is enabled may be down."`
	Agents      bool            `json:"agents,omitempty" default:"true" doc:"Whether Nova's services and Neutron's agents are to be alive, all that are enabled."`
	Within      verify.Duration `json:"within,omitempty" default:"0s" doc:"How long the check may take to come true; it is tried again until then."`

	cloud Cloud
}

func openstackKind(cloud Cloud) verify.Kind {
	return verify.Kind{
		Name:    "openstack",
		Doc:     "Asks each OpenStack service something small, whether hypervisors and agents are up, and whether the dashboard is whole.",
		Example: "hypervisors: 1\nwithin: 30s\n",
		New:     func() verify.Check { return &OpenStack{Hypervisors: 1, Agents: true, cloud: cloud} },
	}
}

// Kind returns "openstack".
func (*OpenStack) Kind() string { return "openstack" }

// Patience returns Within.
func (c *OpenStack) Patience() time.Duration { return time.Duration(c.Within) }

// TryTimeout is how long one round of questions may take: as long as one request.
func (*OpenStack) TryTimeout() time.Duration { return api.DefaultTimeout }

// known are the services that there is a question for.
func known() []string {
	return []string{"identity", "image", "compute", "network", "placement", "dashboard", "console"}
}

// Validate checks the declaration.
func (c *OpenStack) Validate() error {
	var errs []error
	for _, s := range c.Services {
		if !slices.Contains(known(), s) {
			errs = append(errs, resource.Fieldf("services", "use "+strings.Join(known(), ", "), "there is no question for %q", s))
		}
	}
	if c.Hypervisors < 0 {
		errs = append(errs, resource.Fieldf("hypervisors", "use 0 or more", "%d is no number of hypervisors", c.Hypervisors))
	}
	return errors.Join(errs...)
}

// Resolve does nothing: the API is where the cloud says.
func (*OpenStack) Resolve(verify.Lookup) error { return nil }

// Trip is one question and its answer.
type Trip struct {
	Service string        `json:"service"`
	What    string        `json:"what"`
	Time    time.Duration `json:"time_ns"`
	// Found is how many things the answer held.
	Found int    `json:"found"`
	Error string `json:"error,omitempty"`
}

// Trips is what an openstack check found.
type Trips []Trip

// Summary says how many answered, and how fast the slowest.
func (ts Trips) Summary() string {
	slowest := slices.MaxFunc(ts, func(a, b Trip) int { return int(a.Time - b.Time) })
	return fmt.Sprintf("%d questions answered, slowest %s %s in %s", len(ts), slowest.Service, slowest.What, slowest.Time.Round(time.Millisecond))
}

// question is what a service is asked. ask returns how many things it found.
type question struct {
	service, what string
	ask           func(ctx context.Context, c *api.Client) (int, error)
}

// Run asks all questions at once.
func (c *OpenStack) Run(ctx context.Context, v verify.Vantage) (any, error) {
	start := time.Now()
	client, err := connect(ctx, c.cloud.Access, v)
	first := Trip{Service: "identity", What: "token", Time: time.Since(start)}
	if err != nil {
		first.Error = err.Error()
		return Trips{first}, asFailure(ctx, err)
	}
	defer client.Close()
	pages, err := newPages(c.cloud.Access, v)
	if err != nil {
		return nil, err
	}
	defer pages.close()
	questions := c.questions(pages)
	trips, errs := make(Trips, len(questions)), make([]error, len(questions))
	var g errgroup.Group
	for i, q := range questions {
		g.Go(func() error {
			start := time.Now()
			found, err := q.ask(ctx, client)
			trips[i] = Trip{Service: q.service, What: q.what, Time: time.Since(start), Found: found}
			if err != nil {
				trips[i].Error, errs[i] = err.Error(), err
			}
			return nil
		})
	}
	_ = g.Wait() // errors are in the trips
	first.Found = len(client.Services())
	return append(Trips{first}, trips...), asFailure(ctx, several(errs))
}

// several tells all errors in one line.
func several(errs []error) error {
	var texts []string
	for _, err := range errs {
		if errors.Is(err, verify.ErrVantage) {
			return err
		}
		if err != nil {
			texts = append(texts, err.Error())
		}
	}
	if len(texts) == 0 {
		return nil
	}
	return failf("%s", strings.Join(texts, "; "))
}

func (c *OpenStack) questions(p *pages) []question {
	all := []question{
		{"identity", "projects", count("identity", "projects", "projects")},
		{"image", "images", count("image", "images?limit=1000", "images")},
		{"compute", "flavors", count("compute", "flavors", "flavors")},
		{"network", "networks", count("network", "networks", "networks")},
		{"placement", "versions", versions},
		{"compute", "hypervisors", c.hypervisors},
		{"dashboard", "certificate", p.certificate(c.cloud.Dashboard)},
		{"dashboard", "login page", p.dashboard(c.cloud.Dashboard)},
		{"console", "page", p.console(c.cloud.Consoles)},
	}
	if c.Agents {
		all = append(all, question{"compute", "services", computeServices}, question{"network", "agents", agents})
	}
	wanted := c.Services
	if len(wanted) == 0 {
		wanted = known()
	}
	return slices.DeleteFunc(all, func(q question) bool { return !slices.Contains(wanted, q.service) })
}

func count(service, path, plural string) func(context.Context, *api.Client) (int, error) {
	return func(ctx context.Context, c *api.Client) (int, error) {
		var all []struct{}
		err := c.All(ctx, service, path, plural, &all)
		return len(all), err
	}
}

// versions asks Placement for what it speaks, which is the one thing that it
// answers in one place in all versions.
func versions(ctx context.Context, c *api.Client) (int, error) {
	var doc struct{ Versions []struct{ ID string } }
	err := c.Call(ctx, "placement", http.MethodGet, "", nil, &doc, "ask placement for its versions")
	return len(doc.Versions), err
}

func (c *OpenStack) hypervisors(ctx context.Context, client *api.Client) (int, error) {
	var all []struct {
		Name   string `json:"hypervisor_hostname"`
		State  string
		Status string
	}
	if err := client.All(ctx, "compute", "os-hypervisors/detail", "hypervisors", &all); err != nil {
		return 0, err
	}
	up := 0
	var down []string
	for _, h := range all {
		if h.State == "up" {
			up++
		} else if h.Status != "disabled" {
			down = append(down, h.Name)
		}
	}
	if len(down) > 0 {
		return up, failf("hypervisors are down: %s", strings.Join(down, ", "))
	}
	if up < c.Hypervisors {
		return up, failf("%d hypervisors are up, %d are to be", up, c.Hypervisors)
	}
	return up, nil
}

func computeServices(ctx context.Context, client *api.Client) (int, error) {
	var all []struct{ Binary, Host, State, Status string }
	if err := client.All(ctx, "compute", "os-services", "services", &all); err != nil {
		return 0, err
	}
	var down []string
	for _, s := range all {
		if s.State != "up" && s.Status != "disabled" {
			down = append(down, s.Binary+" on "+s.Host)
		}
	}
	if len(down) > 0 {
		return len(all), failf("Nova's services are down: %s", strings.Join(down, ", "))
	}
	return len(all), nil
}

func agents(ctx context.Context, client *api.Client) (int, error) {
	var all []struct {
		Type  string `json:"agent_type"`
		Host  string
		Alive bool
		Up    bool `json:"admin_state_up"`
	}
	if err := client.All(ctx, "network", "agents", "agents", &all); err != nil {
		return 0, err
	}
	var dead []string
	for _, a := range all {
		if a.Up && !a.Alive {
			dead = append(dead, a.Type+" on "+a.Host)
		}
	}
	if len(dead) > 0 {
		return len(all), failf("Neutron's agents do not answer: %s", strings.Join(dead, ", "))
	}
	return len(all), nil
}
