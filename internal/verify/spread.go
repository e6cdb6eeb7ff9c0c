package verify

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/stats"
)

// Bounds of a [Spread].
const (
	maxConcurrency  = 256
	maxRequests     = 1_000_000
	requestTimeout  = 5 * time.Second
	maxIdentities   = 1000 // more than this are not members but noise
	defaultRequests = 300
	defaultAlpha    = 0.001
)

// Identity says how a response tells which member gave it.
type Identity struct {
	Header string `json:"header,omitempty" doc:"Response header that holds the member's identity."`
	Match  string `json:"match,omitempty" doc:"Regular expression (RE2) on the body; its first group, or else the whole match, is the identity."`
}

// Spread proves by statistics that a load balancer spreads requests over its
// members as declared.
type Spread struct {
	URL         string             `json:"url" required:"true" doc:"URL of the balancer. Its host may be a VIP or host of the cloud, or an address."`
	Network     string             `json:"network,omitempty" doc:"Network on which the address of the URL's host is taken; by default the first of the host."`
	Host        string             `json:"host,omitempty" doc:"Host header; by default the host in the URL."`
	Headers     map[string]string  `json:"headers,omitempty" doc:"Further request headers. They are not shown in reports."`
	Requests    int                `json:"requests,omitempty" default:"300" doc:"Number of requests."`
	Concurrency int                `json:"concurrency,omitempty" default:"8" doc:"Requests on the way at the same time."`
	KeepAlive   bool               `json:"keep_alive,omitempty" default:"false" doc:"Whether connections are used for several requests. A balancer of connections (layer 4) then sees few decisions."`
	Identity    Identity           `json:"identity,omitzero" doc:"How a response tells which member gave it; by default its whole body does, without white space around it."`
	Members     []string           `json:"members,omitempty" doc:"Identities that are to answer; a group or role stands for the names of its hosts. Empty: those that were seen, so that a member that is missing altogether goes unnoticed."`
	Weights     map[string]float64 `json:"weights,omitempty" doc:"Share of each member in proportion to the others; 1 where not given."`
	Alpha       float64            `json:"alpha,omitempty" default:"0.001" doc:"Significance level: how often a fair balancer may fail by chance."`
	MaxErrors   int                `json:"max_errors,omitempty" default:"0" doc:"Requests that may fail."`
	AllowFewer  bool               `json:"allow_fewer,omitempty" default:"false" doc:"Whether two members will do. With two, a balancer that sticks to one is easily taken for one that has lost the other."`
	TLS         TLS                `json:"tls,omitzero" doc:"How the server's certificate is judged."`
	Within      Duration           `json:"within,omitempty" default:"0s" doc:"How long the check may take to come true; it is tried again until then. Each try is a test of its own: repetition raises the chance that an unfair balancer passes."`

	endpoint Endpoint
	members  []string // Members with groups replaced by their hosts
}

func spreadKind() Kind {
	return Kind{
		Name:    "spread",
		Doc:     "Sends many requests to a load balancer, counts which member answered, and tests by chi-square whether the shares are as declared.",
		Example: "url: http://10.88.0.100/\nrequests: 300\nmembers: [web1, web2, web3]\n",
		New: func() Check {
			return &Spread{Requests: defaultRequests, Concurrency: 8, Alpha: defaultAlpha}
		},
	}
}

// Kind returns "spread".
func (*Spread) Kind() string { return "spread" }

// Patience returns Within.
func (c *Spread) Patience() time.Duration { return time.Duration(c.Within) }

// TryTimeout gives each request a quarter of a second on top of a minute.
func (c *Spread) TryTimeout() time.Duration {
	return time.Minute + time.Duration(c.Requests/max(c.Concurrency, 1))*250*time.Millisecond
}

// Validate checks the declaration.
func (c *Spread) Validate() error {
	_, err := parseURL("url", c.URL)
	errs := []error{err, validRegexp("identity.match", c.Identity.Match), validHeaders("headers", c.Headers)}
	add := func(field, mend, format string, args ...any) {
		errs = append(errs, resource.Fieldf(field, mend, format, args...))
	}
	if c.Requests < 1 || c.Requests > maxRequests {
		add("requests", "use 1 to 1000000", "%d requests cannot be sent", c.Requests)
	}
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		add("concurrency", "use 1 to 256", "%d requests cannot be on the way at once", c.Concurrency)
	}
	if !(c.Alpha >= 1e-12 && c.Alpha <= 0.1) {
		add("alpha", "use a level such as 0.001", "%g is not a significance level", c.Alpha)
	}
	if c.MaxErrors < 0 || c.MaxErrors >= max(c.Requests, 1) {
		add("max_errors", "use a number below that of the requests", "%d errors of %d requests cannot be allowed", c.MaxErrors, c.Requests)
	}
	if c.Identity.Header != "" && c.Identity.Match != "" {
		add("identity", "keep one of them", "a header and a match cannot both give the identity")
	}
	for _, name := range slices.Sorted(maps.Keys(c.Weights)) {
		if w := c.Weights[name]; !(w > 0 && w <= 1e6) {
			add("weights."+name, "use a number above 0", "%g is not a weight", w)
		}
	}
	return errors.Join(errs...)
}

// Resolve finds the balancer's address, replaces groups among the members by
// the names of their hosts, and checks that the test can mean something.
func (c *Spread) Resolve(lookup Lookup) error {
	u, err := parseURL("url", c.URL)
	if err != nil {
		return err
	}
	found, err := resolve("url", u.Hostname(), c.Network, lookup)
	if err != nil {
		return err
	}
	if len(found) > 1 {
		return resource.Fieldf("url", "name the VIP or the host that balances",
			"%q stands for %d hosts; a spread is measured at one address", u.Hostname(), len(found))
	}
	c.endpoint, c.members = found[0], nil
	for _, m := range c.Members {
		names := []string{m}
		if hosts := lookup(m, ""); len(hosts) > 0 {
			names = names[:0]
			for _, h := range hosts {
				names = append(names, h.Name)
			}
		}
		for _, n := range names {
			if !slices.Contains(c.members, n) {
				c.members = append(c.members, n)
			}
		}
	}
	return c.validMembers()
}

// validMembers applies the rules that need the final list of members.
func (c *Spread) validMembers() error {
	var errs []error
	if len(c.members) > 0 {
		if f := c.tooFew(len(c.members)); f != "" {
			errs = append(errs, resource.Fieldf("members", "name three members or more", "%s", f))
		}
		if n := stats.Needed(c.weightsOf(c.members)); n > c.Requests {
			errs = append(errs, resource.Fieldf("requests", "raise it", "%d requests are too few to judge these members: at least %d are needed, so that each expects %d", c.Requests, n, stats.MinExpected))
		}
		for _, name := range slices.Sorted(maps.Keys(c.Weights)) {
			if !slices.Contains(c.members, name) {
				errs = append(errs, resource.Fieldf("weights."+name, "name one of "+strings.Join(c.members, ", "), "%q is not a member", name))
			}
		}
	}
	return errors.Join(errs...)
}

// tooFew says why n members cannot be judged, or returns "".
func (c *Spread) tooFew(n int) string {
	switch {
	case n < 2:
		return "with one member there is no spread to judge"
	case n == 2 && !c.AllowFewer:
		return "two members are too few for a verdict on a spread (allow_fewer: true takes them)"
	}
	return ""
}

func (c *Spread) weightsOf(members []string) []float64 {
	out := make([]float64, len(members))
	for i, m := range members {
		out[i] = 1
		if w, ok := c.Weights[m]; ok {
			out[i] = w
		}
	}
	return out
}

// tally counts answers; it is filled by several goroutines.
type tally struct {
	mu     sync.Mutex
	counts map[string]int
	errors int
	first  []string // the first few errors
	broken error    // an error of the vantage point: the count means nothing
}

func (t *tally) add(identity string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case errors.Is(err, ErrVantage):
		t.broken = err
	case err != nil:
		t.errors++
		if s := plain(err); len(t.first) < 3 && !slices.Contains(t.first, s) {
			t.first = append(t.first, s)
		}
	default:
		if len(t.counts) >= maxIdentities && t.counts[identity] == 0 {
			identity = "(others)"
		}
		t.counts[identity]++
	}
}

// Run sends the requests and judges who answered.
func (c *Spread) Run(ctx context.Context, v Vantage) (any, error) {
	u, err := parseURL("url", c.URL)
	if err != nil {
		return nil, err
	}
	if c.endpoint == (Endpoint{}) {
		return nil, errors.New("the check was not resolved: it has no target")
	}
	identify, err := c.Identity.reader()
	if err != nil {
		return nil, err
	}
	start := time.Now()
	seen, err := c.count(ctx, v, u, identify)
	if err != nil {
		return nil, err
	}
	d, err := c.judge(seen)
	d.Time = time.Since(start)
	return d, err
}

// count sends the requests from Concurrency clients.
func (c *Spread) count(ctx context.Context, v Vantage, u *url.URL, identify func(response) (string, error)) (*tally, error) {
	spec := clientSpec{url: u, endpoint: c.endpoint, tls: c.TLS}
	if c.KeepAlive {
		spec.keep = c.Concurrency
	}
	cl, err := newClient(v, spec)
	if err != nil {
		return nil, err
	}
	defer cl.close()
	seen := &tally{counts: map[string]int{}}
	var (
		g    errgroup.Group
		sent atomic.Int64
	)
	for range min(c.Concurrency, c.Requests) {
		g.Go(func() error {
			for sent.Add(1) <= int64(c.Requests) && ctx.Err() == nil {
				seen.add(c.one(ctx, cl, identify))
			}
			return nil
		})
	}
	_ = g.Wait() // clients count their errors
	if seen.broken != nil {
		return nil, seen.broken
	}
	return seen, ctx.Err()
}

func (c *Spread) one(ctx context.Context, cl *client, identify func(response) (string, error)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := cl.get(ctx, "GET", c.URL, c.Host, c.Headers)
	if err != nil {
		return "", err
	}
	if r.status < 200 || r.status > 299 {
		return "", failf("status %d", r.status)
	}
	return identify(r)
}

// reader returns the function that finds the identity in a response.
func (i Identity) reader() (func(response) (string, error), error) {
	re, err := regexp.Compile(i.Match)
	if err != nil {
		return nil, err
	}
	return func(r response) (string, error) {
		id := string(r.body)
		switch {
		case i.Header != "":
			id = r.header.Get(i.Header)
		case i.Match != "":
			m := re.FindSubmatch(r.body)
			if m == nil {
				return "", failf("body does not match %s", i.Match)
			}
			id = string(m[min(1, len(m)-1)])
		}
		if id = strings.TrimSpace(id); id == "" {
			return "", failf("response does not tell who gave it")
		}
		return shorten(id), nil
	}, nil
}

// shorten keeps identities printable and of a bearable length.
func shorten(id string) string {
	if q := printable([]byte(id)); len(q) < len(id) || q != `"`+id+`"` {
		return q
	}
	return id
}
