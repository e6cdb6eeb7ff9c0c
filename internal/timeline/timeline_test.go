package timeline

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var zero = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(ms int) time.Time { return zero.Add(time.Duration(ms) * time.Millisecond) }

func step(id, phase, scope string, from, to int, needs ...string) Step {
	return Step{ID: id, Phase: phase, Scope: scope, Start: at(from), End: at(to), Needs: needs}
}

func small() []Step {
	return []Step{
		step("network:data", "provision", "", 0, 20),
		step("machine:web1", "provision", "", 20, 900, "network:data"),
		step("machine:web2", "provision", "", 25, 700, "network:data"),
		step("web1/package:nginx", "install", "web1", 950, 4000, "machine:web1"),
		step("web2/package:nginx", "install", "web2", 700, 3100, "machine:web2"),
		step("web1/file:/etc/nginx/nginx.conf", "configure", "web1", 960, 990, "machine:web1"),
		{ID: "web1/unit:nginx.service", Phase: "start", Scope: "web1", Start: at(4000), End: at(4200), Status: "failed",
			Needs: []string{"web1/package:nginx", "web1/file:/etc/nginx/nginx.conf", "machine:nobody"}},
	}
}

// many imitates a run of 20 hosts with 25 steps each.
func many() []Step {
	rng := rand.New(rand.NewPCG(3, 4))
	phases := []string{"prepare", "install", "install", "configure", "configure", "start"}
	var out []Step
	for h := range 20 {
		scope := fmt.Sprintf("web%02d", h+1)
		gate := step("machine:"+scope, "provision", "", rng.IntN(50), 800+rng.IntN(400))
		out = append(out, gate)
		now := 1250
		prev := gate.ID
		for i := range 24 {
			d := 5 + rng.IntN(40)
			if i%6 == 1 {
				d = 400 + rng.IntN(900)
			}
			s := step(fmt.Sprintf("%s/file:/etc/conf.d/%d", scope, i), phases[i/4], scope, now, now+d, prev)
			out = append(out, s)
			if i%3 == 0 {
				now, prev = now+d, s.ID
			}
		}
	}
	return out
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; got:\n%s", path, got)
	}
}

func TestCriticalPathFollowsTheLastNeed(t *testing.T) {
	var got []string
	for _, l := range New(small()).Critical {
		got = append(got, fmt.Sprintf("%s wait %s", l.ID, Short(l.Wait)))
	}
	want := []string{"network:data wait 0", "machine:web1 wait 0", "web1/package:nginx wait 50ms", "web1/unit:nginx.service wait 0"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
}

func TestCriticalPathEndsInACycle(t *testing.T) {
	tl := New([]Step{step("a", "", "", 0, 10, "b"), step("b", "", "", 0, 20, "a", "b")})
	if len(tl.Critical) != 2 {
		t.Errorf("path %v", tl.Critical)
	}
}

func TestStepsThatDidNotEndLastAsLongAsTheRun(t *testing.T) {
	tl := New([]Step{step("a", "", "", 0, 100), {ID: "b", Start: at(50)}, {ID: "never"}})
	if len(tl.Steps) != 2 || tl.Steps[1].Duration() != 50*time.Millisecond {
		t.Errorf("steps %v", tl.Steps)
	}
}

func TestTotalsTellWorkFromWallTime(t *testing.T) {
	got := New(small()).Phases()
	want := []Total{
		{"provision", 3, 1575 * time.Millisecond, 900 * time.Millisecond},
		{"install", 2, 5450 * time.Millisecond, 3300 * time.Millisecond},
		{"configure", 1, 30 * time.Millisecond, 30 * time.Millisecond},
		{"start", 1, 200 * time.Millisecond, 200 * time.Millisecond},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestOutputsAgreeWithTheGoldenFiles(t *testing.T) {
	steps := small()
	slices.Reverse(steps) // the order of the input is of no account
	tl := New(steps)
	for name, write := range map[string]func(io.Writer) error{
		"small.txt":  tl.Text,
		"small.svg":  tl.SVG,
		"small.html": func(w io.Writer) error { return tl.HTML(w, "Run of web") },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func TestEmptyRun(t *testing.T) {
	tl := New(nil)
	var b bytes.Buffer
	for _, write := range []func(io.Writer) error{tl.Text, tl.SVG, func(w io.Writer) error { return tl.HTML(w, "x") }} {
		if err := write(&b); err != nil {
			t.Error(err)
		}
	}
	if !strings.HasPrefix(b.String(), "Nothing was done.\n") {
		t.Errorf("got %s", b.String())
	}
}

// TestAnyTextIsSafe puts mark-up and control characters everywhere.
func TestAnyTextIsSafe(t *testing.T) {
	bad := "\x1b[31m<script>alert(1)</script>&\"'\xff"
	tl := New([]Step{{ID: bad, Phase: bad, Scope: bad, Status: bad, Start: at(0), End: at(1000)}})
	var svg, page, text bytes.Buffer
	for _, err := range []error{tl.SVG(&svg), tl.HTML(&page, bad), tl.Text(&text)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	wellFormed(t, svg.Bytes())
	for _, b := range [][]byte{svg.Bytes(), page.Bytes()} {
		if bytes.Contains(b, []byte("<script>")) {
			t.Errorf("mark-up got through: %s", b)
		}
	}
	if bytes.Contains(text.Bytes(), []byte("\x1b")) {
		t.Errorf("an escape sequence got through: %q", text.String())
	}
}

func wellFormed(t *testing.T, doc []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(doc))
	for {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

func TestManyStepsStayReadable(t *testing.T) {
	tl := New(many())
	lanes, collapsed := tl.lanes()
	if len(tl.Steps) != 500 || len(lanes) != 21 {
		t.Fatalf("%d steps in %d lanes", len(tl.Steps), len(lanes))
	}
	rows := 0
	for _, l := range lanes {
		rows += l.rows
	}
	if rows > mostRows {
		t.Errorf("%d rows, collapsed %v", rows, collapsed)
	}
	var b bytes.Buffer
	if err := tl.SVG(&b); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.Bytes())
	if b.Len() > 200<<10 {
		t.Errorf("%d KiB of SVG", b.Len()>>10)
	}
}

func TestManyScopesShareALane(t *testing.T) {
	var steps []Step
	for i := range 200 {
		steps = append(steps, step(fmt.Sprintf("h%d/x", i), "install", fmt.Sprintf("h%d", i), i, i+100))
	}
	lanes, _ := New(steps).lanes()
	if len(lanes) != mostLanes || lanes[mostLanes-1].name != "141 others" {
		t.Errorf("%d lanes, the last is %q", len(lanes), lanes[len(lanes)-1].name)
	}
}

func TestTicksAreRoundAndFew(t *testing.T) {
	for _, d := range []time.Duration{0, 3 * time.Microsecond, 7 * time.Millisecond, 4200 * time.Millisecond, 95 * time.Second, 47 * time.Minute, 30 * time.Hour} {
		if n := len(ticks(d, 10)); n > 11 {
			t.Errorf("%d ticks for %s", n, d)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0", -1: "0", 340 * time.Microsecond: "340µs", 12 * time.Millisecond: "12ms",
		1234 * time.Millisecond: "1.23s", 9999 * time.Millisecond: "9.99s", 59990 * time.Millisecond: "59.9s",
		125 * time.Second: "2m05s", 62 * time.Minute: "1h02m",
	} {
		if got := Short(d); got != want {
			t.Errorf("Short(%d) = %q, want %q", d, got, want)
		}
	}
}
