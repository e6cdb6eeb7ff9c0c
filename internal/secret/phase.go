package secret

import (
	"errors"
	"fmt"

	"github.com/updraft-cloud/updraft/internal/secret/pki"
)

// AllCertificates stands for all certificates, the authority's own aside, where
// secrets are rotated by name.
const AllCertificates = "certs"

// Phase is how far the replacement of the cloud's authority is. In each phase,
// whatever one host shows is believed by all that the phase before has reached, so
// that nothing has to be done everywhere at once. [Store.Advance] begins the next.
type Phase int

// The phases, in their order.
const (
	// PhaseNone: no authority is being replaced.
	PhaseNone Phase = iota
	// PhaseTrust: all are told to believe the new authority, too. The old one
	// issues.
	PhaseTrust
	// PhaseIssue: all certificates are issued anew by the new authority.
	PhaseIssue
	// PhaseForget: all are told not to believe the old one any longer.
	PhaseForget
)

// Phases is how many there are from the first to the last.
const Phases = int(PhaseForget)

// String says what a run does in the phase.
func (p Phase) String() string {
	switch p {
	case PhaseTrust:
		return "the new authority is believed beside the old one"
	case PhaseIssue:
		return "certificates are issued by the new authority"
	case PhaseForget:
		return "the old authority is not believed any longer"
	}
	return "the authority is not being replaced"
}

// errReplacing is why an authority cannot be rotated.
var errReplacing = errors.New("the authority is being replaced already: updraft up goes on with that")

// checkPhase reports whether what the entry has of other authorities fits its phase.
func (e *entry) checkPhase() bool {
	switch e.Phase {
	case PhaseNone, PhaseIssue:
		return e.Next == "" && e.NextKey == ""
	case PhaseTrust:
		return pki.Check(e.Next, e.NextKey) == nil
	case PhaseForget:
		return e.Next+e.NextKey+e.Older == ""
	}
	return false
}

// phase is that of the authority. One that was replaced before there were phases
// has its predecessors beside it, and all certificates are to be issued anew.
func (e *entry) phase() Phase {
	if e.Phase == PhaseNone && e.Older != "" {
		return PhaseIssue
	}
	return e.Phase
}

// Phase implements [Source].
func (v *vault) Phase() Phase {
	v.mu.Lock()
	defer v.mu.Unlock()
	if e, ok := v.entries[CAName]; ok {
		return e.phase()
	}
	return PhaseNone
}

// Advance begins the next phase, as all of the cloud is as the present one wants
// it, and reports whether there was one to end. Nothing is saved yet.
func (s *Store) Advance() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, ok := s.entries[CAName]
	if !ok || old.phase() == PhaseNone || s.err != nil {
		return false
	}
	e := *old
	switch old.phase() {
	case PhaseTrust:
		e.Older = e.Public + e.Older
		e.Public, e.Key = e.Next, e.NextKey
		e.Next, e.NextKey, e.Phase = "", "", PhaseIssue
	case PhaseIssue:
		e.Older, e.Phase = "", PhaseForget
	default:
		e.Phase = PhaseNone
	}
	s.entries[CAName], s.dirty = &e, true
	return true
}

// ca returns the authority. Its replacement begins when a certificate that it
// issues could not live its whole life.
func (v *vault) ca() pki.Authority {
	e := v.get(CAName, KindCA, v.firstCA)
	if left, err := pki.Left(e.Public, v.now()); err == nil && left < pki.LeafLife && (left <= 0 || e.phase() == PhaseNone) {
		v.ended = append(v.ended, Renewal{Name: CAName, Ends: v.now().Add(left).UTC()})
		e = v.renew(e, v.nextCA)
	}
	a := pki.WithKey(e.Public, e.Key)
	a.Next, a.Older = e.Next, e.Older
	return a
}

// newCA makes an authority. Each has a name of its own, as verifiers look for an
// issuer by name.
func (v *vault) newCA(generation int) (pki.Authority, error) {
	return v.mint.authority(fmt.Sprintf("updraft %s CA %d", v.cloud, generation), v.now())
}

func (v *vault) firstCA(e *entry) error {
	a, err := v.newCA(e.Generation)
	e.Public, e.Key = a.Cert, a.Key()
	return err
}

// nextCA begins to replace the authority. One that has ended is replaced at once:
// nobody believes what it issued any longer.
func (v *vault) nextCA(e *entry) error {
	left, err := pki.Left(e.Public, v.now())
	switch {
	case err == nil && left <= 0:
		e.Public, e.Key = e.Next, e.NextKey
		e.Next, e.NextKey, e.Older, e.Phase = "", "", "", PhaseNone
		if left, err := pki.Left(e.Public, v.now()); err == nil && left > 0 {
			return nil
		}
		return v.firstCA(e)
	case e.phase() != PhaseNone:
		return errReplacing
	}
	a, err := v.newCA(e.Generation)
	e.Next, e.NextKey, e.Phase = a.Cert, a.Key(), PhaseTrust
	return err
}
