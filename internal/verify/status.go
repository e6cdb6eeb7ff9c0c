package verify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Statuses is a set of HTTP status codes. In a cloud file it is one entry or a
// list of them: 200, "200-299" or "2xx".
type Statuses []StatusRange

// StatusRange is the status codes from Low to High.
type StatusRange struct{ Low, High int }

// Has reports whether the code is in the set.
func (s Statuses) Has(code int) bool {
	return slices.ContainsFunc(s, func(r StatusRange) bool { return r.Low <= code && code <= r.High })
}

// String renders the set, such as "200 or 300-399".
func (s Statuses) String() string {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.String()
	}
	return strings.Join(parts, " or ")
}

// MarshalJSON encodes a list.
func (s Statuses) MarshalJSON() ([]byte, error) {
	parts := make([]string, len(s))
	for i, r := range s {
		parts[i] = r.String()
	}
	return json.Marshal(parts)
}

// UnmarshalJSON decodes one entry or a list.
func (s *Statuses) UnmarshalJSON(data []byte) error {
	entries := []json.RawMessage{data}
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[")) {
		entries = nil
		if err := json.Unmarshal(data, &entries); err != nil {
			return err
		}
	}
	*s = nil
	for _, e := range entries {
		r, err := parseStatus(strings.Trim(string(e), `"`))
		if err != nil {
			return err
		}
		*s = append(*s, r)
	}
	return nil
}

// String renders 200 or 200-299.
func (r StatusRange) String() string {
	if r.Low == r.High {
		return strconv.Itoa(r.Low)
	}
	return fmt.Sprintf("%d-%d", r.Low, r.High)
}

func parseStatus(s string) (StatusRange, error) {
	low, high, isRange := strings.Cut(s, "-")
	if class, ok := strings.CutSuffix(s, "xx"); ok {
		low, high, isRange = class+"00", class+"99", true
	}
	if !isRange {
		high = low
	}
	l, err1 := strconv.Atoi(low)
	h, err2 := strconv.Atoi(high)
	if err1 != nil || err2 != nil || l < 100 || h > 599 || l > h {
		return StatusRange{}, fmt.Errorf(`%q is not a status such as 200, "200-299" or "2xx"`, s)
	}
	return StatusRange{l, h}, nil
}
