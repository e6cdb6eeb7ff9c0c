package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Statuses is a set of HTTP status codes, each as it was written: 200, "200-299"
// or "2xx". In a cloud file it is one entry or a list of them.
type Statuses []string

// Forms returns the two ways to write a set, for the decoder of package spec.
func (*Statuses) Forms() []any { return []any{new(string), new([]string)} }

// Take receives what was written. Validate of the check judges it.
func (s *Statuses) Take(form any) {
	switch f := form.(type) {
	case *string:
		*s = Statuses{*f}
	case *[]string:
		*s = *f
	}
}

// Has reports whether the code is in the set.
func (s Statuses) Has(code int) bool {
	return slices.ContainsFunc(s, func(entry string) bool {
		low, high, err := parseStatus(entry)
		return err == nil && low <= code && code <= high
	})
}

// String renders the set, such as "200 or 300-399".
func (s Statuses) String() string { return strings.Join(s, " or ") }

func parseStatus(s string) (low, high int, err error) {
	from, to, isRange := strings.Cut(s, "-")
	if class, ok := strings.CutSuffix(s, "xx"); ok {
		from, to, isRange = class+"00", class+"99", true
	}
	if !isRange {
		to = from
	}
	low, err1 := strconv.Atoi(from)
	high, err2 := strconv.Atoi(to)
	if err1 != nil || err2 != nil || low < 100 || high > 599 || low > high {
		return 0, 0, fmt.Errorf(`%q is not a status such as 200, "200-299" or "2xx"`, s)
	}
	return low, high, nil
}
