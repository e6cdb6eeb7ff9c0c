package spec

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/updraft-cloud/updraft/internal/diag"
)

// body has a field of every type that can be decoded.
type body struct {
	Text    string            `json:"text" required:"true"`
	Mode    string            `json:"mode" default:"0644"`
	State   string            `json:"state" enum:"present,absent" default:"present"`
	On      bool              `json:"on" default:"true"`
	Count   int               `json:"count" default:"3" min:"1" max:"9"`
	Small   uint8             `json:"small"`
	Share   float64           `json:"share"`
	List    []string          `json:"list"`
	Map     map[string]int    `json:"map" keys:"label" min:"0" max:"9"`
	Inner   inner             `json:"inner"`
	Inners  []inner           `json:"inners"`
	Pointer *int              `json:"pointer"`
	Wait    Duration          `json:"wait" default:"5s"`
	Plain   time.Duration     `json:"plain"`
	Size    Size              `json:"size"`
	Addr    netip.Addr        `json:"addr"`
	Prefix  netip.Prefix      `json:"prefix"`
	Raw     json.RawMessage   `json:"raw"`
	Any     any               `json:"any"`
	Env     map[string]string `json:"env,omitempty"`
	Skipped int               `json:"-"`
}

type inner struct {
	Name string `json:"name" required:"true"`
	N    int    `json:"n" default:"7"`
}

// rawOf reads YAML into a Raw, with positions in a file x.yaml.
func rawOf(t *testing.T, text string) Raw {
	t.Helper()
	f := &faults{}
	n := parseYAML("x.yaml", []byte(text), f)
	if f.list.HasErrors() {
		t.Fatal(f.list.Error())
	}
	return newRaw(n)
}

func TestDecodeTakesEveryType(t *testing.T) {
	raw := rawOf(t, `text: 1.10
mode: "0755"
count: 0o7
small: 0xff
share: 1
list: [a, 1, "true"]
map: {a: 1}
inner: {name: x}
inners: [{name: y, n: 1}]
pointer: 4
plain: 2m
size: 1.5KiB
addr: 192.0.2.1
prefix: fd00::/64
raw: {b: 1, a: [x, null]}
any: {k: [1, true]}
env: {A: "1", B: b}
on:
`)
	var got body
	var faults diag.List
	raw.Decode(&got, "p", &faults)
	if len(faults) > 0 {
		t.Fatal(faults.Error())
	}
	four := 4
	want := body{
		Text: "1.10", Mode: "0755", State: "present", On: true, Count: 7, Small: 255, Share: 1,
		List: []string{"a", "1", "true"}, Map: map[string]int{"a": 1}, Inner: inner{"x", 7}, Inners: []inner{{"y", 1}},
		Pointer: &four, Wait: Duration(5 * time.Second), Plain: 2 * time.Minute, Size: 1536,
		Addr: netip.MustParseAddr("192.0.2.1"), Prefix: netip.MustParsePrefix("fd00::/64"),
		Raw: json.RawMessage(`{"b":1,"a":["x",null]}`), Any: map[string]any{"k": []any{1.0, true}},
		Env: map[string]string{"A": "1", "B": "b"},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecodeReportsEveryFaultWithItsPosition(t *testing.T) {
	raw := rawOf(t, `mode: 0755
state: presnt
on: yes
count: 12
small: 256
share: x
list: a
map: {a: b, c: 10, D: 1}
inner: {namme: x}
inners: [{}, 5]
pointer: 1.5
wait: 5
size: 5
addr: x
prefix: 10.0.0.0
skipped: 1
hidden: 1
`)
	var got body
	var faults diag.List
	raw.Decode(&got, "groups.web.resources.0.file", &faults)
	faults.Sort()
	want := `x.yaml:1:1: error: groups.web.resources.0.file.text is missing
x.yaml:1:7: error: P.mode: 0755 without quotes is read as different numbers by different readers of YAML (put it in quotes: "0755")
x.yaml:2:8: error: P.state: "presnt" is not one of present, absent (did you mean "present"?)
x.yaml:3:5: error: P.on: expected true or false, got "yes" (write true)
x.yaml:4:8: error: P.count: 12 is above 9, the most allowed
x.yaml:5:8: error: P.small: 256 is out of range
x.yaml:6:8: error: P.share: expected a number, got "x"
x.yaml:7:7: error: P.list: expected a list, got "a" (write [a])
x.yaml:8:10: error: P.map.a: expected a whole number, got "b"
x.yaml:8:16: error: P.map.c: 10 is above 9, the most allowed
x.yaml:8:20: error: P.map: "D" is not a name: up to 63 lower-case letters, digits and -, with a letter first and no - last (RFC 1123)
x.yaml:9:8: error: P.inner.name is missing
x.yaml:9:9: error: unknown key "namme" in P.inner (did you mean "name"?)
x.yaml:10:10: error: P.inners.0.name is missing
x.yaml:10:14: error: P.inners.1: expected a map, got 5
x.yaml:11:10: error: P.pointer: expected a whole number, got 1.5
x.yaml:12:7: error: P.wait: "5" is not a duration such as 500ms, 5s or 2m
x.yaml:13:7: error: P.size: "5" has no unit: write 5MiB or 5GiB
x.yaml:14:7: error: P.addr: expected an IP address such as 10.88.0.1, got "x"
x.yaml:15:9: error: P.prefix: expected a network such as 10.88.0.0/24, got "10.0.0.0"
x.yaml:16:1: error: unknown key "skipped" in P
x.yaml:17:1: error: unknown key "hidden" in P`
	want = strings.ReplaceAll(want, "P", "groups.web.resources.0.file")
	want = strings.ReplaceAll(want, "an Igroups.web.resources.0.file address", "an IP address")
	if diff := cmp.Diff(want, faults.Error()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestDecodeKeepsWhatWasThere(t *testing.T) {
	got := body{Text: "before", Mode: "0600", Count: 5, List: []string{"a"}}
	var faults diag.List
	rawOf(t, "text: after\n").Decode(&got, "p", &faults)
	if len(faults) > 0 || got.Text != "after" || got.Mode != "0600" || got.Count != 5 || len(got.List) != 1 {
		t.Errorf("%+v %v", got, faults)
	}
}

func TestDecodeOfNothingGivesDefaultsAndWhatIsMissing(t *testing.T) {
	for name, raw := range map[string]Raw{"zero": {}, "null": rawOf(t, "~\n"), "json null": {JSON: json.RawMessage("null")}} {
		var got body
		var faults diag.List
		raw.Decode(&got, "p", &faults)
		if len(faults) != 1 || faults[0].Summary != "p.text is missing" || got.Count != 3 {
			t.Errorf("%s: %v %+v", name, faults, got)
		}
	}
}

func TestDecodeOfJSONFindsPositions(t *testing.T) {
	at := diag.Pos{File: "y.yaml", Line: 3, Col: 4}
	raw := Raw{JSON: json.RawMessage(`{"text":"x","inner":{"name":"n","n":"seven"}}`), Where: map[string]diag.Pos{"inner.n": at}}
	var got body
	var faults diag.List
	raw.Decode(&got, "p", &faults)
	if len(faults) != 1 || faults[0].Pos != at || !strings.Contains(faults[0].Summary, "p.inner.n: expected a whole number") {
		t.Errorf("%v", faults)
	}
	faults = nil
	Raw{JSON: json.RawMessage(`{"text":`)}.Decode(&got, "p", &faults)
	if len(faults) != 1 {
		t.Errorf("half a value: %v", faults)
	}
}

func TestRawJSONIsWhatJSONReadersExpect(t *testing.T) {
	for in, want := range map[string]string{
		"{b: 1, a: 2}": `{"b":1,"a":2}`, "0x10": "16", "0o17": "15", "0755": `"0755"`, "1.50": "1.50", ".5": "0.5",
		"+3": "3", "1e3": "1e3", ".inf": `".inf"`, "yes": `"yes"`, "True": "true", "~": "null", `"a\nb"`: `"a\nb"`,
		"2001-01-01": `"2001-01-01"`, "1:30": `"1:30"`, "1_000": `"1_000"`, "123456789012345678901234567890": "123456789012345678901234567890",
	} {
		raw := rawOf(t, in+"\n")
		if string(raw.JSON) != want || !json.Valid(raw.JSON) {
			t.Errorf("%s: %s, want %s", in, raw.JSON, want)
		}
	}
}

func TestPositionsOfWhatIsInside(t *testing.T) {
	raw := rawOf(t, "users:\n  - name: ann\n    keys: [a, b]\n")
	for path, want := range map[string]string{
		"": "x.yaml:1:1", "users": "x.yaml:1:1", "users.0": "x.yaml:2:5", "users.0.name": "x.yaml:2:11",
		"users.0.keys.1": "x.yaml:3:15", "users.0.color": "x.yaml:2:5", "nothing.at.all": "x.yaml:1:1",
	} {
		if got := raw.PosOf(path).String(); got != want {
			t.Errorf("%q is at %s, want %s", path, got, want)
		}
	}
}

func TestClosest(t *testing.T) {
	names := []string{"count", "networks", "verify", "web1", "cpus"}
	for in, want := range map[string]string{
		"cuont": "count", "network": "networks", "vreify": "verify", "web2": "web1", "color": "", "x": "", "cpu": "cpus",
		"COUNT": "count", strings.Repeat("count", 100): "",
	} {
		if got := Closest(in, names); got != want {
			t.Errorf("Closest(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for in, want := range map[string]string{
		"256MiB": "256MiB", "1.5GiB": "1536MiB", "10GB": "9765625KiB", "1024KiB": "1MiB", "0B": "0B", "5 GiB": "5GiB",
	} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err != nil || s.String() != want {
			t.Errorf("%s: %s %v, want %s", in, s, err, want)
		}
	}
	for _, in := range []string{"", "5", "-1MiB", "MiB", "1e30GiB", "NaNMiB", "5M", "five"} {
		var s Size
		if err := s.UnmarshalText([]byte(in)); err == nil {
			t.Errorf("%q was taken as %s", in, s)
		}
	}
}
