package lzma

import (
	"bufio"
	"io"
)

// Reader decodes a raw LZMA stream.
type Reader struct {
	output
	source *bufio.Reader
	filled int   // bytes of the input that came from the source
	ended  bool  // the source has no more
	left   int64 // bytes of output; below 0: not known
}

// NewReader returns a reader for a raw LZMA stream: no header, the first byte is that of the range coder. props is the byte
// of properties ((pb*5+lp)*9+lc). dictSize is in bytes, and so is size, that of the decoded data: -1 if only a marker tells
// the end. A marker is allowed in any case. No more memory than dictSize is used, and a constant (6 MiB for the oddest
// properties, 200 KiB for the usual ones).
//
// After io.EOF, a *bufio.Reader with a buffer of at least 64 bytes stands at the first byte behind the stream; any other
// source may have been read further.
func NewReader(r io.Reader, props byte, dictSize uint32, size int64) (*Reader, error) {
	source, ok := r.(*bufio.Reader)
	if !ok || source.Size() < 2*inputMargin {
		source = bufio.NewReaderSize(r, inputSize)
	}
	z := &Reader{source: source, left: size}
	if !z.setProps(props) {
		return nil, corrupted("properties %#x of LZMA", props)
	}
	z.window = newWindow(dictSize)
	z.resetState()
	z.output.more = z.start
	return z, nil
}

// start begins to decode.
func (z *Reader) start() error {
	if err := z.refill(); err != nil {
		return err
	}
	if z.filled < rangeHeader {
		return io.ErrUnexpectedEOF
	}
	if !z.startRange() {
		return corrupted("the range coder starts wrongly")
	}
	z.output.more = z.decodeMore
	return nil
}

// refill replaces the bytes of the input that were decoded.
func (z *Reader) refill() error {
	if err := z.release(); err != nil {
		return err
	}
	data, err := z.source.Peek(inputMargin + 1)
	if err != nil && err != io.EOF {
		return err
	}
	z.ended = err == io.EOF
	if !z.ended {
		data, _ = z.source.Peek(min(z.source.Buffered(), inputSize))
	}
	z.filled = copy(z.in[:], data)
	z.inLimit = z.filled
	if z.ended {
		clear(z.in[z.filled : z.filled+inputMargin])
	} else {
		z.inLimit -= inputMargin
	}
	return nil
}

// release tells the source which bytes were decoded.
func (z *Reader) release() error {
	_, err := z.source.Discard(min(z.ip, z.filled))
	z.ip, z.filled = 0, 0
	return err
}

func (z *Reader) decodeMore() error {
	if z.left == 0 {
		return z.finish()
	}
	want := step
	if z.left > 0 {
		want = int(min(z.left, step))
	}
	end := z.room(want)
	start := z.pos
	result := z.decode(end)
	if z.left > 0 {
		z.left -= int64(z.pos - start)
	}
	switch {
	case z.ip > z.filled:
		return io.ErrUnexpectedEOF
	case result == impossible:
		return corrupted("an impossible distance")
	case result == atMarker && z.left > 0:
		return corrupted("the end is marked too early")
	case result == atMarker:
		return z.end()
	case z.pos == end:
		return nil
	case z.ended:
		return io.ErrUnexpectedEOF
	}
	return z.refill()
}

// finish ends a stream of known size, when all data was decoded.
func (z *Reader) finish() error {
	if z.pending > 0 {
		return corrupted("a match is too long")
	}
	if z.ip > z.inLimit && !z.ended {
		if err := z.refill(); err != nil {
			return err
		}
	}
	z.normalise()
	if z.code == 0 {
		return z.end()
	}
	end := z.room(1)
	at := z.pos
	result := z.decode(end)
	z.pos = at // nothing but the marker may come
	if z.ip <= z.filled && result != atMarker {
		return corrupted("data goes on behind its end")
	}
	return z.end()
}

// end leaves the source behind the stream.
func (z *Reader) end() error {
	z.normalise()
	switch {
	case z.ip > z.filled:
		return io.ErrUnexpectedEOF
	case z.code != 0:
		return corrupted("the range coder ends wrongly")
	}
	if err := z.release(); err != nil {
		return err
	}
	return io.EOF
}
