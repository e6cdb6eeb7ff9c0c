package verify

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// noNames is the Lookup of a cloud without names.
func noNames(string, string) []Endpoint { return nil }

// decoded returns a check of the kind with the JSON body decoded into it.
func decoded(t *testing.T, kind, body string) Check {
	t.Helper()
	for _, k := range Kinds() {
		if k.Name == kind {
			c := k.New()
			var faults diag.List
			spec.Raw{JSON: []byte(body)}.Decode(c, kind, &faults)
			undecided := slices.DeleteFunc(faults, func(d diag.Diagnostic) bool { return isFieldRule(d.Summary) })
			if len(undecided) > 0 {
				t.Fatalf("cannot decode %s %s: %v", kind, body, undecided)
			}
			return c
		}
	}
	t.Fatalf("no kind %q", kind)
	return nil
}

// isFieldRule tells faults that Validate finds too.
func isFieldRule(summary string) bool {
	return strings.HasSuffix(summary, " is missing") || strings.Contains(summary, " is not one of ")
}

// ready returns a valid and resolved check.
func ready(t *testing.T, kind, body string) Check {
	t.Helper()
	c := decoded(t, kind, body)
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if err := c.Resolve(noNames); err != nil {
		t.Fatal(err)
	}
	return c
}

// runOnce runs the check from this computer and returns its result.
func runOnce(t *testing.T, c Check) Result {
	t.Helper()
	var r Runner
	return r.Run(t.Context(), "test", []Job{{Name: "it", Check: c, Vantage: &Local{}, Timeout: 30 * time.Second}}).Results[0]
}

func wantResult(t *testing.T, got Result, status Status, reason string) {
	t.Helper()
	if got.Status != status || !strings.Contains(got.Reason, reason) {
		t.Errorf("%s: %q, want %s with %q", got.Status, got.Reason, status, reason)
	}
}

func splitAddr(t *testing.T, addr net.Addr) (host, port string) {
	t.Helper()
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		t.Fatal(err)
	}
	return host, port
}

// brokenFleet fails every call with its error.
type brokenFleet struct{ err error }

func (b brokenFleet) DialFrom(context.Context, string, string, string) (net.Conn, error) {
	return nil, b.err
}
func (b brokenFleet) Ping(context.Context, string, string) (time.Duration, error) { return 0, b.err }
func (b brokenFleet) Exchange(context.Context, string, string, []byte) ([]byte, error) {
	return nil, b.err
}

func TestKindsDocumentEveryFieldAndStateTheirDefaults(t *testing.T) {
	for _, k := range Kinds() {
		c := k.New()
		if c.Kind() != k.Name || k.Doc == "" || k.Example == "" {
			t.Errorf("kind %q: name, doc or example is missing", k.Name)
		}
		v := reflect.ValueOf(c).Elem()
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() {
				continue
			}
			if f.Tag.Get("doc") == "" || f.Tag.Get("json") == "" {
				t.Errorf("%s.%s has no doc or json tag", k.Name, f.Name)
			}
			checkDefault(t, k, f)
		}
	}
}

// checkDefault decodes the default tag into a new check, which must change nothing.
func checkDefault(t *testing.T, k Kind, f reflect.StructField) {
	t.Helper()
	def, ok := f.Tag.Lookup("default")
	if !ok {
		return
	}
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	if !json.Valid([]byte(def)) {
		def = strconv.Quote(def)
	}
	if c := decoded(t, k.Name, `{"`+name+`":`+def+`}`); !reflect.DeepEqual(c, k.New()) {
		t.Errorf("%s.%s: default tag %s does not agree with New", k.Name, f.Name, def)
	}
}

func TestValidateNamesTheField(t *testing.T) {
	tests := []struct{ name, kind, body, field string }{
		{"icmp needs a target", "icmp", `{}`, "target"},
		{"icmp counts from one", "icmp", `{"target":"a","count":-1}`, "count"},
		{"loss is a percentage", "icmp", `{"target":"a","max_loss":100}`, "max_loss"},
		{"a reply takes time", "icmp", `{"target":"a","wait":"0s"}`, "wait"},
		{"a target is no URL", "tcp", `{"target":"http://a/","port":1}`, "target"},
		{"ports end at 65535", "tcp", `{"target":"a","port":65536}`, "port"},
		{"a port is open or closed", "tcp", `{"target":"a","port":1,"expect":"ajar"}`, "expect"},
		{"a banner needs an expression", "banner", `{"target":"a","port":1}`, "match"},
		{"an expression must compile", "banner", `{"target":"a","port":1,"match":"("}`, "match"},
		{"http needs a URL", "http", `{}`, "url"},
		{"http does not speak ftp", "http", `{"url":"ftp://a/"}`, "url"},
		{"a URL holds no password", "http", `{"url":"http://u:p@a/"}`, "url"},
		{"a method is known", "http", `{"url":"http://a/","method":"BREW"}`, "method"},
		{"headers are of one line", "http", `{"url":"http://a/","headers":{"X":"a\nb"}}`, "headers.X"},
		{"host has a field of its own", "http", `{"url":"http://a/","headers":{"host":"b"}}`, "headers.host"},
		{"expected headers must compile", "http", `{"url":"http://a/","expect_headers":{"X":"("}}`, "expect_headers.X"},
		{"dns needs a name", "dns", `{"server":"a"}`, "name"},
		{"a label has at most 63 bytes", "dns", `{"server":"a","name":"` + strings.Repeat("x", 64) + `"}`, "name"},
		{"a record type is known", "dns", `{"server":"a","name":"b","type":"ANY"}`, "type"},
		{"no records with NXDOMAIN", "dns", `{"server":"a","name":"b","rcode":"NXDOMAIN","expect":["1.2.3.4"]}`, "expect"},
		{"alpha is small", "spread", `{"url":"http://a/","alpha":0.5}`, "alpha"},
		{"errors are fewer than requests", "spread", `{"url":"http://a/","requests":10,"max_errors":10}`, "max_errors"},
		{"weights are positive", "spread", `{"url":"http://a/","weights":{"a":0}}`, "weights.a"},
		{"one source of identity", "spread", `{"url":"http://a/","identity":{"header":"X","match":"y"}}`, "identity"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var fe *resource.FieldError
			if err := decoded(t, tt.kind, tt.body).Validate(); !errors.As(err, &fe) || fe.Field != tt.field {
				t.Errorf("fault %v, want one of field %q", err, tt.field)
			}
		})
	}
}

func TestResolve(t *testing.T) {
	lookup := func(name, network string) []Endpoint {
		if name == "web" && network == "" {
			return []Endpoint{{"web1", "10.0.0.1"}, {"web2", "10.0.0.2"}, {"web3", "10.0.0.3"}}
		}
		return nil
	}
	tests := []struct{ name, kind, body, fault string }{
		{"a group", "icmp", `{"target":"web"}`, ""},
		{"an address", "icmp", `{"target":"2001:db8::1"}`, ""},
		{"a DNS name", "http", `{"url":"https://example.org/"}`, ""},
		{"a name that nobody knows", "tcp", `{"target":"wbe","port":1}`, `target: "wbe" is no host`},
		{"a group that is not on the network", "icmp", `{"target":"web","network":"storage"}`, `target: "web" has no address on network "storage"`},
		{"a spread over several addresses", "spread", `{"url":"http://web/"}`, `url: "web" stands for 3 hosts`},
		{"a group as members", "spread", `{"url":"http://10.0.0.9/","members":["web"]}`, ""},
		{"two members", "spread", `{"url":"http://10.0.0.9/","members":["a","b"]}`, "members: two members are too few"},
		{"two members, knowingly", "spread", `{"url":"http://10.0.0.9/","members":["a","b"],"allow_fewer":true}`, ""},
		{"one member", "spread", `{"url":"http://10.0.0.9/","members":["a"],"allow_fewer":true}`, "members: with one member there is no spread"},
		{"a weight of a stranger", "spread", `{"url":"http://10.0.0.9/","members":["web"],"weights":{"web4":2}}`, `weights.web4: "web4" is not a member`},
		{"too few requests for the weights", "spread", `{"url":"http://10.0.0.9/","requests":40,"members":["web"],"weights":{"web1":8}}`, "requests: 40 requests are too few to judge these members: at least 50"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := decoded(t, tt.kind, tt.body).Resolve(lookup)
			if tt.fault == "" && err != nil || tt.fault != "" && (err == nil || !strings.HasPrefix(err.Error(), tt.fault)) {
				t.Errorf("fault %v, want %q", err, tt.fault)
			}
		})
	}
}

func TestDuration(t *testing.T) {
	var d Duration
	if err := json.Unmarshal([]byte(`"1m30s"`), &d); err != nil || d != Duration(90*time.Second) {
		t.Errorf("1m30s decodes to %v, %v", d, err)
	}
	for _, bad := range []string{`"soon"`, `"-1s"`} {
		if err := json.Unmarshal([]byte(bad), &d); err == nil {
			t.Errorf("%s is taken for a duration", bad)
		}
	}
}

func TestStatuses(t *testing.T) {
	s := decoded(t, "http", `{"url":"http://a/","status":[200, "301-308", "4xx"]}`).(*HTTP).Status
	for code, want := range map[int]bool{200: true, 201: false, 301: true, 308: true, 400: true, 499: true, 500: false} {
		if s.Has(code) != want {
			t.Errorf("%s has %d: %v", s, code, !want)
		}
	}
	if s := decoded(t, "http", `{"url":"http://a/","status":204}`).(*HTTP).Status; s.String() != "204" {
		t.Errorf("204 decodes to %q", s)
	}
	for _, bad := range []string{`"ok"`, `99`, `600`, `"300-200"`, `[]`} {
		if err := decoded(t, "http", `{"url":"http://a/","status":`+bad+`}`).Validate(); err == nil {
			t.Errorf("%s is taken for a status", bad)
		}
	}
}

func TestExamplesAreValidInACloudFile(t *testing.T) {
	const head = "version: 1\ncloud: web\nnetworks:\n  mgmt: {cidr: 10.88.0.0/24}\ngroups:\n  web: {count: 3}\n  edge: {count: 1}\nverify:\n  - "
	for _, k := range Kinds() {
		text := head + k.Name + ":\n      " + strings.ReplaceAll(strings.TrimSpace(k.Example), "\n", "\n      ") + "\n"
		cloud, faults := spec.Parse("cloud.yaml", []byte(text), spec.Options{})
		if err := faults.Err(); err != nil {
			t.Errorf("%s: %v\n%s", k.Name, err, text)
			continue
		}
		c := k.New()
		cloud.Checks[0].Body.Decode(c, k.Name, &faults)
		lookup := func(name, _ string) []Endpoint {
			var out []Endpoint
			for _, h := range cloud.Select(name) {
				out = append(out, Endpoint{h.Name, h.NICs[0].Address.Addr().String()})
			}
			return out
		}
		if err := errors.Join(faults.Err(), c.Validate(), c.Resolve(lookup)); err != nil {
			t.Errorf("%s: %v\n%s", k.Name, err, text)
		}
	}
}
