package model

import (
	"encoding/json"
	"reflect"
	"regexp"
	"testing"
)

func TestIDsAreUUIDsAndDiffer(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	a, b := NewID(), NewID()
	if !form.MatchString(a) || !form.MatchString(b) || a == b {
		t.Errorf("identifiers %s and %s", a, b)
	}
}

func TestKindsHaveNamesAndTitles(t *testing.T) {
	for k := KindLoadBalancer; k < kindEnd; k++ {
		if k.String() == "" || k.Title() == "" || KindOf(k.String()) != k {
			t.Errorf("kind %d: name %q, title %q, read back as %v", k, k, k.Title(), KindOf(k.String()))
		}
	}
}

func TestWhatIsStoredIsReadBack(t *testing.T) {
	age, timeout := 0, 5
	objects := []any{
		&LoadBalancer{Base: Base{ID: NewID(), CreatedAt: Now(), Tags: []string{"a"}}, VIP: VIP{Address: "192.0.2.1"}, Failover: &Failover{AmphoraID: "a"}},
		&Listener{Base: Base{ID: NewID()}, ConnectionLimit: -1, HSTSMaxAge: &age, InsertHeaders: map[string]string{"X-Forwarded-For": "true"}},
		&Pool{Base: Base{ID: NewID(), UpdatedAt: Now()}, SessionPersistence: &SessionPersistence{Type: PersistSourceIP, Timeout: &timeout}},
		&Member{Base: Base{ID: NewID()}, Weight: 0, MonitorPort: 80},
		&Quota{ProjectID: "p", Limits: Limits{Pool: &age}, Used: Used{Member: 3}},
	}
	for _, o := range objects {
		data, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		back := reflect.New(reflect.TypeOf(o).Elem()).Interface()
		if err := json.Unmarshal(data, back); err != nil || !reflect.DeepEqual(o, back) {
			t.Errorf("%s was read back as %+v (%v)", data, back, err)
		}
	}
}

func TestACloneSharesNothing(t *testing.T) {
	age := 5
	l := &Listener{Base: Base{Tags: []string{"a"}}, HSTSMaxAge: &age, InsertHeaders: map[string]string{"a": "b"}}
	c := l.Clone()
	c.Tags[0], *c.HSTSMaxAge, c.InsertHeaders["a"] = "x", 6, "x"
	if l.Tags[0] != "a" || *l.HSTSMaxAge != 5 || l.InsertHeaders["a"] != "b" {
		t.Errorf("a change of the clone reached the original: %+v", l)
	}
}

func TestLimitsFallBackToTheDefaults(t *testing.T) {
	three, none := 3, Unlimited
	defaults := Limits{Pool: &three}
	for _, c := range []struct {
		name   string
		limits Limits
		kind   Kind
		want   int
	}{
		{"own", Limits{Pool: &none}, KindPool, Unlimited},
		{"default", Limits{}, KindPool, 3},
		{"neither", Limits{}, KindMember, Unlimited},
		{"not counted", Limits{}, KindAmphora, Unlimited},
	} {
		if got := c.limits.Get(c.kind, defaults); got != c.want {
			t.Errorf("%s: %d instead of %d", c.name, got, c.want)
		}
	}
}
