package control

import (
	"testing"
	"time"
)

func TestAPatienceIsCountedByTheProcessesOwnClock(t *testing.T) {
	var w waits
	now := time.Date(2026, 11, 22, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		rule               string
		began, first, then time.Time
		want               time.Duration
	}{
		{"begun a while ago", now.Add(-time.Minute), now, now.Add(time.Second), 61 * time.Second},
		{"the clock was set back since", now.Add(time.Hour), now, now.Add(5 * time.Second), 5 * time.Second},
		{"another wait", now, now, now.Add(time.Second), time.Second},
	} {
		w.since("a", c.began, c.first)
		if got := w.since("a", c.began, c.then); got != c.want {
			t.Errorf("%s: %s and not %s", c.rule, got, c.want)
		}
	}
	w.end("a")
	if len(w.byID) != 0 {
		t.Error("it is remembered after its end")
	}
}
