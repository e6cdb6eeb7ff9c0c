package cron

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field is one of the five time fields of crontab(5).
type field struct {
	name     string
	min, max int
	words    []string // names for the values from min on
}

var fields = []field{
	{name: "minute", max: 59},
	{name: "hour", max: 23},
	{name: "day of month", min: 1, max: 31},
	{name: "month", min: 1, max: 12, words: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
	{name: "day of week", max: 7, words: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
}

var scheduleWords = []string{"@reboot", "@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"}

// checkSchedule checks the time fields.
func checkSchedule(s string) error {
	if strings.HasPrefix(s, "@") {
		if !slices.Contains(scheduleWords, s) {
			return fmt.Errorf("known words are %s", strings.Join(scheduleWords, ", "))
		}
		return nil
	}
	parts := strings.Split(s, " ")
	if len(parts) != len(fields) {
		return fmt.Errorf("there are five fields, separated by one space each, not %d", len(parts))
	}
	for i, f := range fields {
		for item := range strings.SplitSeq(parts[i], ",") {
			if err := f.check(item); err != nil {
				return fmt.Errorf("%s: %w", f.name, err)
			}
		}
	}
	return nil
}

// check checks one item of a list: *, a value or a range, each with a step.
func (f field) check(item string) error {
	body, step, stepped := strings.Cut(item, "/")
	if n, err := strconv.Atoi(step); stepped && (err != nil || n < 1) {
		return fmt.Errorf("%q is not a step", step)
	}
	if body == "*" {
		return nil
	}
	low, high, ranged := strings.Cut(body, "-")
	a, err := f.value(low)
	if err != nil || !ranged {
		if err == nil && stepped {
			err = errors.New("a step needs a range or *")
		}
		return err
	}
	b, err := f.value(high)
	if err == nil && b < a {
		err = fmt.Errorf("%s is a range that ends before it begins", body)
	}
	return err
}

func (f field) value(s string) (int, error) {
	if i := slices.Index(f.words, strings.ToLower(s)); i >= 0 {
		return f.min + i, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < f.min || n > f.max {
		return 0, fmt.Errorf("%q is not between %d and %d", s, f.min, f.max)
	}
	return n, nil
}
