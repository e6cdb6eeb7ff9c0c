package auth

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Policy answers whether an identity may do something. It is immutable.
type Policy struct {
	checks map[string]check
}

// question is one call of [Policy.Allows].
type question struct {
	who     *Identity
	project string // of the object; empty when there is none
}

type check func(*question) bool

// NewPolicy compiles the default rules, with those of the overrides in their
// place, later ones last. A rule that cannot be read, that names another which
// does not exist, or that leads back to itself is an error: a policy that is
// half understood protects nothing.
func NewPolicy(overrides ...map[string]string) (*Policy, error) {
	rules := defaultRules()
	for _, o := range overrides {
		maps.Copy(rules, o)
	}
	c := compiler{rules: rules, done: map[string]check{}, open: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(rules)) {
		if _, err := c.rule(name); err != nil {
			return nil, err
		}
	}
	return &Policy{checks: c.done}, nil
}

// Allows reports whether who may do action (for example
// "os_load-balancer_api:pool:post") to an object of project. An action without a
// rule is allowed to nobody.
func (p *Policy) Allows(action string, who *Identity, project string) bool {
	c, ok := p.checks[action]
	return ok && c(&question{who: who, project: project})
}

// IsAdmin evaluates the rule context_is_admin.
func (p *Policy) IsAdmin(who *Identity) bool { return p.Allows("context_is_admin", who, "") }

// ReadPolicyFile reads rules from a policy file of oslo.policy: a mapping from
// names to expressions, as YAML or JSON.
func ReadPolicyFile(path string) (map[string]string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read policy: %w", err)
	}
	rules := map[string]string{}
	if err := yaml.Unmarshal(data, &rules); err != nil {
		return nil, fmt.Errorf("cannot read policy %s: %w", path, err)
	}
	return rules, nil
}

// compiler turns expressions into functions. Rules may name rules.
type compiler struct {
	rules map[string]string
	done  map[string]check
	open  map[string]bool // being compiled: met again means a circle
}

func (c *compiler) rule(name string) (check, error) {
	if f, ok := c.done[name]; ok {
		return f, nil
	}
	text, ok := c.rules[name]
	switch {
	case !ok:
		return nil, fmt.Errorf("cannot use policy: there is no rule %q", name)
	case c.open[name]:
		return nil, fmt.Errorf("cannot use policy: rule %q leads back to itself", name)
	}
	c.open[name] = true
	p := expression{compiler: c, tokens: tokens(text)}
	f, err := p.all()
	if err != nil {
		return nil, fmt.Errorf("cannot read policy rule %q (%s): %w", name, text, err)
	}
	c.done[name] = f
	return f, nil
}

// tokens splits an expression: parentheses may touch the words beside them, and
// belong to a word when they are opened within it, as in "%(project_id)s".
func tokens(text string) []string {
	var out []string
	for _, word := range strings.Fields(text) {
		for strings.HasPrefix(word, "(") {
			out, word = append(out, "("), word[1:]
		}
		closing := 0
		for strings.HasSuffix(word, ")") && strings.Count(word, ")") > strings.Count(word, "(") {
			closing, word = closing+1, word[:len(word)-1]
		}
		if word != "" {
			out = append(out, word)
		}
		for range closing {
			out = append(out, ")")
		}
	}
	return out
}
