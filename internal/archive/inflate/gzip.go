package inflate

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"time"
)

// ErrHeader means that the data does not begin as gzip data does, or that a member has a header that cannot be.
var ErrHeader = errors.New("not a gzip header")

// ErrTrailing means that something else follows the last member, be it zeros. All members were read and are sound.
var ErrTrailing = errors.New("something else follows the gzip data")

// Header is what a gzip member says about the file in it (RFC 1952, 2.3.1).
type Header struct {
	Name    string    // as stored: the standard says ISO 8859-1, writers take the bytes they find; at most 1,024 bytes
	ModTime time.Time // zero if unknown
}

// GzipReader decompresses gzip data, all members of it as one stream. It is not for concurrent use.
type GzipReader struct {
	Header // of the first member
	body   Reader
	sum    uint32 // CRC-32 of what the current member has given so far
	size   uint32 // and its size, modulo 2^32
	err    error
}

// NewGzipReader returns a reader of gzip data. It reads the header of the first member; for its errors see Reset.
func NewGzipReader(r io.Reader) (*GzipReader, error) {
	z := &GzipReader{body: Reader{variant: deflate, out: make([]byte, deflate.window+chunk)}}
	if err := z.Reset(r); err != nil {
		return nil, err
	}
	return z, nil
}

// Reset makes the reader ready for other gzip data, whose first header it reads: ErrHeader if it is none,
// io.ErrUnexpectedEOF if it is not all there, or an error of the source. It allocates nothing but the name.
func (z *GzipReader) Reset(r io.Reader) error {
	z.body.Reset(r)
	z.Header = Header{}
	z.begin()
	header := gzipHeader{in: &z.body.in}
	if _, err := header.mark(); err != nil {
		z.err = noEOF(err)
		return z.err
	}
	z.Header, z.err = header.rest()
	return z.err
}

func (z *GzipReader) begin() {
	z.body.restart()
	z.sum, z.size = 0, 0
}

// Read implements io.Reader. Whatever could be decompressed is there before the error: ErrTrailing, one that wraps
// ErrCorrupt (a checksum or a size that does not match, too), ErrHeader for a further member with a bad header,
// io.ErrUnexpectedEOF if a member is not all there, or an error of the source.
func (z *GzipReader) Read(p []byte) (int, error) { return read(z, p) }

// WriteTo implements io.WriterTo, with the errors of Read.
func (z *GzipReader) WriteTo(w io.Writer) (int64, error) { return writeTo(z, w) }

func (z *GzipReader) ready() ([]byte, error) {
	for z.err == nil {
		summed := z.body.sent < z.body.pos
		data, err := z.body.ready()
		if err == nil {
			if !summed {
				z.sum = crc32.Update(z.sum, crc32.IEEETable, data)
				z.size += uint32(len(data))
			}
			return data, nil
		}
		if err == io.EOF {
			err = z.nextMember()
		}
		z.err = err
	}
	return nil, z.err
}

func (z *GzipReader) advance(n int) { z.body.advance(n) }

// nextMember checks the member that has ended and begins the next one; io.EOF if there is none.
func (z *GzipReader) nextMember() error {
	if err := z.checkTrailer(); err != nil {
		return err
	}
	header := gzipHeader{in: &z.body.in}
	if have, err := header.mark(); err == ErrHeader || err == io.EOF && have > 0 {
		return ErrTrailing
	} else if err != nil {
		return err
	}
	z.begin()
	_, err := header.rest()
	return err
}

// checkTrailer compares a member with its trailer (RFC 1952, 2.3.1).
func (z *GzipReader) checkTrailer() error {
	var trailer [8]byte
	for i := range trailer {
		b, err := z.body.in.byte()
		if err != nil {
			return noEOF(err)
		}
		trailer[i] = b
	}
	if binary.LittleEndian.Uint32(trailer[:]) != z.sum {
		return corrupt("the checksum of a gzip member does not match")
	}
	if binary.LittleEndian.Uint32(trailer[4:]) != z.size {
		return corrupt("the size of a gzip member does not match")
	}
	return nil
}

// Flags of a gzip header (RFC 1952, 2.3.1). The three highest bits must be zero.
const (
	flagHeaderSum = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
	flagsReserved = 0xe0
)

const maxName = 1024

// gzipHeader reads a header byte by byte. The first error stays.
type gzipHeader struct {
	in  *input
	sum uint32 // CRC-32 of the header so far
	err error
}

// mark reads what every member begins with. It returns how many bytes of it are there, and ErrHeader if something else is.
func (h *gzipHeader) mark() (int, error) {
	for i, want := range [...]byte{0x1f, 0x8b, 8} {
		got := h.byte()
		if h.err != nil {
			return i, h.err
		}
		if got != want {
			return i, ErrHeader
		}
	}
	return 3, nil
}

// rest reads what follows the mark.
func (h *gzipHeader) rest() (Header, error) {
	var fixed [7]byte // flags, time, two bytes of no interest
	for i := range fixed {
		fixed[i] = h.byte()
	}
	var header Header
	if seconds := binary.LittleEndian.Uint32(fixed[1:]); seconds != 0 {
		header.ModTime = time.Unix(int64(seconds), 0).UTC()
	}
	flags := fixed[0]
	if flags&flagExtra != 0 {
		for n := h.uint16(); n > 0 && h.err == nil; n-- {
			h.byte()
		}
	}
	if flags&flagName != 0 {
		header.Name = h.text()
	}
	if flags&flagComment != 0 {
		h.text()
	}
	sum := uint16(h.sum)
	mismatch := flags&flagHeaderSum != 0 && h.uint16() != sum
	if h.err == nil && (mismatch || flags&flagsReserved != 0) {
		return Header{}, ErrHeader
	}
	return header, noEOF(h.err)
}

// byte takes a byte; 0 if there is none.
func (h *gzipHeader) byte() byte {
	if h.err != nil {
		return 0
	}
	b, err := h.in.byte()
	if h.err = err; err == nil {
		h.sum = ^h.sum
		h.sum = ^(crc32.IEEETable[byte(h.sum)^b] ^ h.sum>>8)
	}
	return b
}

func (h *gzipHeader) uint16() uint16 {
	low := h.byte()
	return uint16(low) | uint16(h.byte())<<8
}

// text takes a text that ends with a zero byte, but keeps only the beginning of one that is too long.
func (h *gzipHeader) text() string {
	var text []byte
	for b := h.byte(); b != 0; b = h.byte() {
		if len(text) < maxName {
			text = append(text, b)
		}
	}
	return string(text)
}
