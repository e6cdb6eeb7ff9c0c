package hostagent

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"sync"
)

// stderr follows the standard error of a session: it finds sudo's prompt, which
// has no newline, passes lines on, and keeps the last of them for errors.
type stderr struct {
	prompt  string
	prompts int

	mu   sync.Mutex
	tail []string
	err  error
}

// tailLines is how many lines an error may quote.
const tailLines = 5

// lineLimit is where a line without an end is cut off.
const lineLimit = 16 << 10

// read reads until the end.
func (s *stderr) read(r io.Reader, log func(string), prompted func()) {
	var line []byte
	buf := make([]byte, 4<<10)
	for {
		n, err := r.Read(buf)
		line = append(line, buf[:n]...)
		if before, after, found := bytes.Cut(line, []byte(s.prompt)); found {
			line = slices.Concat(before, after)
			s.prompts++
			prompted()
		}
		for {
			text, rest, found := bytes.Cut(line, []byte("\n"))
			if !found && len(line) < lineLimit && err == nil {
				break
			}
			s.keep(string(text), log)
			if line = rest; len(line) == 0 {
				break
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *stderr) keep(text string, log func(string)) {
	if text = strings.TrimRight(text, "\r"); text == "" {
		return
	}
	log(text)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tail = append(s.tail, text)
	s.tail = s.tail[max(0, len(s.tail)-tailLines):]
}

// fail notes why the session is being ended from here.
func (s *stderr) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = err
	}
}

func (s *stderr) why() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// words returns ": " and the last lines, or nothing.
func (s *stderr) words() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.tail) == 0 {
		return ""
	}
	return ": " + strings.Join(s.tail, "; ")
}
