// Package driver is what the load-balancing service asks of the world around
// it: addresses and ports of a network, instances that run amphorae, and
// certificates that a key manager keeps.
//
// It guarantees nothing by itself: the contracts stand in the comments of its
// interfaces, and package noop has the smallest implementations.
//
// All methods may be called at the same time from several processes, and again
// after a crash at any point: what is there already is the answer, and what is
// gone already is no error. A context that ends stops the wait, and leaves what
// the next call can go on with.
package driver

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"strings"
)

// Classes of errors. Implementations wrap one of them with what was not
// possible; anything else counts as ErrUnavailable.
var (
	// ErrNotFound means that the named object does not exist. For removals that
	// is success, and not returned.
	ErrNotFound = errors.New("not found")
	// ErrInUse means that the address or port belongs to somebody else.
	ErrInUse = errors.New("already in use")
	// ErrExhausted means that no address, or no room for an instance, is left.
	ErrExhausted = errors.New("nothing is left")
	// ErrInvalid means that the request can never succeed as it is.
	ErrInvalid = errors.New("not valid")
	// ErrForbidden means that the service's own account may not do so.
	ErrForbidden = errors.New("forbidden to the service")
	// ErrUnsupported means that the implementation cannot do such a thing.
	ErrUnsupported = errors.New("not supported")
	// ErrUnavailable means that the other side did not answer, or not properly:
	// the same request may succeed later.
	ErrUnavailable = errors.New("not available")
)

// Error is an error of a driver: which kind of object, which one, the class,
// and what else is known. Its text stands alone.
type Error struct {
	Kind   string // as people call it: Port, Subnet, Network, qos_policy, Security Group
	ID     string
	Class  error
	Detail string
}

func (e *Error) Error() string {
	text := fmt.Sprintf("%s %s is %v", e.Kind, e.ID, e.Class)
	if errors.Is(e.Class, ErrNotFound) {
		text = fmt.Sprintf("%s %s not found.", e.Kind, e.ID) // to the letter of the API
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

func (e *Error) Unwrap() error { return e.Class }

// NotFound is the error for an object that does not exist. Kind is one of the
// API's words: Port, Subnet, Network, qos_policy, Security Group.
func NotFound(kind, id string) error { return &Error{Kind: kind, ID: id, Class: ErrNotFound} }

// Permanent reports whether trying again the same request is of no use.
func Permanent(err error) bool {
	for _, class := range []error{ErrInvalid, ErrForbidden, ErrUnsupported, ErrNotFound, ErrInUse} {
		if errors.Is(err, class) {
			return true
		}
	}
	return false
}

// DerivedID is a UUID that belongs to the words: version 5 of RFC 9562.
func DerivedID(words ...string) string {
	sum := sha1.Sum([]byte("updraft-lb\x00" + strings.Join(words, "\x00")))
	sum[6], sum[8] = sum[6]&0x0f|0x50, sum[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
}
