// Package inflate decompresses DEFLATE (RFC 1951), DEFLATE64 (APPNOTE.TXT 4.4.5, method 9) and gzip (RFC 1952).
package inflate

import (
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt wraps what is wrong with data that cannot be decompressed.
var ErrCorrupt = errors.New("corrupt compressed data")

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// chunk is how much is decompressed at once, behind the window.
const chunk = 96 << 10

// Reader decompresses one stream. It is not for concurrent use.
//
// It reads ahead: when the stream has ended, Buffered is what it took of the source and did not need. It never waits for
// a byte behind the end of the stream.
type Reader struct {
	in      input
	variant *variant
	tables  *tables // of the current block
	own     tables
	sizes   [literals + distances]uint8

	step     func(*Reader) error // what goes on when there is room
	final    bool                // this block is the last
	stored   int                 // bytes left of a stored block
	length   int                 // bytes left of a match
	distance int                 // of the match; 0: still to be read

	out  []byte // the window, what is decompressed and not yet read, room
	pos  int    // end of what is decompressed
	sent int    // end of what was read
	err  error
}

// NewReader returns a reader of a DEFLATE stream.
func NewReader(r io.Reader) *Reader { return newReader(r, deflate) }

// NewReader64 returns a reader of a DEFLATE64 stream.
func NewReader64(r io.Reader) *Reader { return newReader(r, deflate64) }

func newReader(r io.Reader, v *variant) *Reader {
	d := &Reader{variant: v, out: make([]byte, v.window+chunk)}
	d.Reset(r)
	return d
}

// Reset makes the reader ready for another stream. It allocates nothing.
func (d *Reader) Reset(r io.Reader) {
	d.in.reset(r)
	d.restart()
}

// restart begins a stream where the input stands.
func (d *Reader) restart() {
	d.step, d.final, d.err = (*Reader).header, false, nil
	d.stored, d.length, d.distance, d.pos, d.sent = 0, 0, 0, 0, 0
}

// Buffered returns what was read from the source behind the end of the stream, once Read has returned io.EOF. It is valid
// until the next call.
func (d *Reader) Buffered() []byte { return d.in.buf[d.in.pos:d.in.end] }

// Read implements io.Reader. An error comes when all that could be decompressed before it has been read: ErrCorrupt,
// io.ErrUnexpectedEOF if the stream is not all there, or an error of the source.
func (d *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	ready, err := d.ready()
	n := copy(p, ready)
	d.sent += n
	return n, err
}

// WriteTo implements io.WriterTo.
func (d *Reader) WriteTo(w io.Writer) (int64, error) {
	total := int64(0)
	for {
		ready, err := d.ready()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(ready)
		d.sent += n
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// ready returns what is decompressed and not yet read, at least one byte, or an error.
func (d *Reader) ready() ([]byte, error) {
	for d.sent == d.pos {
		if d.err != nil {
			return nil, d.err
		}
		d.slide()
		for d.err == nil && d.hasRoom() {
			d.err = d.step(d)
		}
	}
	return d.out[d.sent:d.pos], nil
}

func (d *Reader) hasRoom() bool { return d.pos <= len(d.out)-outputMargin }

// slide makes room: it keeps nothing but the window.
func (d *Reader) slide() {
	if !d.hasRoom() {
		copy(d.out, d.out[d.pos-d.variant.window:d.pos])
		d.pos, d.sent = d.variant.window, d.variant.window
	}
}
