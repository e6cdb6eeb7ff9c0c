package ssh

import (
	"bytes"
	"io"
	"strconv"
	"time"
)

// output passes an output of a command on, and can be cut off while the reader
// waits. What comes before the line with the token is dropped: it is what login
// shells print unasked. The line itself tells the process group.
type output struct {
	io.Reader
	pipe    *io.PipeWriter
	started chan struct{} // closed when the line with the token has come, or cannot
	pgid    int           // valid when started is closed; 0 when unknown
}

// noiseLimit bounds what a login shell may print before the token; beyond, all
// of it is taken for the command's own.
const noiseLimit = 1 << 20

func newOutput(r io.Reader, token string) *output {
	pr, pw := io.Pipe()
	o := &output{Reader: pr, pipe: pw, started: make(chan struct{})}
	go func() {
		rest := o.begin(r, token)
		close(o.started)
		_, err := pw.Write(rest)
		if err == nil {
			_, err = io.Copy(pw, r)
		}
		_, _ = io.Copy(io.Discard, r) // else what is left would hold up the other output
		pw.CloseWithError(err)        // io.EOF when nil
	}()
	return o
}

// begin reads up to the token and returns what it has read beyond.
func (o *output) begin(r io.Reader, token string) []byte {
	if token == "" {
		return nil
	}
	var seen []byte
	for buf := make([]byte, 4<<10); len(seen) < noiseLimit; {
		n, err := r.Read(buf)
		seen = append(seen, buf[:n]...)
		if _, after, ok := bytes.Cut(seen, []byte(token+" ")); ok {
			if group, rest, ok := bytes.Cut(after, []byte("\n")); ok {
				o.pgid, _ = strconv.Atoi(string(group))
				return rest
			}
		}
		if err != nil {
			break
		}
	}
	return seen
}

// group returns the process group, for which it waits a little.
func (o *output) group() int {
	select {
	case <-o.started:
		return o.pgid
	case <-time.After(closeGrace):
		return 0
	}
}

// cutOff ends the output for a reader that waits for more.
func (o *output) cutOff() { _ = o.pipe.Close() }
