package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/updraft-cloud/updraft/internal/resource"
)

// HTTP proves that a server answers a request as expected.
type HTTP struct {
	URL      string            `json:"url" required:"true" doc:"URL to ask for. Its host may be a host, group, role or VIP of the cloud; of a group or role, every host is asked."`
	Network  string            `json:"network,omitempty" doc:"Network on which the addresses of the URL's host are taken; by default the first of each host."`
	Method   string            `json:"method,omitempty" default:"GET" enum:"GET,HEAD,OPTIONS,POST,PUT,PATCH,DELETE" doc:"Request method."`
	Host     string            `json:"host,omitempty" doc:"Host header; by default the host in the URL."`
	Headers  map[string]string `json:"headers,omitempty" doc:"Further request headers. They are not shown in reports."`
	Status   Statuses          `json:"status,omitempty" default:"200" doc:"Status codes that pass: 200, \"200-299\" or \"2xx\", one or a list."`
	Contains string            `json:"contains,omitempty" doc:"Text that the body is to contain."`
	Match    string            `json:"match,omitempty" doc:"Regular expression (RE2) that the body is to match."`
	Expect   map[string]string `json:"expect_headers,omitempty" doc:"Regular expressions that response headers are to match, by name."`
	Follow   bool              `json:"follow,omitempty" default:"false" doc:"Whether redirects are followed."`
	TLS      TLS               `json:"tls,omitzero" doc:"How the server's certificate is judged."`
	Within   Duration          `json:"within,omitempty" default:"0s" doc:"How long the check may take to come true; it is tried again until then."`

	endpoints []Endpoint
}

func httpKind() Kind {
	return Kind{
		Name:    "http",
		Doc:     "Sends an HTTP request and judges status, headers and body.",
		Example: "url: http://web/\nstatus: 200\ncontains: web\nwithin: 30s\n",
		New: func() Check {
			return &HTTP{Method: http.MethodGet, Status: Statuses{"200"}}
		},
	}
}

// Kind returns "http".
func (*HTTP) Kind() string { return "http" }

// Patience returns Within.
func (c *HTTP) Patience() time.Duration { return time.Duration(c.Within) }

// Validate checks the declaration.
func (c *HTTP) Validate() error {
	_, err := parseURL("url", c.URL)
	errs := []error{err, validRegexp("match", c.Match), validHeaders("headers", c.Headers)}
	if !slices.Contains([]string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"}, c.Method) {
		errs = append(errs, resource.Fieldf("method", "use GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE", "%q is not a request method", c.Method))
	}
	if c.Host != "" && !httpguts.ValidHostHeader(c.Host) {
		errs = append(errs, resource.Fieldf("host", "", "%q is not a Host header", c.Host))
	}
	if len(c.Status) == 0 {
		errs = append(errs, resource.Fieldf("status", "name at least one, such as 200", "no status passes"))
	}
	for _, s := range c.Status {
		if _, _, err := parseStatus(s); err != nil {
			errs = append(errs, resource.Fieldf("status", "", "%v", err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Expect)) {
		errs = append(errs, validRegexp("expect_headers."+name, c.Expect[name]))
	}
	return errors.Join(errs...)
}

func validHeaders(field string, headers map[string]string) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		if http.CanonicalHeaderKey(name) == "Host" {
			errs = append(errs, resource.Fieldf(field+"."+name, "use the field host", "cannot be set among the headers"))
		}
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(headers[name]) {
			errs = append(errs, resource.Fieldf(field+"."+name, "", "is not a valid header"))
		}
	}
	return errors.Join(errs...)
}

// Resolve finds the addresses of the URL's host.
func (c *HTTP) Resolve(lookup Lookup) error {
	u, err := parseURL("url", c.URL)
	if err != nil {
		return err
	}
	c.endpoints, err = resolve("url", u.Hostname(), c.Network, lookup)
	return err
}

// HTTPDetail is what one server answered.
type HTTPDetail struct {
	Endpoint
	Status int           `json:"status,omitempty"`
	Bytes  int           `json:"bytes"` // of the body, as far as it was looked at
	Time   time.Duration `json:"time_ns,omitempty"`
	Error  string        `json:"error,omitempty"`
}

// HTTPDetails is what an http check found.
type HTTPDetails []HTTPDetail

// Summary says how many answered, with what and how fast.
func (ds HTTPDetails) Summary() string {
	var worst time.Duration
	for _, d := range ds {
		worst = max(worst, d.Time)
	}
	if len(ds) == 1 {
		return fmt.Sprintf("status %d in %s", ds[0].Status, round(worst))
	}
	return fmt.Sprintf("%s, slowest in %s", answered(len(ds)), round(worst))
}

// Run sends the request once to every address.
func (c *HTTP) Run(ctx context.Context, v Vantage) (any, error) {
	found, err := each(ctx, c.endpoints, func(ctx context.Context, t Endpoint) (HTTPDetail, error) {
		d := HTTPDetail{Endpoint: t}
		resp, err := c.request(ctx, v, t)
		if err != nil {
			d.Error = plain(err)
			return d, err
		}
		d.Status, d.Bytes, d.Time = resp.status, len(resp.body), resp.took
		return d, c.judge(t, resp)
	})
	return HTTPDetails(found), err
}

func (c *HTTP) request(ctx context.Context, v Vantage, t Endpoint) (response, error) {
	u, err := parseURL("url", c.URL)
	if err != nil {
		return response{}, err
	}
	cl, err := newClient(v, clientSpec{url: u, endpoint: t, tls: c.TLS, follow: c.Follow})
	if err != nil {
		return response{}, err
	}
	defer cl.close()
	resp, err := cl.get(ctx, c.Method, c.URL, c.Host, c.Headers)
	if err != nil {
		return resp, asFailure(err, "%s does not answer", t)
	}
	return resp, nil
}

func (c *HTTP) judge(t Endpoint, r response) error {
	if !c.Status.Has(r.status) {
		return failf("%s answers with status %d, expected %s", t, r.status, c.Status)
	}
	if !bytes.Contains(r.body, []byte(c.Contains)) {
		return failf("%s answers with a body that does not contain %q: %s", t, c.Contains, orEmpty(printable(r.body)))
	}
	if re, err := regexp.Compile(c.Match); err != nil || !re.Match(r.body) {
		return failf("%s answers with a body that does not match %s: %s", t, c.Match, orEmpty(printable(r.body)))
	}
	for _, name := range slices.Sorted(maps.Keys(c.Expect)) {
		re, err := regexp.Compile(c.Expect[name])
		if err != nil || !slices.ContainsFunc(r.header.Values(name), re.MatchString) {
			return failf("%s answers with header %s: %q, expected a match of %s", t, name, r.header.Get(name), c.Expect[name])
		}
	}
	return nil
}

func orEmpty(s string) string {
	if s == "" {
		return "it is empty"
	}
	return s
}
