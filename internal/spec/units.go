package spec

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Size is an amount of memory or disk in bytes, written with its unit:
// 256MiB, 1.5GiB, 10GB.
type Size int64

var units = []struct {
	name  string
	bytes float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

// UnmarshalText reads a size.
func (s *Size) UnmarshalText(text []byte) error {
	in := string(text)
	for _, u := range units {
		number, ok := strings.CutSuffix(in, u.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || n < 0 || math.IsNaN(n) || n*u.bytes > 1<<60 {
			return fmt.Errorf("%q is not a size", in)
		}
		*s = Size(n * u.bytes)
		return nil
	}
	if number := strings.TrimRight(in, "KMGTkmgti"); number != "" {
		if _, err := strconv.ParseFloat(number, 64); err == nil {
			return fmt.Errorf("%q has no unit: write %sMiB or %sGiB", in, number, number)
		}
	}
	return fmt.Errorf("%q is not a size such as 256MiB or 2GiB", in)
}

// MarshalText writes the size in the largest unit that leaves a whole number.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// String renders the size as MarshalText does.
func (s Size) String() string {
	for _, u := range []int{3, 2, 1, 0} {
		if b := Size(units[u].bytes); s >= b && s%b == 0 {
			return strconv.FormatInt(int64(s/b), 10) + units[u].name
		}
	}
	return strconv.FormatInt(int64(s), 10) + "B"
}

// Duration is a length of time above zero, written as 300ms, 5s, 1m30s.
type Duration time.Duration

// UnmarshalText reads a duration.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a duration such as 500ms, 5s or 2m", text)
	case v <= 0:
		return errors.New("a duration is above zero")
	}
	*d = Duration(v)
	return nil
}

// MarshalText writes the duration.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }
