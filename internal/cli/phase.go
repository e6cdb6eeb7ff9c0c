package cli

import (
	"context"
	"fmt"

	"github.com/updraft-cloud/updraft/internal/secret"
)

// phaseText says how far the replacement of the authority is.
func phaseText(p secret.Phase) string {
	return fmt.Sprintf("phase %d of %d of replacing the cloud's certificate authority: %s", p, secret.Phases, p)
}

// phaseMend says how the replacement goes on.
func (s *session) phaseMend(p secret.Phase) string {
	up := s.a.again("updraft up") + " does this phase"
	if p == secret.PhaseIssue {
		up += "; before that, whoever uses the cloud from outside needs the new ca.pem of the hand-off"
	}
	return up
}

// endPhase notes, after a run that brought all of the cloud to where the authority's
// phase wants it, that the phase is over. The cloud is still locked.
func (s *session) endPhase(ctx context.Context) error {
	if s.vault == nil {
		return nil
	}
	done := s.vault.Phase()
	if !s.vault.Advance() {
		return nil
	}
	if err := s.vault.Save(ctx); err != nil {
		return fmt.Errorf("%s is done everywhere, and that cannot be noted: %w", phaseText(done), err)
	}
	fmt.Fprintf(s.a.err, "Done: %s.\n", phaseText(done))
	if next := s.vault.Phase(); next != secret.PhaseNone {
		fmt.Fprintf(s.a.err, "Next: %s. %s.\n", phaseText(next), s.phaseMend(next))
	}
	return nil
}
