package lzma

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"
)

// Parts of an .xz file (xz-file-format 1.2.1, sections 2 and 3).
const (
	xzMagic       = "\xfd7zXZ\x00"
	xzFooterMagic = "YZ"
	xzFlagsSize   = 2
	xzCRCSize     = 4
	xzHeaderSize  = len(xzMagic) + xzFlagsSize + xzCRCSize
	xzAlignment   = 4
)

// xzReader decodes .xz files.
type xzReader struct {
	source  *counter
	maxDict uint32
	flags   [xzFlagsSize]byte // of the stream
	check   hash.Hash         // of the block's data; nil = none
	lzma2   *Reader2          // kept from block to block for its memory
	dict    uint32            // of lzma2
	block   *xzBlock          // nil between blocks
	index   xzIndex           // of what was read
	err     error             // sticky
}

// counter counts the bytes read.
type counter struct {
	*bufio.Reader
	count int64
}

// Read implements io.Reader.
func (c *counter) Read(p []byte) (int, error) {
	count, err := c.Reader.Read(p)
	c.count += int64(count)
	return count, err
}

// NewXZReader returns a reader for an .xz file: all streams in it, with all checks verified. A dictionary larger than
// maxDict bytes is ErrDictionary. No more memory than the dictionary is used, and a constant (400 KiB).
func NewXZReader(r io.Reader, maxDict uint32) (io.Reader, error) {
	source, ok := r.(*bufio.Reader)
	if !ok {
		source = bufio.NewReaderSize(r, inputSize)
	}
	x := &xzReader{source: &counter{Reader: source}, maxDict: maxDict}
	if err := x.openStream(); err != nil {
		return nil, err
	}
	return x, nil
}

// Read implements io.Reader.
func (x *xzReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		count, err := x.block.data.Read(p)
		if x.check != nil {
			x.check.Write(p[:count])
		}
		x.block.unpacked += int64(count)
		if err == io.EOF {
			err = x.endBlock()
		}
		x.err = err
		if count > 0 {
			return count, nil
		}
	}
	return 0, x.err
}

// openStream reads the header of a stream.
func (x *xzReader) openStream() error {
	var header [xzHeaderSize]byte
	count, err := io.ReadFull(x.source, header[:])
	if magic := header[:min(count, len(xzMagic))]; err == nil || err == io.EOF || err == io.ErrUnexpectedEOF {
		if string(magic) != xzMagic[:len(magic)] {
			return corrupted("no header of xz")
		}
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	if err != nil {
		return err
	}
	flags := header[len(xzMagic):][:xzFlagsSize]
	if crc32.ChecksumIEEE(flags) != binary.LittleEndian.Uint32(header[len(xzMagic)+xzFlagsSize:]) {
		return corrupted("the checksum of a stream's header does not match")
	}
	x.flags = [xzFlagsSize]byte(flags)
	x.index = newXZIndex()
	return x.openCheck()
}

var crc64Table = crc64.MakeTable(crc64.ECMA)

// openCheck prepares for the check that the stream's flags name (section 2.1.1.2).
func (x *xzReader) openCheck() error {
	if x.flags[0] != 0 || x.flags[1] > 0xf {
		return unsupported("flags %#x of a stream", x.flags)
	}
	switch x.flags[1] {
	case 0x0:
		x.check = nil
	case 0x1:
		x.check = crc32.NewIEEE()
	case 0x4:
		x.check = crc64.New(crc64Table)
	case 0xa:
		x.check = sha256.New()
	default:
		return unsupported("check %#x", x.flags[1])
	}
	return nil
}

// next opens the next block, or ends the stream and opens the next one: io.EOF if there is none.
func (x *xzReader) next() error {
	start := x.source.count
	size, err := readByte(x.source)
	if err != nil {
		return err
	}
	if size != indexIndicator {
		return x.openBlock(size)
	}
	if err := x.index.verify(x.source); err != nil {
		return err
	}
	if err := x.endStream(x.source.count - start); err != nil {
		return err
	}
	return x.nextStream()
}

// endStream reads the footer of a stream, behind an index of that many bytes.
func (x *xzReader) endStream(index int64) error {
	const sizeSize = 4
	var footer [xzCRCSize + sizeSize + xzFlagsSize + len(xzFooterMagic)]byte
	if err := readFull(x.source, footer[:]); err != nil {
		return err
	}
	fields := footer[xzCRCSize:][:sizeSize+xzFlagsSize]
	backward := (int64(binary.LittleEndian.Uint32(fields)) + 1) * xzAlignment
	switch {
	case string(footer[len(footer)-len(xzFooterMagic):]) != xzFooterMagic:
		return corrupted("no footer of xz")
	case crc32.ChecksumIEEE(fields) != binary.LittleEndian.Uint32(footer[:]):
		return corrupted("the checksum of a stream's footer does not match")
	case backward != index || !bytes.Equal(fields[sizeSize:], x.flags[:]):
		return corrupted("header and footer of a stream do not match")
	}
	return nil
}

// nextStream skips the padding behind a stream and opens the next stream: io.EOF if there is none.
func (x *xzReader) nextStream() error {
	for {
		start, err := x.source.Peek(len(xzMagic))
		if err != nil && err != io.EOF {
			return err
		}
		if string(start) == xzMagic {
			return x.openStream()
		}
		if len(start) == 0 {
			return io.EOF
		}
		if len(start) < xzAlignment || string(start[:xzAlignment]) != "\x00\x00\x00\x00" {
			return ErrTrailing
		}
		if _, err := x.source.Discard(xzAlignment); err != nil {
			return err
		}
	}
}

func readByte(r io.Reader) (byte, error) {
	var b [1]byte
	err := readFull(r, b[:])
	return b[0], err
}
