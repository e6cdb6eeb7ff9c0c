package api

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// TestTheOpenAPIDocument keeps the document where it can be read, and so shows
// what a change does to the API.
func TestTheOpenAPIDocument(t *testing.T) {
	r := newRig(t)
	var got bytes.Buffer
	if err := json.Indent(&got, r.s.OpenAPI(), "", " "); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/openapi.json"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the document is not that of %s (%v); -update writes it", golden, err)
	}
	if a := r.do("GET", "//openapi.json", nil); a.status != 200 || a.doc["openapi"] != "3.0.3" {
		t.Errorf("%d", a.status)
	}
}

// TestEveryRouteIsDescribed compares the document with the table.
func TestEveryRouteIsDescribed(t *testing.T) {
	r := newRig(t)
	answers := r.s.answers()
	for _, rt := range r.s.routes() {
		if s, ok := answers[rt.answer]; rt.answer != "" && !ok {
			t.Errorf("%s %s answers with %q, which nothing describes: %v", rt.method, rt.path, rt.answer, s)
		}
		if (rt.fields != nil) != (rt.wrapper != "") {
			t.Errorf("%s %s has a wrapper without fields", rt.method, rt.path)
		}
		if !r.s.policy.Allows(rt.action, &anAdmin, "") {
			t.Errorf("%s %s: not even an administrator may do %s: is there a rule?", rt.method, rt.path, rt.action)
		}
	}
}
