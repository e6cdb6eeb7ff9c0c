package proto

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// MaxFrame bounds the JSON of a frame, in bytes.
const MaxFrame = 64 << 20

// ErrTooLarge means that a frame is larger than [MaxFrame].
var ErrTooLarge = errors.New("frame too large")

const headerSize = 4

// Reader reads frames.
type Reader struct {
	r   io.Reader
	buf bytes.Buffer
}

// NewReader returns a reader of frames from r.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// keepBuffer is up to which size the buffer is kept for the next frame.
const keepBuffer = 64 << 10

// Read decodes the next frame into v. The end between frames is io.EOF; within
// one it is io.ErrUnexpectedEOF.
func (r *Reader) Read(v any) error {
	var header [headerSize]byte
	if _, err := io.ReadFull(r.r, header[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(header[:])
	if n > MaxFrame {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	r.buf.Reset()
	if r.buf.Cap() > keepBuffer {
		r.buf = bytes.Buffer{}
	}
	// Copied piece by piece: a false header must not cost its claim in memory.
	if _, err := io.CopyN(&r.buf, r.r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if err := json.Unmarshal(r.buf.Bytes(), v); err != nil {
		return fmt.Errorf("cannot decode a frame: %w", err)
	}
	return nil
}

// Writer writes frames. It is safe for concurrent use.
type Writer struct {
	mu sync.Mutex
	w  io.Writer
}

// NewWriter returns a writer of frames to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Write encodes v as one frame and writes it at once.
func (w *Writer) Write(v any) error {
	var buf bytes.Buffer
	buf.Write(make([]byte, headerSize))
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("cannot encode a frame: %w", err)
	}
	n := buf.Len() - headerSize
	if n > MaxFrame {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, n)
	}
	binary.BigEndian.PutUint32(buf.Bytes(), uint32(n))
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.w.Write(buf.Bytes())
	return err
}
