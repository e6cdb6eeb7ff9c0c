package verify

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Check is one thing to be proven. It holds only what was declared, so that it
// may be run any number of times, also concurrently.
type Check interface {
	// Kind returns the kind's name, such as "http".
	Kind() string
	// Validate reports what is wrong with the declaration, as far as it can be
	// known without the cloud. Faults of fields are [*resource.FieldError],
	// several are joined.
	Validate() error
	// Resolve replaces names of the cloud by addresses. It is called once,
	// after Validate and before Run; faults are as with Validate.
	Resolve(Lookup) error
	// Patience is how long the check may take to come true; 0 means that it
	// must hold at once.
	Patience() time.Duration
	// Run looks once. The detail, a struct of the kind's own, is returned with
	// an error too, as far as it is known. A [*Failure] means that the cloud is
	// not as declared; any other error, that it could not be found out.
	Run(ctx context.Context, v Vantage) (detail any, err error)
}

// Failure says in which way the cloud is not as declared.
type Failure struct {
	Reason string
	// Statistical says that it was concluded from a sample, so that another try is
	// another chance for what is not as declared to pass.
	Statistical bool
}

// Error returns the reason.
func (f *Failure) Error() string { return f.Reason }

func failf(format string, args ...any) error {
	return &Failure{Reason: fmt.Sprintf(format, args...)}
}

// Kind describes a kind of check.
type Kind struct {
	Name string
	Doc  string // one or two sentences, for the reference
	// Example is the body of such a check in a cloud file, as YAML.
	Example string
	// New returns a pointer to a check with its defaults filled in, to decode
	// into. The fields carry json, doc, default, enum and required tags.
	New func() Check
}

// Kinds returns all kinds by name.
func Kinds() []Kind {
	return []Kind{bannerKind(), dnsKind(), httpKind(), icmpKind(), spreadKind(), tcpKind()}
}

// Lookup resolves a name of the cloud (a host, group, role or VIP) on a network,
// where an empty network stands for the one by which a host is reached. It
// returns nothing for a name that the cloud does not know.
type Lookup func(name, network string) []Endpoint

// Endpoint is one thing that a check looks at.
type Endpoint struct {
	Name string `json:"name"` // what people call it
	Addr string `json:"addr"` // an IP address or DNS name
}

// String renders the name, and the address if that says more.
func (e Endpoint) String() string {
	if e.Name == e.Addr || e.Name == "" {
		return e.Addr
	}
	return e.Name + " (" + e.Addr + ")"
}

// asFailure turns an error met on the way to a target into a Failure, unless it
// was the vantage point itself that could not be used.
func asFailure(err error, format string, args ...any) error {
	if errors.Is(err, ErrVantage) {
		return err
	}
	return failf("%s: %s", fmt.Sprintf(format, args...), plain(err))
}
