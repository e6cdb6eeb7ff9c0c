package secret_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/updraft-cloud/updraft/internal/secret"
)

// host is one that believes and shows what an earlier phase gave it.
type host struct{ bundle, cert string }

func given(s *secret.Store) host {
	cert, _ := s.Certificate("c", "a.internal")
	return host{s.CA().Bundle(), cert}
}

func TestInEachPhaseHostsOfThePhaseBeforeBelieveAndAreBelieved(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	before := given(s)
	first := s.CA().Cert
	if err := s.Rotate("ca"); err != nil {
		t.Fatal(err)
	}
	for _, phase := range []secret.Phase{secret.PhaseTrust, secret.PhaseIssue, secret.PhaseForget} {
		p.save(s)
		s = p.open() // as another run would
		if got := s.Phase(); got != phase {
			t.Fatalf("phase %d, want %d", got, phase)
		}
		now := given(s)
		verify(t, before.bundle, now.cert, "a.internal", p.now)
		verify(t, now.bundle, before.cert, "a.internal", p.now)
		before = now
		if !s.Advance() {
			t.Fatalf("phase %d does not end", phase)
		}
	}
	ca := s.CA()
	if ca.Bundle() != ca.Cert || ca.Cert == first || s.Phase() != secret.PhaseNone || s.Advance() {
		t.Error("at the end, something is left of the first authority or of the phases")
	}
	verify(t, ca.Cert, before.cert, "a.internal", p.now)
}

func TestPhasesChangeOneThingEach(t *testing.T) {
	s := newPlace(t).open()
	was := given(s)
	if s.Advance() {
		t.Error("a phase ended before there was one")
	}
	if err := s.Rotate("ca"); err != nil {
		t.Fatal(err)
	}
	if now := given(s); now.cert != was.cert || now.bundle == was.bundle {
		t.Error("in the first, another thing changes than who is believed")
	}
	if err := s.Rotate("ca"); err == nil || !strings.Contains(err.Error(), "being replaced already") {
		t.Errorf("a second replacement beside the first: %v", err)
	}
	if s = newPlace(t).open(); s.Phase() != secret.PhaseNone {
		t.Error("a cloud without secrets is in a phase")
	}
}

func TestAuthorityIsReplacedBeforeItIsTooOld(t *testing.T) {
	p := newPlace(t)
	s := p.open()
	first := s.CA().Cert
	p.save(s)
	p.now = p.now.AddDate(8, 11, 0)
	if s = p.open(); s.CA().Bundle() != first {
		t.Error("replaced with more than a certificate's life left")
	}
	p.now = p.now.AddDate(0, 6, 0)
	s = p.open()
	if ca := s.CA(); ca.Cert != first || ca.Next == "" || s.Phase() != secret.PhaseTrust {
		t.Error("its replacement does not begin")
	}
	told := s.Renewals()
	if len(told) != 1 || told[0].Name != secret.CAName {
		t.Errorf("it tells of %v", told)
	}
	planned, err := secret.Plan(p.opts())
	if err != nil || !strings.HasPrefix(planned.CA().Bundle(), first) || planned.Phase() != secret.PhaseTrust {
		t.Errorf("a plan does not believe the hosts any longer: %v", err)
	}
	p.save(s)
	if s = p.open(); !slices.Equal(s.Renewals(), nil) || s.CA().Cert != first {
		t.Error("the next run begins again")
	}
	s.Advance()
	cert, _ := s.Certificate("c", "a.internal")
	verify(t, s.CA().Cert, cert, "a.internal", p.now.AddDate(0, 11, 0))
}

func TestAuthorityThatEndedIsReplacedAtOnce(t *testing.T) {
	for _, c := range []struct {
		rule  string
		first func(*secret.Store) error
	}{
		{"when nobody had begun to replace it", func(*secret.Store) error { return nil }},
		{"by the one that was to follow", func(s *secret.Store) error { return s.Rotate("ca") }},
	} {
		t.Run(c.rule, func(t *testing.T) {
			p := newPlace(t)
			s := p.open()
			first := s.CA().Cert
			p.now = p.now.AddDate(5, 0, 0)
			if err := c.first(s); err != nil {
				t.Fatal(err)
			}
			next := s.CA().Next
			p.save(s)
			p.now = p.now.AddDate(5, 1, 0)
			s = p.open()
			ca := s.CA()
			if s.Err() != nil || ca.Cert == first || next != "" && ca.Cert != next || ca.Bundle() != ca.Cert || s.Phase() != secret.PhaseNone {
				t.Errorf("phase %d: %v", s.Phase(), s.Err())
			}
			cert, _ := s.Certificate("c", "a.internal")
			verify(t, ca.Cert, cert, "a.internal", p.now)
			p.save(s)
		})
	}
}
