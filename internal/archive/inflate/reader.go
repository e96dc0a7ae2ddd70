// Package inflate decompresses DEFLATE (RFC 1951), DEFLATE64 (APPNOTE.TXT 4.4.5, method 9) and gzip (RFC 1952).
//
// It is made for speed: a reservoir of 64 bits, tables that know the extra bits of a symbol, matches copied in large
// pieces. It needs neither assembly nor package unsafe: damaged input cannot reach memory that is not its own.
package inflate

import (
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt is wrapped by the errors for data that cannot be decompressed; they say what is wrong with it.
var ErrCorrupt = errors.New("corrupt compressed data")

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }

// chunk is how many bytes are decompressed at once, behind the window.
const chunk = 96 << 10

// Reader decompresses one stream. It takes about 200 KB of memory, whatever the stream says. It is not for concurrent use.
//
// It reads ahead, for a look at each byte of the source would cost more than all the rest. When the stream has ended,
// Buffered returns what it took of the source and did not need. It never waits for a byte behind the end of the stream.
type Reader struct {
	in      input
	variant *variant
	tables  *tables // of the current block
	own     tables
	sizes   [maxLiterals + distances]uint8 // lengths of the codes of the current block

	step     func(*Reader) error // what goes on when there is room
	final    bool                // this block is the last
	stored   int                 // bytes left of a stored block
	length   int                 // bytes left of a match
	distance int                 // of the match; 0: still to be read

	out  []byte // the window, what is decompressed, room
	sent int    // end of what was read
	pos  int    // end of what is decompressed
	err  error
}

// NewReader returns a reader of a DEFLATE stream.
func NewReader(r io.Reader) *Reader { return newReader(r, deflate) }

// NewReader64 returns a reader of a DEFLATE64 stream: its window has 64 KiB, and a match up to 65,538 bytes.
func NewReader64(r io.Reader) *Reader { return newReader(r, deflate64) }

func newReader(r io.Reader, v *variant) *Reader {
	d := &Reader{variant: v, out: make([]byte, v.window+chunk)}
	d.Reset(r)
	return d
}

// Reset makes the reader ready for another stream. It keeps its memory and allocates nothing.
func (d *Reader) Reset(r io.Reader) {
	d.in.reset(r)
	d.restart()
}

// restart begins a stream where the input stands.
func (d *Reader) restart() {
	d.step, d.final, d.err = (*Reader).blockHeader, false, nil
	d.stored, d.length, d.distance = 0, 0, 0
	d.sent, d.pos = 0, 0
}

// Buffered returns what was read from the source behind the end of the stream, once Read has returned io.EOF. It is valid
// until Reset.
func (d *Reader) Buffered() []byte { return d.in.buf[d.in.pos:d.in.end] }

// Read implements io.Reader. Whatever could be decompressed is there before the error: one that wraps ErrCorrupt,
// io.ErrUnexpectedEOF if the stream is not all there, or an error of the source.
func (d *Reader) Read(p []byte) (int, error) { return read(d, p) }

// WriteTo implements io.WriterTo, with the errors of Read.
func (d *Reader) WriteTo(w io.Writer) (int64, error) { return writeTo(d, w) }

// ready returns what is decompressed and not yet read: at least one byte, or an error.
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

func (d *Reader) advance(n int) { d.sent += n }

func (d *Reader) hasRoom() bool { return d.pos <= len(d.out)-outputMargin }

// slide makes room: of what was read, it keeps the window.
func (d *Reader) slide() {
	if !d.hasRoom() {
		copy(d.out, d.out[d.pos-d.variant.window:d.pos])
		d.sent, d.pos = d.variant.window, d.variant.window
	}
}

// decompressor is what Reader and GzipReader have in common.
type decompressor interface {
	ready() ([]byte, error)
	advance(n int)
}

func read(d decompressor, p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	data, err := d.ready()
	n := copy(p, data)
	d.advance(n)
	return n, err
}

func writeTo(d decompressor, w io.Writer) (total int64, err error) {
	for {
		data, err := d.ready()
		if err == io.EOF {
			return total, nil
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(data)
		d.advance(n)
		total += int64(n)
		if err == nil && n < len(data) {
			err = io.ErrShortWrite
		}
		if err != nil {
			return total, err
		}
	}
}
