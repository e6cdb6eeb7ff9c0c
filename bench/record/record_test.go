package record

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMedian(t *testing.T) {
	tests := []struct {
		rule   string
		values []float64
		want   float64
	}{
		{"of nothing is 0", nil, 0},
		{"of one is that one", []float64{3}, 3},
		{"is the middle one in order, not in time", []float64{9, 1, 2}, 2},
		{"of an even number is between the middle two", []float64{4, 1, 2, 100}, 3},
	}
	for _, tt := range tests {
		t.Run(tt.rule, func(t *testing.T) {
			var s Series
			for _, v := range tt.values {
				s = append(s, Sample{Value: v})
			}
			if got := s.Median(); got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestABenchmarkThatWasCutOffGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results", "latest.json")
	first := New(path)
	one := ID{Part: "config", Tool: "updraft", Case: "again", Hosts: 20, Run: 1}
	if err := first.Add(Sample{ID: one, Value: 0.5, Unit: "s"}); err != nil {
		t.Fatal(err)
	}
	second, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	two := one
	two.Run = 2
	if !second.Has(one) || second.Has(two) {
		t.Errorf("has run 1: %v, run 2: %v", second.Has(one), second.Has(two))
	}
	if err := second.Add(Sample{ID: two, Value: 0.7, Unit: "s"}); err != nil {
		t.Fatal(err)
	}
	low, high := second.Of(one).Range()
	if low != 0.5 || high != 0.7 {
		t.Errorf("runs go from %v to %v", low, high)
	}
}

func TestOpenRefusesWhatItCannotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "latest.json")
	if err := os.WriteFile(path, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}

func TestUsedProcessorTime(t *testing.T) {
	// user nice system idle iowait irq softirq steal guest guest_nice
	got, err := used([]byte("cpu  100 1 50 9000 800 2 3 4 70 7\ncpu0 1 1 1\n"))
	if err != nil || got != 1600*time.Millisecond {
		t.Errorf("got %v, %v; want the sum without idle, iowait and guest", got, err)
	}
	if _, err := used([]byte("nonsense\n")); err == nil {
		t.Error("nonsense was read")
	}
}
