package web

import (
	"testing"

	"github.com/updraft-cloud/updraft/internal/configset/basebox"
	"github.com/updraft-cloud/updraft/internal/configset/configsettest"
)

func TestGolden(t *testing.T) { configsettest.Golden(t, Set(), basebox.Set()) }

func TestFaults(t *testing.T) {
	const cloud = `
version: 1
cloud: shop
networks:
  front: {cidr: 10.88.0.0/24}
groups:
  web: {count: 1, configsets: {web: %s}}
`
	configsettest.Faults(t, Set(), cloud, []configsettest.Fault{
		{Rule: "a placeholder stands for something", Params: `{page: "{{hots}}"}`, Want: `page: {{hots}} stands for nothing`},
		{Rule: "a header has a name", Params: `{header: "X Served"}`, Want: `header: "X Served" is not the name of a header field`},
		{Rule: "a header cannot end the directive", Params: `{header: "X; root"}`, Want: `header: "X; root" is not the name`},
		{Rule: "a content type is a media type", Params: `{content_type: "text"}`, Want: `content_type: "text" is not a media type`},
		{Rule: "a content type has no parameters", Params: `{content_type: "text/html; charset=x"}`, Want: `is not a media type`},
		{Rule: "all faults at once", Params: `{header: "ü", page: "{{x}}"}`, Want: `{{x}} stands for nothing`},
		{Rule: "a port is a port", Params: `{port: 70000}`, Want: `70000 is above 65535`},
	})
}

func TestAPageMayHoldBraces(t *testing.T) {
	for in, want := range map[string]string{
		"a {{host}} b":    "a web1 b",
		"{ {{ host }} }}": "{ web1 }}",
		"no {{ end":       "no {{ end",
		"}} first":        "}} first",
		"":                "",
	} {
		if got, unknown := expand(in, map[string]string{"host": "web1"}); got != want || unknown != "" {
			t.Errorf("%q: got %q, %q", in, got, unknown)
		}
	}
}
