package nftables_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
	"github.com/updraft-cloud/updraft/internal/resource/nftables"
)

func TestARulesetThatIsRejectedChangesNothing(t *testing.T) {
	h := fakehost.New()
	r := &nftables.Resource{Name: "x", Content: "chain input {\n}\n"}
	if err := r.Apply(t.Context(), h, drift.Missing(), resource.Cause{}); err != nil {
		t.Fatal(err)
	}
	before := h.String()
	bad := &nftables.Resource{Name: "x", Content: "chain input {\n\tbogus\n}\n"}
	err := bad.Apply(t.Context(), h, drift.Missing(), resource.Cause{})
	if err == nil || !strings.Contains(err.Error(), "cannot load nftables ruleset x") || !strings.Contains(err.Error(), "syntax error") {
		t.Errorf("error is %v", err)
	}
	if diff := cmp.Diff(before, h.String()); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutNftThereIsNoTable(t *testing.T) {
	h := fakehost.New()
	h.Uninstall("nft")
	rep, err := (&nftables.Resource{Name: "x", Content: "chain a {\n}\n"}).Observe(t.Context(), h)
	if err != nil || rep.Status != drift.Absent {
		t.Errorf("report is %+v, %v", rep, err)
	}
}

func TestTheContentStaysInItsTable(t *testing.T) {
	for content, ok := range map[string]bool{
		"chain a {\n}\n": true,
		"chain a {\n\ttcp dport 1 accept comment \"}\" # }\n}\n": true,
		"set s { type ipv4_addr; elements = { 10.0.0.1 } }\n":    true,
		"}\ntable inet other {\n":                                false,
		"chain a {\n":                                            false,
		"include \"/etc/shadow\"\n":                              false,
		"flush ruleset\n":                                        false,
		" \n":                                                    false,
	} {
		err := (&nftables.Resource{Name: "x", Content: content}).Validate()
		var f *resource.FieldError
		if ok != (err == nil) || !ok && (!errors.As(err, &f) || f.Field != "content") {
			t.Errorf("%q: %v", content, err)
		}
	}
	for _, name := range []string{"", "a b", "a-b", "a;b", strings.Repeat("a", 300)} {
		if err := (&nftables.Resource{Name: name, Content: "chain a {\n}\n"}).Validate(); err == nil {
			t.Errorf("name %q is let through", name)
		}
	}
}
