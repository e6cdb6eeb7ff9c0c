package ui

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/updraft-cloud/updraft/internal/engine"
)

// Live repaints a few lines at the bottom of a terminal: what runs where, for
// how long and how long it took last time. Finished steps scroll by above.
type Live struct {
	w        io.Writer
	size     func() (cols, rows int)
	expected func(kind string) time.Duration

	mu      sync.Mutex
	start   time.Time
	running map[string]*step
	pending strings.Builder // lines to scroll by at the next repaint
	done    int
	total   int
	blocked int
	failed  int
	painted int // lines on the screen to go back over
	stop    chan struct{}
	stopped chan struct{}
}

type step struct {
	engine.Event
	last string // its last line of output
}

// NewLive starts repainting on w ten times a second until Close. total is how
// many steps are known; expected returns how long a step of a kind usually
// takes, or zero.
func NewLive(w io.Writer, size func() (cols, rows int), total int, expected func(kind string) time.Duration) *Live {
	l := &Live{
		w: w, size: size, expected: expected, total: total, start: time.Now(),
		running: map[string]*step{}, stop: make(chan struct{}), stopped: make(chan struct{}),
	}
	go l.loop()
	return l
}

func (l *Live) loop() {
	defer close(l.stopped)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.paint(false)
		case <-l.stop:
			l.paint(true)
			return
		}
	}
}

// Close stops repainting and leaves only the lines that scrolled by.
func (l *Live) Close() {
	close(l.stop)
	<-l.stopped
}

// Event is the [engine.Sink].
func (l *Live) Event(e engine.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Type {
	case engine.EvStart:
		l.running[e.ID] = &step{Event: e}
	case engine.EvLine, engine.EvRetry:
		if s := l.running[e.ID]; s != nil {
			s.last = firstLine(e.Line + e.Err)
		}
	case engine.EvDone, engine.EvFail:
		delete(l.running, e.ID)
		if e.Kind != engine.KindHost && e.Kind != engine.KindTurn {
			l.done++
		}
		if e.Type == engine.EvFail {
			l.failed++
		}
	case engine.EvBlocked:
		l.blocked++
		return // counted below, listed in the summary
	}
	if line := printable(eventLine(e, false)); line != "" {
		l.pending.WriteString(line + "\n")
	}
}

func (l *Live) paint(last bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	cols, rows := l.size()
	var b strings.Builder
	if l.painted > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", l.painted)
	}
	b.WriteString(l.pending.String())
	l.pending.Reset()
	l.painted = 0
	if !last {
		for _, line := range l.status(rows/2, time.Now()) {
			b.WriteString(short(line, max(cols-1, 20)) + "\n")
			l.painted++
		}
	}
	_, _ = io.WriteString(l.w, b.String()) // as in Lines
}

// status renders what is under way in at most rows lines, the longest first.
func (l *Live) status(rows int, now time.Time) []string {
	steps := make([]*step, 0, len(l.running))
	for _, s := range l.running {
		steps = append(steps, s)
	}
	slices.SortFunc(steps, func(a, b *step) int { return a.Time.Compare(b.Time) })
	head := fmt.Sprintf("── %s  %d done, %d running", now.Sub(l.start).Round(time.Second), l.done, len(steps))
	if waiting := l.total - l.done - len(steps) - l.blocked; waiting > 0 {
		head += fmt.Sprintf(", %d waiting", waiting)
	}
	if l.failed > 0 {
		head += fmt.Sprintf(", %d failed, %d blocked", l.failed, l.blocked)
	}
	lines := []string{head}
	for i, s := range steps {
		if i >= max(rows-2, 3) {
			lines = append(lines, fmt.Sprintf("   and %d more", len(steps)-i))
			break
		}
		lines = append(lines, l.stepLine(s, now))
	}
	return lines
}

func (l *Live) stepLine(s *step, now time.Time) string {
	line := fmt.Sprintf("   %-12s %-36s %5s", where(s.Event), what(s.Event), now.Sub(s.Time).Round(100*time.Millisecond))
	if x := l.expected(s.Kind); x > 0 {
		line += fmt.Sprintf(" of ~%s", x.Round(100*time.Millisecond))
	}
	switch {
	case s.last != "":
		line += "  " + printable(strings.ReplaceAll(s.last, "\t", " "))
	case len(s.Needs) > 0:
		line += "  after " + strings.Join(s.Needs, ", ")
	}
	return line
}
