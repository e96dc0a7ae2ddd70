package lzma

import (
	"encoding/binary"
	"io"
)

// IDs of filters that other formats have too.
const (
	FilterDelta = filterDelta
	FilterIA64  = filterIA64
	FilterThumb = filterThumb
)

// NewFilter returns a reader of what a filter makes of r; its ID and properties are those of .xz. The error is
// ErrUnsupported.
func NewFilter(r io.Reader, id uint64, props []byte) (io.Reader, error) {
	filter, err := newFilter(id, props)
	if err != nil {
		return nil, err
	}
	return filter(r), nil
}

// newFilter returns the decoder of a filter that stands before LZMA2 (xz-file-format, sections 5.3.2 and 5.3.3).
func newFilter(id uint64, props []byte) (func(io.Reader) io.Reader, error) {
	if id == filterDelta {
		if len(props) != 1 {
			return nil, unsupported("properties %#x of the delta filter", props)
		}
		return func(r io.Reader) io.Reader { return &delta{source: r, distance: props[0] + 1} }, nil
	}
	branch, ok := branches[id]
	if !ok {
		return nil, unsupported("filter %#x", id)
	}
	var start uint32
	switch len(props) {
	case 0:
	case 4:
		start = binary.LittleEndian.Uint32(props)
	default:
		return nil, unsupported("properties %#x of filter %#x", props, id)
	}
	if start%branch.alignment != 0 {
		return nil, unsupported("start %#x of filter %#x", start, id)
	}
	return func(r io.Reader) io.Reader {
		return &branchReader{source: r, convert: branch.decoder(), position: start, buf: make([]byte, branchBuffer)}
	}, nil
}

// delta adds to each byte the one that was a distance before.
type delta struct {
	source   io.Reader
	distance byte // 0 stands for 256
	history  [256]byte
	position byte // in history; both wrap around together
}

// Read implements io.Reader.
func (d *delta) Read(p []byte) (int, error) {
	count, err := d.source.Read(p)
	for i := range p[:count] {
		p[i] += d.history[d.position-d.distance]
		d.history[d.position] = p[i]
		d.position++
	}
	return count, err
}

const branchBuffer = 1 << 15

// branchReader decodes a filter for machine code: in it, the targets of branches are made absolute, so that calls of the
// same function look alike.
type branchReader struct {
	source    io.Reader
	convert   converter
	position  uint32 // of buf[converted:] in the code
	buf       []byte
	read      int
	converted int // buf[read:converted] can be handed out
	end       int // buf[converted:end] needs what follows it
	err       error
}

// converter makes the targets of branches relative again, in place, and returns how many bytes it is done with. The rest is
// the beginning of an instruction. position is that of the first byte.
type converter func(code []byte, position uint32) int

// Read implements io.Reader.
func (b *branchReader) Read(p []byte) (int, error) {
	for b.read == b.converted && b.err == nil {
		b.more()
	}
	count := copy(p, b.buf[b.read:b.converted])
	b.read += count
	if count == 0 && b.read == b.converted {
		return 0, b.err
	}
	return count, nil
}

func (b *branchReader) more() {
	b.end = copy(b.buf, b.buf[b.converted:b.end])
	b.read = 0
	var count int
	count, b.err = b.source.Read(b.buf[b.end:])
	b.end += count
	b.converted = b.convert(b.buf[:b.end], b.position)
	b.position += uint32(b.converted)
	if b.err == io.EOF { // no instruction, after all
		b.converted = b.end
	}
}
