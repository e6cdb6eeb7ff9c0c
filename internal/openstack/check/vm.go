package check

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/updraft-cloud/updraft/internal/openstack/api"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/verify"
)

// VM proves that servers run and can be reached.
type VM struct {
	Image    string `json:"image" required:"true" doc:"Name of the image that the server starts from."`
	Flavor   string `json:"flavor" required:"true" doc:"Name of the flavor."`
	Network  string `json:"network" required:"true" doc:"Name of the network that the server is on. With a floating IP, a router is to join it with the external network."`
	External string `json:"external,omitempty" doc:"Name of the external network that the server gets a floating IP from. Without it, the server is not reached, only watched by its console."`
	Zone     string `json:"zone,omitempty" doc:"Availability zone, or zone:host to start it on one host."`

	Marker   string `json:"marker,omitempty" default:"UPDRAFT-READY" doc:"Regular expression (RE2) that a line of the console log is to match once the server is up; empty for none."`
	DHCP     string `json:"dhcp,omitempty" default:"UPDRAFT-READY .*address=" doc:"Regular expression for the line on the console that tells the address got by DHCP: it is to hold the server's fixed address. Empty for none."`
	Metadata string `json:"metadata,omitempty" default:"UPDRAFT-READY .*hostname=" doc:"Regular expression for the line on the console that tells what the metadata service said: it is to hold the server's name. Empty for none."`
	Ping     bool   `json:"ping,omitempty" default:"true" doc:"Whether the floating IP is to answer to pings."`
	Port     int    `json:"port,omitempty" default:"80" doc:"TCP port that is to be open on the floating IP; 0 for none."`
	HTTP     string `json:"http,omitempty" default:"/" doc:"Path that is to be answered on that port with status 200; empty for none."`
	Contains string `json:"contains,omitempty" doc:"Text that the answer is to contain."`

	ActiveWithin  verify.Duration `json:"active_within,omitempty" default:"3m" doc:"How long the server may take to become ACTIVE. Under emulation it took 17 s on two cores."`
	ConsoleWithin verify.Duration `json:"console_within,omitempty" default:"3m" doc:"How long it may take from then until the console shows all that it is to show."`
	ReachWithin   verify.Duration `json:"reach_within,omitempty" default:"1m" doc:"How long it may take from then until the floating IP answers."`
	Keep          bool            `json:"keep,omitempty" default:"false" doc:"Whether to leave the server and what belongs to it there, for a look at it. The next run of the check removes it."`

	access api.Access
}

func vmKind(access api.Access) verify.Kind {
	return verify.Kind{
		Name:    "vm",
		Doc:     "Starts a server, watches its console for DHCP, metadata and a marker, reaches it by a floating IP, and removes it again.",
		Example: "image: proof\nflavor: proof\nnetwork: proof\nexternal: public\n",
		New: func() verify.Check {
			return &VM{
				Marker: "UPDRAFT-READY", DHCP: "UPDRAFT-READY .*address=", Metadata: "UPDRAFT-READY .*hostname=", Ping: true, Port: 80, HTTP: "/",
				ActiveWithin: verify.Duration(3 * time.Minute), ConsoleWithin: verify.Duration(3 * time.Minute),
				ReachWithin: verify.Duration(time.Minute), access: access,
			}
		},
	}
}

// Kind returns "vm".
func (*VM) Kind() string { return "vm" }

// Patience returns 0: each stage has a time of its own.
func (*VM) Patience() time.Duration { return 0 }

// cleaningTime bounds the removal of what a run made. Deleting a server took 6 s
// under emulation.
const cleaningTime = 2 * time.Minute

// setupTime bounds everything that has no time of its own.
const setupTime = 2 * time.Minute

// TryTimeout is how long all stages may take together.
func (c *VM) TryTimeout() time.Duration {
	return setupTime + time.Duration(c.ActiveWithin+c.ConsoleWithin+c.ReachWithin) + 2*cleaningTime
}

// Validate checks the declaration.
func (c *VM) Validate() error {
	var errs []error
	for _, f := range []struct{ name, value string }{{"image", c.Image}, {"flavor", c.Flavor}, {"network", c.Network}} {
		if f.value == "" {
			errs = append(errs, resource.Fieldf(f.name, "name one that is in the cloud", "is required"))
		}
	}
	for _, f := range []struct{ name, value string }{{"marker", c.Marker}, {"dhcp", c.DHCP}, {"metadata", c.Metadata}} {
		if _, err := regexp.Compile(f.value); err != nil {
			errs = append(errs, resource.Fieldf(f.name, "see https://golang.org/s/re2syntax", "%q is not a regular expression: %v", f.value, err))
		}
	}
	if c.Port < 0 || c.Port > 65535 {
		errs = append(errs, resource.Fieldf("port", "use a port up to 65535, or 0 for none", "%d is not a port", c.Port))
	}
	if c.HTTP != "" && !strings.HasPrefix(c.HTTP, "/") {
		errs = append(errs, resource.Fieldf("http", "begin it with /", "%q is not a path", c.HTTP))
	}
	for _, f := range []struct {
		name  string
		value verify.Duration
	}{{"active_within", c.ActiveWithin}, {"console_within", c.ConsoleWithin}, {"reach_within", c.ReachWithin}} {
		if f.value <= 0 {
			errs = append(errs, resource.Fieldf(f.name, "use a time such as 1m", "it takes some time"))
		}
	}
	return errors.Join(errs...)
}

// Resolve does nothing: the names are those of the cloud's API.
func (*VM) Resolve(verify.Lookup) error { return nil }

// Stage is a part of the check.
type Stage struct {
	Name string        `json:"name"`
	Time time.Duration `json:"time_ns"`
	// Error says why the stage failed; it is the last one then.
	Error string `json:"error,omitempty"`
}

// VMDetail is what a vm check found.
type VMDetail struct {
	Server   string  `json:"server,omitempty"` // ID
	Name     string  `json:"name"`
	Host     string  `json:"host,omitempty"` // that it runs on
	Address  string  `json:"address,omitempty"`
	Floating string  `json:"floating,omitempty"`
	Stages   []Stage `json:"stages"`
	// Fault is what Nova says of a server that failed.
	Fault string `json:"fault,omitempty"`
	// Console is the end of the console log, when a stage failed.
	Console []string `json:"console,omitempty"`
	Kept    bool     `json:"kept,omitempty"`
}

// Summary says how long each stage took.
func (d *VMDetail) Summary() string {
	var parts []string
	var sum time.Duration
	for _, s := range d.Stages {
		parts = append(parts, s.Name+" "+s.Time.Round(10*time.Millisecond).String())
		if s.Name != stageRemove && s.Name != stageLeftovers {
			sum += s.Time
		}
	}
	at := d.Floating
	if at == "" {
		at = d.Address
	}
	return fmt.Sprintf("%s up after %s (%s)", at, sum.Round(100*time.Millisecond), strings.Join(parts, ", "))
}

// The stages.
const (
	stageConnect   = "connect"
	stageLeftovers = "leftovers"
	stagePrepare   = "prepare"
	stageActive    = "active"
	stageFloating  = "floating-ip"
	stageConsole   = "console"
	stagePing      = "ping"
	stageTCP       = "tcp"
	stageHTTP      = "http"
	stageRemove    = "remove"
)

// Run goes through all stages, and removes what it made whatever happens.
func (c *VM) Run(ctx context.Context, v verify.Vantage) (any, error) {
	r := &vmRun{c: c, v: v, d: &VMDetail{Name: c.tag(v.Name())}}
	err := r.stages(ctx)
	if r.client == nil {
		return r.d, asFailure(ctx, err)
	}
	defer r.client.Close()
	if err != nil {
		r.explain(ctx)
	}
	if c.Keep {
		r.d.Kept = true
		return r.d, asFailure(ctx, err)
	}
	// What was made is removed even when the run is being cut off.
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaningTime)
	defer cancel()
	left := r.stage(clean, stageRemove, r.removeAll)
	if err != nil {
		err = asFailure(ctx, err)
		var f *verify.Failure
		if left != nil && errors.As(err, &f) {
			return r.d, failf("%s; %s", f.Reason, left)
		}
		return r.d, err
	}
	return r.d, asFailure(ctx, left)
}

// tag names everything that the check makes. It is the same in each run, so that
// what a killed one left is known, and another for each check and each vantage
// point, as they may run side by side.
func (c *VM) tag(from string) string {
	b, err := json.Marshal(c)
	if err != nil {
		b = nil // plain fields always encode
	}
	sum := sha256.Sum256(append(b, from...))
	return "updraft-vm-" + hex.EncodeToString(sum[:4])
}
