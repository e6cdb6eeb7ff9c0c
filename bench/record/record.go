// Package record keeps measurements. What was measured once is kept at once: a
// benchmark that is cut off goes on where it was, and nothing is measured twice.
package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/google/renameio/v2"
)

// ID says what was measured.
type ID struct {
	Part  string `json:"part"`            // config, lab, plan, noop
	Tool  string `json:"tool,omitempty"`  // who did it, where there are rivals
	Case  string `json:"case"`            // first, again, drift, up, …
	Hosts int    `json:"hosts,omitempty"` // size of the cloud
	Run   int    `json:"run"`             // from 1
}

// Sample is one measurement.
type Sample struct {
	ID
	Value float64 `json:"value"`
	Unit  string  `json:"unit"` // s, MiB, …
	// CPU is the processor time in seconds that was spent on what was measured,
	// on all hosts together, 0 when not taken.
	CPU float64 `json:"cpu_s,omitempty"`
	// Others is the share of the computer, from 0 to 1, that was in use by
	// others: before the measurement began or during it, whichever is more.
	Others float64   `json:"others"`
	At     time.Time `json:"at"`
}

// Computer is where the measurements were made.
type Computer struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory"` // bytes
	Kernel string `json:"kernel"`
	System string `json:"system"`
}

// File is what is kept: a whole benchmark.
type File struct {
	Version  string            `json:"version"` // of updraft
	Computer Computer          `json:"computer"`
	Tools    map[string]string `json:"tools,omitempty"` // versions of rivals
	Samples  []Sample          `json:"samples"`

	path string
}

// New begins a benchmark that is kept at path. What was there is replaced with
// the first sample.
func New(path string) *File { return &File{path: path, Tools: map[string]string{}} }

// Open goes on with the benchmark that is kept at path, or begins one.
func Open(path string) (*File, error) {
	f := New(path)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot go on with the benchmark: %w", err)
	}
	if err := json.Unmarshal(data, f); err != nil {
		return nil, fmt.Errorf("cannot go on with the benchmark in %s: %w", path, err)
	}
	if f.Tools == nil {
		f.Tools = map[string]string{}
	}
	return f, nil
}

// Has reports whether the measurement was made already.
func (f *File) Has(id ID) bool {
	return slices.ContainsFunc(f.Samples, func(s Sample) bool { return s.ID == id })
}

// Add keeps samples, durably, before it returns.
func (f *File) Add(samples ...Sample) error {
	for _, s := range samples {
		s.At = time.Now().UTC().Truncate(time.Second)
		f.Samples = append(f.Samples, s)
	}
	return f.Save()
}

// Save writes the file; a reader sees the old content or the new.
func (f *File) Save() error {
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
		return fmt.Errorf("cannot keep a measurement: %w", err)
	}
	if err := renameio.WriteFile(f.path, append(data, '\n'), 0o644); err != nil {
		return fmt.Errorf("cannot keep a measurement: %w", err)
	}
	return nil
}

// Series are the values of all runs of one measurement.
type Series []Sample

// Of returns the runs of what id names; its run does not count.
func (f *File) Of(id ID) Series {
	var out Series
	for _, s := range f.Samples {
		id.Run = s.Run
		if s.ID == id {
			out = append(out, s)
		}
	}
	return out
}

// Undisturbed returns the runs before which others used no more than the given
// share of the computer; with fewer than least of them, all runs.
func (s Series) Undisturbed(share float64, least int) Series {
	var out Series
	for _, x := range s {
		if x.Others <= share {
			out = append(out, x)
		}
	}
	if len(out) < least {
		return s
	}
	return out
}

// Median returns the median of the values, 0 without any.
func (s Series) Median() float64 { return s.median(func(x Sample) float64 { return x.Value }) }

// CPU returns the median of the processor times.
func (s Series) CPU() float64 { return s.median(func(x Sample) float64 { return x.CPU }) }

func (s Series) median(of func(Sample) float64) float64 {
	if len(s) == 0 {
		return 0
	}
	v := make([]float64, len(s))
	for i, x := range s {
		v[i] = of(x)
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

// Range returns the smallest and the largest value.
func (s Series) Range() (low, high float64) {
	for i, x := range s {
		if i == 0 || x.Value < low {
			low = x.Value
		}
		high = max(high, x.Value)
	}
	return low, high
}
