package fake

import (
	"io"
	"sync"
)

// pipeSize is how much a pipe holds, as on Linux (pipe(7)).
const pipeSize = 64 << 10

// pipe is a bounded buffer between a writer and a reader.
type pipe struct {
	mu     sync.Mutex
	moved  sync.Cond
	buf    []byte
	closed bool // no more will be written
	broken bool // nobody reads or writes any more
}

func newPipe() *pipe {
	p := &pipe{}
	p.moved.L = &p.mu
	return p
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) == 0 && !p.closed && !p.broken {
		p.moved.Wait()
	}
	if len(p.buf) == 0 {
		return 0, io.EOF
	}
	n := copy(b, p.buf)
	p.buf = p.buf[n:]
	p.moved.Broadcast()
	return n, nil
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	done := 0
	for done < len(b) {
		for len(p.buf) >= pipeSize && !p.closed && !p.broken {
			p.moved.Wait()
		}
		if p.closed || p.broken {
			return done, io.ErrClosedPipe
		}
		n := min(pipeSize-len(p.buf), len(b)-done)
		p.buf = append(p.buf, b[done:done+n]...)
		done += n
		p.moved.Broadcast()
	}
	return done, nil
}

// Close ends the input of the reader, after what is in the pipe.
func (p *pipe) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.moved.Broadcast()
	return nil
}

// breakOff wakes up both ends.
func (p *pipe) breakOff() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	p.moved.Broadcast()
}
