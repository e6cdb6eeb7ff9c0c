package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
)

func securityGroups() collection {
	return collection{service: "network", path: "security-groups", plural: "security_groups", single: "security_group", method: http.MethodPut}
}

// SecurityGroup is a set of rules for what may reach servers.
type SecurityGroup struct {
	Name        string `json:"name" required:"true" doc:"Name of the security group. The group default is there in every project."`
	Project     string `json:"project,omitempty" doc:"Project that it belongs to; admin's when not given."`
	Description string `json:"description,omitempty" doc:"What it is for; left alone when not given."`
	Rules       []Rule `json:"rules,omitempty" doc:"What is let through. Given, there are no others but, if none of them is for egress, those that let everything out; left alone when not given."`
}

// Rule lets something through.
type Rule struct {
	Direction string `json:"direction,omitempty" default:"ingress" enum:"ingress,egress" doc:"Whether it is about what comes in or what goes out."`
	Family    string `json:"family,omitempty" default:"ipv4" enum:"ipv4,ipv6" doc:"IP version; that of remote when that is given."`
	Protocol  string `json:"protocol,omitempty" doc:"Protocol: tcp, udp, icmp, ipv6-icmp, or a number; any when not given."`
	Ports     string `json:"ports,omitempty" doc:"One port or a range such as 8000-8080, for tcp and udp; any when not given."`
	Remote    string `json:"remote,omitempty" doc:"Range of addresses on the other side; any when not given."`
	Group     string `json:"remote_group,omitempty" doc:"Security group of the other side, in place of addresses."`
}

func securityGroupKind() Kind {
	return Kind{
		"security_group", "A security group of Neutron, with its rules.",
		"name: web\nproject: demo\nrules:\n- {protocol: tcp, ports: 80}\n- {protocol: icmp}\n", func() Resource { return &SecurityGroup{} },
	}
}

// Kind returns "security_group".
func (*SecurityGroup) Kind() string { return "security_group" }

// Key returns project and name.
func (g *SecurityGroup) Key() string { return inProject(g.Project, g.Name) }

// Services returns "network".
func (*SecurityGroup) Services() []string { return []string{"network"} }

// Needs returns the project and the groups that rules name.
func (g *SecurityGroup) Needs() []string {
	needs := projectNeed(g.Project)
	for _, r := range g.Rules {
		if r.Group != "" && r.Group != g.Name {
			needs = append(needs, "security_group:"+inProject(g.Project, r.Group))
		}
	}
	return needs
}

// Validate checks the declaration.
func (g *SecurityGroup) Validate() error {
	errs := []error{validName("name", g.Name), validOptional("project", g.Project)}
	for i, r := range g.Rules {
		errs = append(errs, r.validate(fmt.Sprintf("rules[%d]", i)))
	}
	return errors.Join(errs...)
}

func (r Rule) validate(at string) error {
	errs := []error{
		validOneOf(at+".direction", r.Direction, "ingress", "egress"), validOneOf(at+".family", r.Family, "ipv4", "ipv6"),
	}
	if n, err := strconv.Atoi(r.Protocol); err == nil && (n < 0 || n > 255) || err != nil && r.Protocol != "" && !slices.Contains(protocols(), r.Protocol) {
		errs = append(errs, resource.Fieldf(at+".protocol", "use one of "+strings.Join(protocols(), ", ")+", or a number up to 255", "%q is no protocol", r.Protocol))
	}
	if first, last, err := r.ports(); err != nil || last < first {
		errs = append(errs, resource.Fieldf(at+".ports", "use a port or FIRST-LAST", "%q is neither", r.Ports))
	} else if r.Ports != "" && r.Protocol != "tcp" && r.Protocol != "udp" && r.Protocol != "sctp" {
		errs = append(errs, resource.Fieldf(at+".ports", "give protocol tcp or udp, too", "protocol %q has no ports", r.Protocol))
	}
	if r.Remote != "" {
		prefix, err := netip.ParsePrefix(r.Remote)
		if err != nil || prefix.Masked() != prefix || r.Family != "" && r.Family != familyOf(prefix) {
			errs = append(errs, resource.Fieldf(at+".remote", "give a range such as 10.0.0.0/24 of the rule's family", "%q is none", r.Remote))
		}
		if r.Group != "" {
			errs = append(errs, resource.Fieldf(at+".remote_group", "give one of them", "remote is given, too"))
		}
	}
	return errors.Join(errs...)
}

func protocols() []string {
	return []string{"tcp", "udp", "icmp", "ipv6-icmp", "sctp", "ah", "esp", "gre", "vrrp"}
}

func familyOf(p netip.Prefix) string {
	if p.Addr().Is6() {
		return "ipv6"
	}
	return "ipv4"
}

func (r Rule) ports() (first, last int, err error) {
	if r.Ports == "" {
		return 0, 0, nil
	}
	from, to, ok := strings.Cut(r.Ports, "-")
	if !ok {
		to = from
	}
	a, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		return 0, 0, err
	}
	b, err := strconv.ParseUint(to, 10, 16)
	return int(a), int(b), err
}

// object is the rule as it is sent.
func (r Rule) object(remoteGroup string) object {
	family := cmp.Or(r.Family, "ipv4")
	if prefix, err := netip.ParsePrefix(r.Remote); err == nil {
		family = familyOf(prefix)
	}
	o := object{"direction": cmp.Or(r.Direction, "ingress"), "ethertype": map[string]string{"ipv4": "IPv4", "ipv6": "IPv6"}[family]}
	if r.Protocol != "" {
		o["protocol"] = r.Protocol
	}
	if first, last, err := r.ports(); err == nil && r.Ports != "" {
		o["port_range_min"], o["port_range_max"] = first, last
	}
	if r.Remote != "" {
		o["remote_ip_prefix"] = r.Remote
	}
	if remoteGroup != "" {
		o["remote_group_id"] = remoteGroup
	}
	return o
}

// ruleText renders a rule, as it is listed or as it is sent, in one way.
func ruleText(o object) string {
	s := strings.ToLower(o.text("direction") + " " + o.text("ethertype"))
	s += " " + cmp.Or(o.text("protocol"), "any")
	if ports := o.text("port_range_min"); ports != "" {
		if last := o.text("port_range_max"); last != ports {
			ports += "-" + last
		}
		s += " " + ports
	}
	if remote := cmp.Or(o.text("remote_ip_prefix"), o.text("remote_group_id")); remote != "" {
		s += " " + remote
	}
	return s
}

func (g *SecurityGroup) identity() Resource {
	return &SecurityGroup{Name: g.Name, Project: g.Project}
}

func (g *SecurityGroup) thing(ctx context.Context, v *view) (*thing, error) {
	project, err := v.project(ctx, g.Project)
	if err != nil {
		return nil, err
	}
	t := &thing{coll: securityGroups(), name: g.Key(), match: object{"name": g.Name, "project_id": project}}
	t.optional("description", g.Description)
	if g.Name == "default" {
		t.make = func(ctx context.Context, _ object) (object, error) { return t.evoke(ctx, v, project) }
	}
	if g.Rules == nil {
		return t, nil
	}
	t.also = func(ctx context.Context, got object, b *drift.Builder) (object, error) {
		have, want, err := g.compare(ctx, v, project, got)
		b.Want("rules", texts(have), texts(want))
		return nil, err
	}
	t.settle = func(ctx context.Context, got object) error { return g.settle(ctx, v, project, got) }
	return t, nil
}

// evoke has Neutron make a project's default group, which it does when the
// project's groups are asked for.
func (t *thing) evoke(ctx context.Context, v *view, project string) (object, error) {
	var doc object
	r := request{service: "network", path: "security-groups?project_id=" + url.QueryEscape(project), out: &doc, doing: "make " + t.String()}
	if err := v.c.call(ctx, r); err != nil {
		return nil, err
	}
	v.forget(t.coll)
	got, err := t.find(ctx, v)
	if err == nil && got == nil {
		err = fmt.Errorf("cannot make %s: Neutron did not", t)
	}
	if err != nil {
		return nil, err
	}
	return t.bring(ctx, v, got)
}

// compare returns the rules there are and those that are wanted, by their text.
func (g *SecurityGroup) compare(ctx context.Context, v *view, project string, got object) (have, want map[string]object, err error) {
	have, want = map[string]object{}, map[string]object{}
	list, _ := got["security_group_rules"].([]any)
	for _, x := range list {
		if o, ok := x.(map[string]any); ok {
			have[ruleText(o)] = o
		}
	}
	egress := false
	for _, r := range g.Rules {
		remote := ""
		if r.Group == g.Name {
			remote = got.text("id")
		} else if r.Group != "" {
			if remote, err = v.within(ctx, securityGroups(), r.Group, project); err != nil {
				return nil, nil, err
			}
		}
		o := r.object(remote)
		want[ruleText(o)] = o
		egress = egress || r.Direction == "egress"
	}
	for _, family := range []string{"ipv4", "ipv6"} {
		if o := (Rule{Direction: "egress", Family: family}).object(""); !egress {
			want[ruleText(o)] = o
		}
	}
	return have, want, nil
}

func texts(rules map[string]object) string {
	var out []string
	for t := range rules {
		out = append(out, t)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// settle makes the rules agree: first those that are missing, so that nothing
// that is to be let through is cut off in between.
func (g *SecurityGroup) settle(ctx context.Context, v *view, project string, got object) error {
	have, want, err := g.compare(ctx, v, project, got)
	if err != nil || texts(have) == texts(want) {
		return err
	}
	defer v.forget(securityGroups())
	for _, text := range slices.Sorted(maps.Keys(want)) {
		if have[text] != nil {
			continue
		}
		o := want[text]
		r := request{
			service: "network", method: http.MethodPost, path: "security-group-rules",
			body:  map[string]any{"security_group_rule": o.with(object{"security_group_id": got.text("id")})},
			doing: "add rule " + text + " to security group " + g.Key(),
		}
		if err := v.write(ctx, r); err != nil {
			return err
		}
	}
	for _, text := range slices.Sorted(maps.Keys(have)) {
		if want[text] != nil {
			continue
		}
		o := have[text]
		r := request{
			service: "network", method: http.MethodDelete, path: "security-group-rules/" + o.text("id"),
			doing: "remove rule " + text + " from security group " + g.Key(),
		}
		if err := v.write(ctx, r); err != nil && statusOf(err) != http.StatusNotFound {
			return err
		}
	}
	return nil
}
