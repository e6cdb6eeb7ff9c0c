package handoff

import (
	"bytes"
	"cmp"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"unicode"
)

// OpenStack is how to use the API of a cloud. It holds a password.
type OpenStack struct {
	AuthURL string // Keystone's, with its version: https://10.88.0.10:5000/v3
	// Interface says which of the catalogue's endpoints are used; "public" when empty.
	Interface string
	Region    string
	Project   string
	User      string
	Password  string
	// Domain is that of the user and the project; "Default" when empty.
	Domain string
	// CA is what clients trust, as PEM; empty if the system trusts it already.
	CA        string
	Endpoints []Endpoint
	// Through is the command that runs a client where it reaches the cloud's
	// networks; empty where this computer reaches them itself.
	Through []string
}

// Endpoint is where a service answers.
type Endpoint struct {
	Service string `json:"service"`        // such as nova
	Type    string `json:"type,omitempty"` // in the catalogue, such as compute; empty if it is not there
	URL     string `json:"url"`
}

// caName is the file that the others refer to.
const caName = "ca.pem"

// defaultDomain is made by keystone-manage bootstrap.
const defaultDomain = "Default"

func (o OpenStack) domain() string {
	if o.Domain == "" {
		return defaultDomain
	}
	return o.Domain
}

// through is what stands before a client's command line.
func (o OpenStack) through() string {
	var b strings.Builder
	for _, word := range o.Through {
		b.WriteString(shellQuote(word) + " ")
	}
	return b.String()
}

// openstackFiles renders what clients of the API read. Those that hold the
// password are for the owner only.
func (in Input) openstackFiles() ([]File, error) {
	o := in.OpenStack
	ca := ""
	var files []File
	if o.CA != "" {
		ca = in.file(caName)
		files = append(files, File{Name: caName, Mode: 0o644, Content: []byte(o.CA)})
	}
	clouds, err := o.CloudsYAML(in.Cloud, ca)
	if err != nil {
		return nil, err
	}
	endpoints, err := o.endpointsJSON(in.Cloud)
	if err != nil {
		return nil, err
	}
	return append(files,
		File{Name: "clouds.yaml", Mode: 0o600, Content: clouds},
		File{Name: "openrc", Mode: 0o600, Content: o.openrc(in, ca)},
		File{Name: "endpoints.json", Mode: 0o644, Content: endpoints},
		File{Name: "endpoints.txt", Mode: 0o644, Content: o.endpointsText()},
	), nil
}

// CloudsYAML renders the file clouds.yaml with this one cloud, as openstacksdk
// reads it ("Configuring OpenStack SDK Applications" in its documentation). ca
// is the path of the file with the authority's certificate, or empty.
func (o OpenStack) CloudsYAML(cloud, ca string) ([]byte, error) {
	if err := errors.Join(o.validate(), o.validatePath(ca)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The cloud %[1]s. Use: %[2]sopenstack --os-cloud %[1]s server list\n", cloud, o.through())
	b.WriteString("# Clients find this file where OS_CLIENT_CONFIG_FILE says, or as ~/.config/openstack/clouds.yaml.\n")
	fmt.Fprintf(&b, "clouds:\n  %s:\n    auth:\n", quote(cloud))
	for _, v := range []variable{
		{"auth_url", o.AuthURL}, {"username", o.User}, {"password", o.Password}, {"project_name", o.Project},
		{"user_domain_name", o.domain()}, {"project_domain_name", o.domain()},
	} {
		fmt.Fprintf(&b, "      %s: %s\n", v.name, quote(v.value))
	}
	fmt.Fprintf(&b, "    region_name: %s\n    interface: %s\n    identity_api_version: 3\n", quote(o.Region), cmp.Or(o.Interface, "public"))
	if ca != "" {
		fmt.Fprintf(&b, "    cacert: %s\n", quote(ca))
	}
	return b.Bytes(), nil
}

// openrc renders shell text that sets what python-openstackclient reads from the
// environment. What an earlier openrc may have set otherwise is taken away.
func (o OpenStack) openrc(in Input, ca string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The cloud %s. Use: . %s && %sopenstack server list\n", in.Cloud, shellQuote(in.file("openrc")), o.through())
	b.WriteString("unset OS_CLOUD OS_TOKEN OS_PROJECT_ID OS_TENANT_ID OS_TENANT_NAME OS_USER_ID OS_USER_DOMAIN_ID OS_PROJECT_DOMAIN_ID OS_SYSTEM_SCOPE OS_CACERT\n")
	vars := []variable{
		{"OS_AUTH_TYPE", "password"}, {"OS_AUTH_URL", o.AuthURL}, {"OS_USERNAME", o.User}, {"OS_PASSWORD", o.Password},
		{"OS_PROJECT_NAME", o.Project}, {"OS_USER_DOMAIN_NAME", o.domain()}, {"OS_PROJECT_DOMAIN_NAME", o.domain()},
		{"OS_REGION_NAME", o.Region}, {"OS_INTERFACE", "public"}, {"OS_IDENTITY_API_VERSION", "3"},
	}
	if ca != "" {
		vars = append(vars, variable{"OS_CACERT", ca})
	}
	for _, v := range vars {
		fmt.Fprintf(&b, "export %s=%s\n", v.name, shellQuote(v.value))
	}
	return b.Bytes()
}

// endpointsJSON renders everything but what is secret.
func (o OpenStack) endpointsJSON(cloud string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(struct {
		Cloud     string     `json:"cloud"`
		AuthURL   string     `json:"auth_url"`
		Region    string     `json:"region"`
		Endpoints []Endpoint `json:"endpoints"`
	}{cloud, o.AuthURL, o.Region, append([]Endpoint{}, o.Endpoints...)})
	return b.Bytes(), err
}

func (o OpenStack) endpointsText() []byte {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "SERVICE\tTYPE\tURL")
	for _, e := range o.Endpoints {
		kind := e.Type
		if kind == "" {
			kind = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", e.Service, kind, e.URL)
	}
	_ = w.Flush() // a buffer takes it
	return b.Bytes()
}

// validate refuses what one of the formats cannot carry. The password is not
// quoted.
func (o OpenStack) validate() error {
	var errs []error
	want := func(ok bool, what, value string) {
		if !ok {
			errs = append(errs, fmt.Errorf("cannot hand over OpenStack with %s %q", what, value))
		}
	}
	want(webURL(o.AuthURL), "the authentication URL", o.AuthURL)
	want(line(o.Region) && !strings.ContainsAny(o.Region, "{}"), "the region", o.Region)
	want(line(o.Project), "the project", o.Project)
	want(line(o.User), "the user", o.User)
	want(line(o.domain()), "the domain", o.Domain)
	want(line(o.Password), "a password that is empty or not of printable characters", "…")
	want(o.CA == "" || certificates(o.CA), "an authority that is not", "certificates in PEM")
	for _, e := range o.Endpoints {
		want(label.MatchString(e.Service), "a service called", e.Service)
		want(e.Type == "" || label.MatchString(e.Type), "the service type", e.Type)
		want(webURL(e.URL), "the endpoint", e.URL)
	}
	return errors.Join(errs...)
}

// validatePath refuses a path that openstacksdk would expand: it formats values
// of clouds.yaml with str.format.
func (o OpenStack) validatePath(p string) error {
	if p != "" && (!strings.HasPrefix(p, "/") || !line(p) || strings.ContainsAny(p, "{}")) {
		return fmt.Errorf("cannot hand over OpenStack with its authority in %q", p)
	}
	return nil
}

// line reports whether a value is printable text of one line, which a quoted
// YAML scalar and a quoted shell word can carry.
func line(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar })
}

func webURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Host != "" && u.User == nil &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// certificates reports whether a text is certificates in PEM to the byte: a
// private key, or what is left of one, must not slip out with them.
func certificates(text string) bool {
	var again []byte
	for rest := []byte(text); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return string(again) == text
		}
		if block.Type != "CERTIFICATE" {
			return false
		}
		again = append(again, pem.EncodeToMemory(block)...)
	}
}
