package render

import (
	"errors"
	"strconv"
	"strings"

	"github.com/updraft-cloud/updraft/internal/lb/amphora"
)

// writer writes lines of a HAProxy configuration, each word quoted.
type writer struct {
	b    strings.Builder
	errs []error
}

// section begins one, such as frontend NAME.
func (w *writer) section(words ...string) {
	if w.b.Len() > 0 {
		w.b.WriteByte('\n')
	}
	w.words("", words)
}

// line writes a keyword with its arguments.
func (w *writer) line(words ...string) { w.words("    ", words) }

func (w *writer) words(indent string, words []string) {
	w.b.WriteString(indent)
	for i, s := range words {
		if err := amphora.Printable("value", s); err != nil {
			w.errs = append(w.errs, err)
			s = ""
		}
		if i > 0 {
			w.b.WriteByte(' ')
		}
		w.b.WriteString(amphora.Quote(s))
	}
	w.b.WriteByte('\n')
}

func (w *writer) text() (string, error) { return w.b.String(), errors.Join(w.errs...) }

// maxMillis is some more than 24 days; HAProxy's timers are of 31 bits.
const maxMillis = 2_100_000_000

func millis(n int) string { return strconv.Itoa(min(max(n, 0), maxMillis)) + "ms" }

// seconds are at least one: HAProxy has no check without a pause.
func seconds(n int) string { return strconv.Itoa(min(max(n, 1), maxMillis/1000)) + "s" }
