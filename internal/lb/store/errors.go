package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/updraft-cloud/updraft/internal/lb/model"
)

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("the store is closed")
	// ErrFenced says that a claim which an Update depends on is no longer held.
	ErrFenced = errors.New("the claim is no longer held")
	// ErrInUse says that another process has the store's directory.
	ErrInUse = errors.New("another process is using the store")
	// ErrExists says that an object with this id is there.
	ErrExists = errors.New("Already an entity with that specified id.") //nolint:staticcheck // a fault string of the contract
)

// UnavailableError says that etcd takes no writes now.
type UnavailableError struct {
	Reason     string
	RetryAfter time.Duration
	// Uncertain says that the write may have happened all the same.
	Uncertain bool
	Err       error
}

func (e *UnavailableError) Error() string {
	return "the store takes no changes now: " + e.Reason
}

func (e *UnavailableError) Unwrap() error { return e.Err }

// Uncertain reports whether what failed with the error may have happened all the
// same: the caller went away, or no answer came, while it was being written.
func Uncertain(err error) bool {
	var unavailable *UnavailableError
	if errors.As(err, &unavailable) {
		return unavailable.Uncertain
	}
	return errors.Is(err, ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// NotFoundError says that an object is not there. The texts of this error and of
// those below are fault strings of the contract (§2).
type NotFoundError struct {
	Kind model.Kind
	ID   string
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("%s %s not found.", e.Kind.Title(), e.ID) }

// ImmutableError says that an object is being changed.
type ImmutableError struct {
	Kind model.Kind
	ID   string
}

func (e *ImmutableError) Error() string {
	return fmt.Sprintf("%s %s is immutable and cannot be updated.", e.Kind.Title(), e.ID)
}

// StateError says that a load balancer's own status forbids what was asked.
type StateError struct {
	Status model.ProvisioningStatus
	ID     string
}

func (e *StateError) Error() string {
	return fmt.Sprintf("Invalid state %s of loadbalancer resource %s", e.Status, e.ID)
}

// QuotaError says that a project may not have more of a kind.
type QuotaError struct{ Kind model.Kind }

func (e *QuotaError) Error() string {
	return "Quota has been met for resources: " + e.Kind.Title()
}

// DuplicateError says that what must be unique is taken; Text is the fault string.
type DuplicateError struct {
	Kind model.Kind
	Text string
}

func (e *DuplicateError) Error() string { return e.Text }

func duplicate(k model.Kind, format string, args ...any) error {
	return &DuplicateError{k, fmt.Sprintf(format, args...)}
}

// InUseError says that something refers to an object; Text is the fault string.
type InUseError struct {
	Ref  model.Ref
	Text string
}

func (e *InUseError) Error() string { return e.Text }

// TooLargeError says that a change does not fit into one transaction.
type TooLargeError struct{ Err error }

func (e *TooLargeError) Error() string {
	return "the change is too large for one transaction: " + e.Err.Error()
}

func (e *TooLargeError) Unwrap() error { return e.Err }

// ClaimedError says that another session holds a claim.
type ClaimedError struct{ Name, Owner string }

func (e *ClaimedError) Error() string {
	return fmt.Sprintf("%s is claimed by %s", e.Name, e.Owner)
}
