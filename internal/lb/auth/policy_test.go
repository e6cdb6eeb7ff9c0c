package auth

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestExpressions(t *testing.T) {
	for _, c := range []struct {
		rule string
		who  Identity
		want bool
	}{
		{"", Identity{}, true},
		{"@", Identity{}, true},
		{"!", Identity{}, false},
		{"role:a", Identity{Roles: []string{"A"}}, true},
		{"role:a and role:b", Identity{Roles: []string{"a"}}, false},
		{"role:a or role:b", Identity{Roles: []string{"b"}}, true},
		{"not role:a", Identity{Roles: []string{"b"}}, true},
		{"role:a and (role:b or role:c)", Identity{Roles: []string{"a", "c"}}, true},
		{"role:x or role:a and role:b", Identity{Roles: []string{"a"}}, false},
		{"(role:x or role:a) and project_id:%(project_id)s", Identity{ProjectID: "p", Roles: []string{"a"}}, true},
		{"project_id:%(project_id)s", Identity{ProjectID: "q"}, false},
		{"tenant_id:%(tenant_id)s", Identity{ProjectID: "p"}, true},
		{"user_id:u", Identity{UserID: "u"}, true},
		{"system_scope:all", Identity{System: "all"}, true},
		{"is_admin:True", Identity{Admin: true}, true},
		{"is_admin:False", Identity{Admin: true}, false},
		{"rule:context_is_admin", Identity{Roles: []string{"admin"}}, true},
	} {
		p, err := NewPolicy(map[string]string{"x": c.rule})
		if err != nil {
			t.Fatal(err)
		}
		if got := p.Allows("x", &c.who, "p"); got != c.want {
			t.Errorf("%q for %+v: %v", c.rule, c.who, got)
		}
	}
}

func TestRulesThatCannotBeUnderstood(t *testing.T) {
	for rule, want := range map[string]string{
		"role:a and": "ends too early", "(role:a": "not closed", "role:a)": "unexpected", "rule:nope": "no rule", "rule:x": "leads back",
		"word": "no check", "colour:red": "cannot be checked", "project_id:%(colour)s": "have no", "role:a role:b": "unexpected",
	} {
		if _, err := NewPolicy(map[string]string{"x": rule}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", rule, err)
		}
	}
}

func TestNobodyMayDoWhatHasNoRule(t *testing.T) {
	p, err := NewPolicy()
	if err != nil {
		t.Fatal(err)
	}
	if p.Allows("os_load-balancer_api:nope:post", &Identity{Admin: true, Roles: []string{"admin"}}, "") {
		t.Error("allowed")
	}
	// Nobody's project is not the project of what belongs to nobody.
	if p.Allows(Prefix+"loadbalancer:get_one", &Identity{Roles: []string{"reader"}}, "") {
		t.Error("a reader without a project reads what has none")
	}
}

func TestPolicyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "policy.yaml")
	text := "# of a deployment\n\"load-balancer:write\": \"role:operator and\n    rule:load-balancer:owner\"\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	rules, err := ReadPolicyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPolicy(rules)
	if err != nil {
		t.Fatal(err)
	}
	if !p.Allows(Prefix+"pool:post", &Identity{ProjectID: "p", Roles: []string{"operator"}}, "p") || p.Allows(Prefix+"pool:post", &Identity{ProjectID: "p", Roles: []string{"member"}}, "p") {
		t.Error("the file does not decide")
	}
	if _, err := NewPolicy(AdminOrOwner()); err != nil {
		t.Error(err)
	}
}
