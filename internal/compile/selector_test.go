package compile_test

import (
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/spec"
)

const selectable = `version: 1
cloud: demo
provider: lab
networks: {mgmt: {cidr: 10.88.0.0/24}}
groups:
  ctl: {count: 2, nics: [mgmt], roles: [controller, web]}
  cmp: {count: 1, nics: [mgmt], roles: [web]}
`

func TestSelect(t *testing.T) {
	c, faults := spec.Parse("cloud.yaml", []byte(selectable), spec.Options{})
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}
	var nodes []*engine.Node
	var scopes []engine.Scope
	for _, h := range []string{"ctl1", "ctl2", "cmp1"} {
		scopes = append(scopes, engine.Scope{Name: h, Gate: "machine:" + h})
		nodes = append(nodes, &engine.Node{ID: "machine:" + h, Kind: "machine", Body: enginetest.Value("1")})
		for _, kind := range []string{"file", "unit"} {
			nodes = append(nodes, &engine.Node{ID: h + "/" + kind + ":/a=b", Kind: kind, Scope: h, Body: enginetest.Value("1")})
		}
	}
	g, err := engine.NewGraph(nodes, scopes)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule, only, want string
	}{
		{"a host is all on it and its machine", "host=ctl1", "machine:ctl1 ctl1/file:/a=b ctl1/unit:/a=b"},
		{"a group is its hosts", "group=cmp", "machine:cmp1 cmp1/file:/a=b cmp1/unit:/a=b"},
		{"a kind is of all hosts", "kind=machine", "machine:ctl1 machine:ctl2 machine:cmp1"},
		{"terms joined by a comma all hold", "role=controller,kind=file", "ctl1/file:/a=b ctl2/file:/a=b"},
		{"several selectors are a union", "host=cmp1,kind=unit ctl2/file:/a=b", "ctl2/file:/a=b cmp1/unit:/a=b"},
		{"a word is a host, a group or a role", "cmp", "machine:cmp1 cmp1/file:/a=b cmp1/unit:/a=b"},
		{"a resource may have an equals sign in its name", "ctl1/file:/a=b", "ctl1/file:/a=b"},
		{"a role that is not there names those that are", "role=db", `error: --only role=db: there is no role "db"; there are controller, web`},
		{"so does a kind", "kind=files", `error: --only kind=files: nothing is of kind "files"; there are file, machine, unit`},
		{"an unknown key is explained", "colour=red", "error: --only colour=red: \"colour\" is nothing to select by; write host=NAME"},
		{"a word that is nothing", "nobody", "error: --only nobody: there is no such host, group, role or resource"},
		{"a choice that is empty", "host=cmp1,host=ctl1", "error: --only host=cmp1,host=ctl1: there is nothing"},
	} {
		t.Run(tc.rule, func(t *testing.T) {
			match, err := compile.Select(c, g, strings.Fields(tc.only))
			if err != nil {
				if want, ok := strings.CutPrefix(tc.want, "error: "); !ok || !strings.HasPrefix(err.Error(), want) {
					t.Errorf("got %v, want %s", err, tc.want)
				}
				return
			}
			var got []string
			for _, n := range nodes {
				if match(n) {
					got = append(got, n.ID)
				}
			}
			if text := strings.Join(got, " "); text != tc.want {
				t.Errorf("%s: got %s, want %s", tc.only, text, tc.want)
			}
		})
	}
}
