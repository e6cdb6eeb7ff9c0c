package resourcetest

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-cloud/updraft/internal/drift"
	"github.com/updraft-cloud/updraft/internal/resource"
	"github.com/updraft-cloud/updraft/internal/resource/fakehost"
)

// maxSteps bounds the changes of one Apply or Remove.
const maxSteps = 60

// errInjected is what a change fails with in the tests of failure.
var errInjected = errors.New("injected failure")

// Suite runs all cases of a kind on the host in memory.
func Suite(t *testing.T, kind resource.Kind, cases []Case) {
	t.Helper()
	if len(cases) == 0 {
		t.Fatalf("there are no cases of kind %s", kind.Name)
	}
	checkKind(t, kind)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			s := &suite{kind: kind, c: c}
			t.Run("is well formed", s.wellFormed)
			t.Run("observing changes nothing and applying brings in sync", s.applies)
			t.Run("applying in sync changes nothing", s.appliesOnce)
			t.Run("each drift is told alone and mended", s.drifts)
			t.Run("a power cut after any change is made good", s.powerCuts)
			t.Run("a failure of any change is told and made good", s.failures)
			t.Run("removing leaves the host as it was", s.removes)
			t.Run("removing is finished after a power cut", s.removesAfterCut)
			t.Run("no secret is told", s.keepsSecrets)
		})
	}
}

func checkKind(t *testing.T, kind resource.Kind) {
	t.Helper()
	r := kind.New()
	if kind.Doc == "" || kind.Example == "" {
		t.Errorf("kind %s has no doc or no example", kind.Name)
	}
	if r.Kind() != kind.Name {
		t.Errorf("kind %s makes resources of kind %s", kind.Name, r.Kind())
	}
	if reflect.TypeOf(r).Kind() != reflect.Pointer {
		t.Errorf("kind %s makes no pointers", kind.Name)
	}
	checkFields(t, reflect.TypeOf(r).Elem())
}

// checkFields holds the fields to the tags from which the schema is made.
func checkFields(t *testing.T, typ reflect.Type) {
	t.Helper()
	for f := range typ.Fields() {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); f.IsExported() && (name == "" || f.Tag.Get("doc") == "") {
			t.Errorf("field %s.%s lacks a json or doc tag", typ.Name(), f.Name)
		}
	}
}

type suite struct {
	kind resource.Kind
	c    Case
}

// world is a fresh host with what the case is given.
type world struct {
	*fakehost.Host
	t      *testing.T
	r      resource.Resource
	before string // as text
	made   bool
	// applied says that one Apply came to its end, so that the state knows.
	applied bool
	told    []string // all that was said in reports and errors
}

func (s *suite) world(t *testing.T) *world {
	t.Helper()
	h := fakehost.New()
	if s.c.Given != nil {
		if err := s.c.Given(t.Context(), h); err != nil {
			t.Fatalf("given: %v", err)
		}
	}
	w := &world{Host: h, t: t, r: s.c.Resource, before: h.String()}
	t.Cleanup(func() {
		for _, err := range h.Refused() {
			t.Errorf("refused: %v", err)
		}
	})
	w.made = w.observe(w.r).Status == drift.Absent
	return w
}

// observe observes and checks that the probe sees the same.
func (w *world) observe(r resource.Resource) drift.Report {
	w.t.Helper()
	changes := w.Changes()
	rep, err := r.Observe(w.t.Context(), w)
	if err != nil {
		w.t.Fatalf("observe: %v", err)
	}
	probed, err := resource.Probe(r).Observe(w.t.Context(), w)
	if err != nil {
		w.t.Fatalf("observe the probe: %v", err)
	}
	if diff := cmp.Diff(rep, probed); diff != "" {
		w.t.Errorf("the probe observes otherwise than the whole (-whole +probe):\n%s", diff)
	}
	if n := w.Changes() - changes; n != 0 {
		w.t.Errorf("observing made %d changes", n)
	}
	for _, c := range rep.Changes {
		if resource.IsSensitive(r) && c != (drift.Change{Attr: c.Attr}) {
			w.t.Errorf("the report of a sensitive resource shows values of %s", c.Attr)
		}
	}
	text, _ := json.Marshal(rep)
	w.told = append(w.told, string(text))
	return rep
}

func (w *world) tryApply() error {
	w.t.Helper()
	err := w.r.Apply(w.t.Context(), w, w.observe(w.r), resource.Cause{Made: w.applied && w.made})
	if err != nil {
		w.told = append(w.told, err.Error())
	}
	w.applied = w.applied || err == nil
	return err
}

func (w *world) apply() {
	w.t.Helper()
	if rep := w.observe(w.r); rep.Agrees() {
		return
	}
	if err := w.tryApply(); err != nil {
		w.t.Fatalf("apply: %v", err)
	}
	if rep := w.observe(w.r); !rep.Agrees() {
		w.t.Fatalf("after apply: %s %+v", rep.Status, rep.Changes)
	}
}

func (w *world) tryRemove() error {
	err := resource.Removal(w.r).Remove(w.t.Context(), w, w.made)
	if err != nil {
		w.told = append(w.told, err.Error())
	}
	return err
}

func (w *world) remove() {
	w.t.Helper()
	if err := w.tryRemove(); err != nil {
		w.t.Fatalf("remove: %v", err)
	}
}

// sameAs fails the test if the host is not as the text says.
func (w *world) sameAs(want, when string) {
	w.t.Helper()
	if diff := cmp.Diff(want, w.String()); diff != "" {
		w.t.Errorf("%s the host is not as it should be (-want +got):\n%s", when, diff)
	}
}

func (s *suite) wellFormed(t *testing.T) {
	r := s.c.Resource
	if err := r.Validate(); err != nil {
		t.Errorf("validate: %v", err)
	}
	if key := r.Key(); key == "" || strings.Contains(key, "\n") {
		t.Errorf("key is %q", key)
	}
	for name, v := range map[string]resource.Resource{"resource": r, "probe": resource.Probe(r), "removal": resource.Removal(r)} {
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		back := s.kind.New()
		if err := json.Unmarshal(data, back); err != nil {
			t.Fatal(err)
		}
		if again, _ := json.Marshal(back); string(again) != string(data) {
			t.Errorf("%s changes on the way through JSON:\n%s\n%s", name, data, again)
		}
		if back.Key() != r.Key() || back.Kind() != s.kind.Name {
			t.Errorf("%s has reference %s, want %s", name, resource.Ref(back), resource.Ref(r))
		}
	}
}

func (s *suite) applies(t *testing.T) {
	w := s.world(t)
	w.observe(w.r)
	w.sameAs(w.before, "after observing")
	w.apply()
}

func (s *suite) appliesOnce(t *testing.T) {
	w := s.world(t)
	w.apply()
	text, changes := w.String(), w.Changes()
	if err := w.tryApply(); err != nil {
		t.Fatalf("apply again: %v", err)
	}
	if n := w.Changes() - changes; n != 0 {
		t.Errorf("applying again made %d changes", n)
	}
	w.sameAs(text, "after applying again")
}

func (s *suite) drifts(t *testing.T) {
	for _, d := range s.c.Drifts {
		t.Run(d.Name, func(t *testing.T) {
			w := s.world(t)
			w.apply()
			text := w.String()
			if err := d.Do(t.Context(), w); err != nil {
				t.Fatalf("drift: %v", err)
			}
			checkReport(t, w.observe(w.r), d.Attrs)
			w.apply()
			if !d.Traces {
				w.sameAs(text, "after mending the drift")
			}
		})
	}
}

func checkReport(t *testing.T, rep drift.Report, attrs []string) {
	t.Helper()
	if attrs == nil {
		if rep.Status != drift.Absent {
			t.Errorf("report says %s %+v, want absent", rep.Status, rep.Changes)
		}
		return
	}
	var got []string
	for _, c := range rep.Changes {
		got = append(got, c.Attr)
	}
	want := slices.Sorted(slices.Values(attrs))
	if rep.Status != drift.Differs || !slices.Equal(got, want) {
		t.Errorf("report says %s in %v, want differs in %v", rep.Status, got, want)
	}
}

// eachStep runs f with faults at the first, second, … change until f says that
// the fault did not strike any more.
func eachStep(t *testing.T, f func(t *testing.T, k int) (struck bool)) {
	t.Helper()
	for k := range maxSteps {
		struck := false
		t.Run(fmt.Sprintf("change %d", k+1), func(t *testing.T) { struck = f(t, k) })
		if !struck || t.Failed() {
			return
		}
	}
	t.Errorf("more than %d changes", maxSteps)
}

func (s *suite) powerCuts(t *testing.T) {
	whole := s.world(t)
	whole.apply()
	want := whole.String()
	eachStep(t, func(t *testing.T, k int) bool {
		w := s.world(t)
		w.CutAfter(k)
		err := w.tryApply()
		w.PowerOn()
		if err == nil {
			return false
		}
		w.apply()
		w.sameAs(want, "after resuming")
		w.remove()
		s.checkRemoved(w)
		return true
	})
	eachStep(t, func(t *testing.T, k int) bool {
		w := s.world(t)
		w.CutAfter(k)
		err := w.tryApply()
		w.PowerOn()
		w.remove()
		s.checkRemoved(w)
		return err != nil
	})
}

func (s *suite) failures(t *testing.T) {
	whole := s.world(t)
	whole.apply()
	want := whole.String()
	eachStep(t, func(t *testing.T, k int) bool {
		w := s.world(t)
		changes := w.Changes()
		w.FailAfter(k, errInjected)
		err := w.tryApply()
		if w.Changes()-changes <= k {
			if err != nil {
				t.Errorf("apply: %v", err)
			}
			return false
		}
		if err == nil {
			t.Errorf("change %d failed and apply says nothing", k+1)
		}
		w.apply()
		w.sameAs(want, "after the failure")
		return true
	})
}

func (s *suite) checkRemoved(w *world) {
	w.t.Helper()
	if w.made || !s.c.Stays {
		w.sameAs(w.before, "after removing")
	}
}

func (s *suite) removes(t *testing.T) {
	w := s.world(t)
	w.remove()
	w.sameAs(w.before, "after removing what was never applied")
	w.apply()
	w.remove()
	s.checkRemoved(w)
	text := w.String()
	w.remove()
	w.sameAs(text, "after removing twice")
}

func (s *suite) removesAfterCut(t *testing.T) {
	eachStep(t, func(t *testing.T, k int) bool {
		w := s.world(t)
		w.apply()
		w.CutAfter(k)
		err := w.tryRemove()
		w.PowerOn()
		w.remove()
		s.checkRemoved(w)
		return err != nil
	})
}

func (s *suite) keepsSecrets(t *testing.T) {
	if len(s.c.Secrets) == 0 {
		t.Skip("the case has none")
	}
	w := s.world(t)
	w.apply()
	for _, d := range s.c.Drifts {
		if err := d.Do(t.Context(), w); err != nil {
			t.Fatal(err)
		}
		w.apply()
	}
	removal, _ := json.Marshal(resource.Removal(w.r))
	w.remove()
	w.FailAfter(0, errInjected)
	_ = w.tryApply()
	all := map[string][]string{
		"reports and errors": w.told, "the log": w.Log(), "command lines": w.Ran(),
		"the removal": {string(removal)}, "the key": {w.r.Key()},
	}
	for where, lines := range all {
		for _, secret := range s.c.Secrets {
			if strings.Contains(strings.Join(lines, "\n"), secret) {
				t.Errorf("a secret is told in %s", where)
			}
		}
	}
}
