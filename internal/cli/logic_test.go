package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/compile"
	"github.com/updraft-cloud/updraft/internal/diag"
	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/engine"
	"github.com/updraft-cloud/updraft/internal/engine/enginetest"
	"github.com/updraft-cloud/updraft/internal/spec"
	"github.com/updraft-cloud/updraft/internal/status"
	"github.com/updraft-cloud/updraft/internal/transport"
	"github.com/updraft-cloud/updraft/internal/ui"
	"github.com/updraft-cloud/updraft/internal/verify"
)

const twoWebs = `version: 1
cloud: demo
networks:
  mgmt: {cidr: 10.88.77.0/24}
groups:
  web: {count: 2, nics: [mgmt]}
`

func parsed(t *testing.T, text string) *spec.Cloud {
	t.Helper()
	c, diags := spec.Parse("cloud.yaml", []byte(text), spec.Options{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	return c
}

// talker is an app whose streams a test reads.
func talker() (a *app, out, errs *bytes.Buffer) {
	out, errs = &bytes.Buffer{}, &bytes.Buffer{}
	return &app{in: strings.NewReader(""), out: out, err: errs, file: "cloud.yaml"}, out, errs
}

func TestTheExitStatusFollowsTheError(t *testing.T) {
	for _, tc := range []struct {
		rule string
		err  error
		want int
		said string
	}{
		{"all is well", nil, exitOK, ""},
		{"what was said already is not said again", &exitError{code: exitChanges}, exitChanges, ""},
		{"an error with a status of its own", &exitError{code: exitChecks, err: errors.New("no")}, exitChecks, "updraft: no\n"},
		{"faults in the file, all of them", diag.List{{Summary: "one"}, {Summary: "two"}}, exitFailed, "error: one\nerror: two\n"},
		{"somebody else is at work", fmt.Errorf("cannot lock: %w", &engine.HeldError{}), exitLocked, "updraft: cannot lock: another updraft is at work on this cloud; wait for it to end\n"},
		{"interrupted", fmt.Errorf("x: %w", context.Canceled), exitInterrupted, "updraft: interrupted; run the same command again to go on\n"},
		{"stopped between steps", engine.ErrStopped, exitInterrupted, "updraft: interrupted; run the same command again to go on\n"},
		{"anything else", errors.New("disk full"), exitFailed, "updraft: disk full\n"},
	} {
		a, _, errs := talker()
		if got := a.status(tc.err); got != tc.want || errs.String() != tc.said {
			t.Errorf("%s: status %d, %q; want %d, %q", tc.rule, got, errs, tc.want, tc.said)
		}
	}
}

func TestTheCommandThatGoesOnIsComplete(t *testing.T) {
	state, err := filepath.Abs(defaultStateDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		rule string
		app  app
		more []string
		want string
	}{
		{"the file is named", app{file: "my cloud.yaml", stateDir: state}, nil, "updraft up -f 'my cloud.yaml'"},
		{"or the cloud", app{file: "x", cloud: "web", stateDir: state}, []string{"--only", "db"}, "updraft up --only db --cloud web"},
		{"variables and another state go along", app{file: "x", set: []string{"a=b c"}, stateDir: "/s"}, nil, "updraft up -f x --set 'a=b c' --state /s"},
		{"and who can read the secrets", app{file: "x", stateDir: state, identity: "/mnt/key"}, nil, "updraft up -f x --identity /mnt/key"},
	} {
		if got := tc.app.again("updraft up", tc.more...); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.rule, got, tc.want)
		}
	}
}

func TestFaultsOfAProviderGetThePositionOfTheirThing(t *testing.T) {
	c := parsed(t, twoWebs)
	at := diag.Pos{File: "other.yaml", Line: 1, Col: 1}
	list := diag.List{
		{Path: "networks.mgmt.uplink"}, {Path: "hosts.web2.address"}, {Path: "hosts.nobody"}, {Path: "provider"}, {}, {Pos: at, Path: "hosts.web1"},
	}
	var got []string
	for _, d := range located(c, list) {
		got = append(got, d.Pos.String())
	}
	want := []string{"cloud.yaml:4:9", "cloud.yaml:6:8", "cloud.yaml", "cloud.yaml:1:1", "cloud.yaml", "other.yaml:1:1"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if !list[0].Pos.IsZero() {
		t.Error("the provider's own list was changed")
	}
}

func TestWhatOnlyRootMayGoesThroughSudo(t *testing.T) {
	words := []string{"journalctl", "--unit=a b"}
	hush := func() (string, error) { return "hush", nil }
	for _, tc := range []struct {
		rule string
		t    transport.Target
		want order
	}{
		{"root needs none", transport.Target{User: "root", SudoPassword: hush}, order{line: "journalctl '--unit=a b'"}},
		{"nor does who is not named", transport.Target{}, order{line: "journalctl '--unit=a b'"}},
		{"without a password it must not ask", transport.Target{User: "ann"}, order{line: "sudo -n -- journalctl '--unit=a b'"}},
		{"a password goes through the input", transport.Target{User: "ann", SudoPassword: hush}, order{line: "sudo -S -p '' -- journalctl '--unit=a b'", stdin: "hush\n"}},
	} {
		got, err := elevated(tc.t, words)
		if err != nil || got != tc.want {
			t.Errorf("%s: %+v, %v; want %+v", tc.rule, got, err, tc.want)
		}
	}
	broken := func() (string, error) { return "", errors.New("cannot read the sudo password") }
	if _, err := elevated(transport.Target{User: "ann", SudoPassword: broken}, words); err == nil {
		t.Error("a password that cannot be read was passed over")
	}
}

func TestEveryLineOfJSONIsOneObjectWithItsType(t *testing.T) {
	a, out, _ := talker()
	a.json = true
	sink := ui.JSONLines(a.out)
	sink(engine.Event{Type: engine.EvStart, ID: "web1/file:/x"})
	sink(engine.Event{Type: engine.EvFail, ID: "web1/file:/x", Err: "two\nlines"})
	if err := a.concluded(engine.Result{Failed: []engine.Failure{{ID: "web1/file:/x"}}}, "updraft up"); err == nil {
		t.Error("a failure is no success")
	}
	s := &session{a: a}
	if err := s.report(verify.Report{Cloud: "demo", Results: []verify.Result{{Name: "ping", Reason: "a\nb"}}}, reportFlags{line: true}); err != nil {
		t.Fatal(err)
	}
	var got []string
	for sc := bufio.NewScanner(out); sc.Scan(); {
		var line map[string]json.RawMessage
		if err := json.Unmarshal(sc.Bytes(), &line); err != nil {
			t.Fatalf("%q: %v", sc.Text(), err)
		}
		got = append(got, strings.Join(slices.Sorted(maps.Keys(line)), " ")+" "+string(line["type"]))
	}
	want := []string{`event type "event"`, `event type "event"`, `result type "result"`, `report type "report"`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestNoChecksMakeNoTable(t *testing.T) {
	a, out, errs := talker()
	if err := (&session{a: a}).report(verify.Report{Cloud: "demo"}, reportFlags{}); err != nil || out.Len() > 0 || !strings.Contains(errs.String(), "no checks") {
		t.Errorf("%v, %q, %q", err, out, errs)
	}
}

func TestOutputOfManyHostsIsToldApart(t *testing.T) {
	for _, tc := range []struct {
		rule      string
		r         execResult
		prefix    bool
		out, errs string
	}{
		{"one host speaks for itself", execResult{Host: "a", Stdout: "x\ny"}, false, "x\ny\n", ""},
		{"of several each line has its host", execResult{Host: "a", Stdout: "x\ny\n", Stderr: "z\n"}, true, "a: x\na: y\n", "a: z\n"},
		{"a failure is said", execResult{Host: "a", Status: 3}, true, "", "a: exit status 3\n"},
		{"or why there is none", execResult{Host: "a", Status: -1, Err: "no route"}, true, "", "a: no route\n"},
	} {
		a, out, errs := talker()
		if err := (&session{a: a}).showExec(tc.r, tc.prefix); err != nil || out.String() != tc.out || errs.String() != tc.errs {
			t.Errorf("%s: %v, %q, %q", tc.rule, err, out, errs)
		}
	}
}

func TestDestroyTakesAPartOnlyOfWhatIsRecorded(t *testing.T) {
	s := &session{cloud: parsed(t, twoWebs), records: map[string]engine.Record{}}
	for _, id := range []string{"machine:web1", "machine:web2", "machine:old", "network:mgmt"} {
		s.records[id] = engine.Record{ID: id}
	}
	s.records["web1/file:/x"] = engine.Record{ID: "web1/file:/x", Scope: "web1"}
	for _, tc := range []struct {
		only []string
		want string
	}{
		{[]string{"web"}, "machine:web1 machine:web2 web1/file:/x"},
		{[]string{"web1"}, "machine:web1 web1/file:/x"},
		{[]string{"machine:web1"}, "machine:web1 web1/file:/x"},
		{[]string{"old"}, "machine:old"}, // left the file
		{[]string{"web1/file:/x", "network:mgmt"}, "network:mgmt web1/file:/x"},
	} {
		match, err := s.recorded(tc.only)
		if err != nil {
			t.Errorf("%v: %v", tc.only, err)
			continue
		}
		var got []string
		for _, id := range slices.Sorted(maps.Keys(s.records)) {
			if match(s.records[id]) {
				got = append(got, id)
			}
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%v: %v, want %s", tc.only, got, tc.want)
		}
	}
	if _, err := s.recorded([]string{"web3"}); err == nil {
		t.Error("what is not recorded was selected")
	}
	if match, err := s.recorded(nil); match != nil || err != nil {
		t.Error("without a selector all is meant")
	}
}

func TestAPersonHasToAgree(t *testing.T) {
	for answer, ok := range map[string]bool{"demo\n": true, "demo": false, "yes\n": false, "": false} {
		a, _, _ := talker()
		a.in = strings.NewReader(answer)
		if err := a.confirm("Sure? ", "demo"); (err == nil) != ok {
			t.Errorf("%q: %v", answer, err)
		}
	}
	f, err := os.Open(os.DevNull) // a character device that says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	pipe, _, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	for _, in := range []*os.File{f, pipe} {
		a, _, _ := talker()
		a.in = in
		if err := a.confirm("Sure? ", "demo"); err == nil {
			t.Errorf("%s agreed", in.Name())
		}
	}
}

func TestStatusTellsHostsApart(t *testing.T) {
	var nodes []*engine.Node
	for _, id := range []string{"machine:web1", "machine:web2", "web1/file:/x", "web2/file:/x", "web2/file:/y"} {
		n := &engine.Node{ID: id, Body: enginetest.Value("1")}
		if scope, _, ok := strings.Cut(id, "/"); ok {
			n.Scope = scope
		}
		nodes = append(nodes, n)
	}
	g, err := engine.NewGraph(nodes, []engine.Scope{{Name: "web1", Gate: "machine:web1"}, {Name: "web2", Gate: "machine:web2"}})
	if err != nil {
		t.Fatal(err)
	}
	s := &session{cloud: parsed(t, twoWebs), out: &compile.Output{Graph: g}}
	drifted := engine.Step{ID: "web2/file:/x", Scope: "web2", Action: engine.Update}
	unready := engine.Step{ID: "web1/container:x", Scope: "web1", Kind: "container", Action: engine.Update, Changes: []drift.Change{{Attr: "ready", From: "no", To: "yes"}}}
	both := map[string]bool{"web1": true, "web2": true}
	for _, tc := range []struct {
		rule    string
		running map[string]bool
		p       *engine.Plan
		want    string
	}{
		{"all is well", both, &engine.Plan{}, "web1 up 0/1 healthy, web2 up 0/2 healthy"},
		{"something differs", both, &engine.Plan{Steps: []engine.Step{drifted}}, "web1 up 0/1 healthy, web2 up 1/2 healthy"},
		{"a machine differs", both, &engine.Plan{Steps: []engine.Step{{ID: "machine:web2", Kind: "machine", Action: engine.Update}}}, "web1 up 0/1 healthy, web2 up 1/2 healthy"},
		{"a container does not do its work", both, &engine.Plan{Steps: []engine.Step{unready}}, "web1 up 1/1 unhealthy, web2 up 0/2 healthy"},
		{"a machine is not there, another is off", map[string]bool{"web1": false}, &engine.Plan{}, "web1 off 0/1 healthy, web2 missing 0/2 healthy"},
		{"a host does not answer", both, &engine.Plan{Blind: []engine.Blind{{Scope: "web1"}}}, "web1 up -1/1 healthy, web2 up 0/2 healthy"},
		{"there was no time to compare", both, nil, "web1 up -1/1 healthy, web2 up -1/2 healthy"},
	} {
		l := &looking{s: s, r: &status.Report{}}
		l.known(tc.running)
		for i := range l.r.Hosts {
			l.r.Hosts[i].Containers = []status.Container{{Name: "x", Health: status.Healthy}}
		}
		l.join(tc.p)
		var got []string
		for _, h := range l.r.Hosts {
			got = append(got, fmt.Sprintf("%s %s %d/%d %s", h.Name, h.State, h.Differ, h.Resources, h.Containers[0].Health))
		}
		if text := strings.Join(got, ", "); text != tc.want {
			t.Errorf("%s: %q, want %q", tc.rule, text, tc.want)
		}
	}
}

func TestRunsAreRecordedAndTheOldestForgotten(t *testing.T) {
	dir := t.TempDir()
	for i := range keepRuns + 3 {
		r, err := newRecorder(dir)
		if err != nil {
			t.Fatal(err)
		}
		r.start = time.Date(2026, 1, 1, 0, i, 0, 0, time.UTC)
		r.event(engine.Event{Type: engine.EvObserved, Scope: "a"}) // no step: nothing is recorded for it alone
		if i > 0 {
			r.event(engine.Event{Type: engine.EvStart, ID: "a", Kind: "file", Time: r.start})
			r.event(engine.Event{Type: engine.EvDone, ID: "a", Kind: "file", Changed: true, Took: 4 * time.Second, Time: r.start.Add(4 * time.Second)})
		}
		r.finish(engine.Result{})
	}
	runs, err := filepath.Glob(filepath.Join(dir, "runs", "*.jsonl"))
	if err != nil || len(runs) != keepRuns || !strings.Contains(runs[0], "T000300") {
		t.Errorf("kept: %v, %v", runs, err)
	}
	steps, err := lastRun(dir, 0)
	if err != nil || len(steps) != 1 || steps[0].End.Sub(steps[0].Start) != 4*time.Second || steps[0].Status != "done" {
		t.Errorf("the last run: %+v, %v", steps, err)
	}
	if _, err := lastRun(dir, keepRuns); err == nil {
		t.Error("a run that is not recorded was read")
	}
	again, err := newRecorder(dir)
	if err != nil || again.expected("file") != 4*time.Second || again.expected("unit") != 0 {
		t.Errorf("expected: %v, %v", again.took, err)
	}
	again.learn("file", 8*time.Second)
	if got := again.expected("file"); got != 5*time.Second {
		t.Errorf("after a slower one: %s", got)
	}
}

func TestALineTornByAKillEndsTheRun(t *testing.T) {
	steps, err := readRun(strings.NewReader(`{"type":"start","id":"a"}` + "\n" + `{"type":"fail","id":"a"}` + "\n" + `{"type":"start","id":"b"}` + "\n" + `{"type":"do`))
	if err != nil || len(steps) != 2 || steps[0].Status != "failed" || steps[1].Status != "" {
		t.Errorf("%+v, %v", steps, err)
	}
}

func TestPathsOfTheFileAreRelativeToIt(t *testing.T) {
	t.Setenv("HOME", "/home/ann")
	s := &session{a: &app{file: "/etc/clouds/web.yaml"}}
	for in, want := range map[string]string{"": "", "/k": "/k", "~/k": "/home/ann/k", "k": "/etc/clouds/k", "../k": "/etc/k"} {
		if got := s.path(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestASpliceEndsWithTheFarEnd(t *testing.T) {
	l := listen(t)
	go shout(l)
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var out bytes.Buffer
	if err := splice(conn, strings.NewReader("hello"), &out); err != nil || out.String() != "HELLO" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
