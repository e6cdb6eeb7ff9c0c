package logbundle

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/updraft-cloud/updraft/internal/secret"
)

const (
	// piece is how much text is filtered at a time, in bytes.
	piece = 128 << 10
	// longest is a line's length above which it is not text for people.
	longest = 1 << 20
	// overlap is how much of the last piece is looked through again with the next,
	// for secrets that lines break.
	overlap = 4 << 10
)

// filter writes text on without secrets. It is to be closed, which writes the rest.
type filter struct {
	w   io.Writer
	red *secret.Redactor
	// config says that the text is configuration: what is set under a name that
	// means a secret is withheld, whoever made it.
	config bool
	// line hears of every line that is written.
	line func(string)

	rest  []byte // not yet filtered
	tail  string // the end of what was written
	inKey bool   // within a private key
	left  int64  // what may still be written; negative is no bound
	cut   bool
}

// Write implements [io.Writer]. It takes everything, also past the bound.
func (f *filter) Write(p []byte) (int, error) {
	f.rest = append(f.rest, p...)
	for len(f.rest) >= piece {
		end := bytes.LastIndexByte(f.rest, '\n') + 1
		if end == 0 {
			if len(f.rest) < longest {
				break
			}
			f.rest = fmt.Appendf(nil, "[a line of more than %d bytes was withheld]", longest)
			break
		}
		if err := f.flush(f.rest[:end]); err != nil {
			return 0, err
		}
		f.rest = append(f.rest[:0], f.rest[end:]...)
	}
	return len(p), nil
}

// Close filters what is left.
func (f *filter) Close() error {
	err := f.flush(f.rest)
	f.rest = nil
	return err
}

func (f *filter) flush(text []byte) error {
	if len(text) == 0 {
		return nil
	}
	clean := f.red.Redact(f.lines(string(text)))
	if hits := f.red.Find([]byte(f.tail + clean)); len(hits) > 0 {
		clean = fmt.Sprintf("[%d bytes were withheld: they hold the secret %s in a form that cannot be taken out]\n", len(text), hits[0].Secret)
	}
	f.tail = (f.tail + clean)[max(0, len(f.tail)+len(clean)-overlap):]
	return f.emit(clean)
}

// emit writes as much as may be written.
func (f *filter) emit(text string) error {
	if f.left >= 0 {
		if int64(len(text)) > f.left {
			text, f.cut = text[:f.left], true
		}
		f.left -= int64(len(text))
	}
	_, err := io.WriteString(f.w, text)
	return err
}

var (
	assignment  = regexp.MustCompile(`(?i)^(\s*["']?[\w.-]*(?:password|passwd|passphrase|secret|secret_key|auth_key|api_key|token|cookie)["']?\s*[:=]\s*)\S.*$`)
	credentials = regexp.MustCompile(`(://[^\s/:@]+:)[^\s/@]+@`)
)

const withheld = "[withheld]"

// lines takes out what looks like a secret, line by line: private keys, passwords
// in URLs and, in configuration, settings.
func (f *filter) lines(text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if f.line != nil {
			f.line(line)
		}
		switch {
		case strings.Contains(line, "-----BEGIN ") && strings.Contains(line, "PRIVATE KEY-----"):
			f.inKey = !strings.Contains(line, "-----END ")
			b.WriteString("[a private key was withheld]\n")
			continue
		case f.inKey && !strings.Contains(strings.TrimSpace(line), " "):
			continue
		case f.inKey: // its last line, or one of a text in which it has none
			f.inKey = false
			if strings.Contains(line, "-----END ") {
				continue
			}
		}
		line = credentials.ReplaceAllString(line, "${1}"+withheld+"@")
		if f.config {
			body, end := strings.TrimRight(line, "\n"), ""
			if len(body) < len(line) {
				end = "\n"
			}
			line = assignment.ReplaceAllString(body, "${1}"+withheld) + end
		}
		b.WriteString(line)
	}
	return b.String()
}
