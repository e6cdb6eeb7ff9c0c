package configsettest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/configset"
	"github.com/updraft-cloud/updraft/internal/spec"
)

// Fault is a case of parameters that a set refuses.
type Fault struct {
	Rule   string // what must hold
	Params string // of the set, as YAML flow text
	Want   string // part of a diagnostic
}

// Faults builds the set with each case's parameters put into the cloud file at
// %s, on the first host that uses it. Each must be refused with the wanted text,
// at a position in the file, and give no items.
func Faults(t *testing.T, set configset.Set, cloud string, cases []Fault) {
	t.Helper()
	for _, tt := range cases {
		t.Run(tt.Rule, func(t *testing.T) {
			c := Cloud(t, fmt.Sprintf(cloud, tt.Params))
			items, faults := Build(t, set, c, firstUser(t, c, set.Name))
			if len(items) != 0 {
				t.Errorf("%d items in spite of the fault", len(items))
			}
			var texts []string
			for _, d := range faults {
				texts = append(texts, d.String())
				if d.Pos.Line == 0 || d.Path == "" {
					t.Errorf("no position: %+v", d)
				}
			}
			if all := strings.Join(texts, "\n"); !strings.Contains(all, tt.Want) {
				t.Errorf("got\n%s\nwant %q in it", all, tt.Want)
			}
		})
	}
}

func firstUser(t *testing.T, c *spec.Cloud, set string) *spec.Host {
	t.Helper()
	for _, h := range c.Hosts {
		for _, u := range h.Sets {
			if u.Set == set {
				return h
			}
		}
	}
	t.Fatalf("no host uses %s", set)
	return nil
}
