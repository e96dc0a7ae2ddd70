package archive

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
	"io"

	"talon/internal/archive/lzma"
)

// Sizes of the parts of a lzip member (draft-diaz-lzip-09, section 2).
const (
	lzipHeader  = 6
	lzipTrailer = 20
)

// lzipReader decompresses all members of a lzip file. The decoder of archiver.Lzip reads the whole file into memory,
// takes several members for one and never looks at the checksum.
type lzipReader struct {
	input      *bufio.Reader
	dictionary int64 // the largest allowed
	member     *lzma.Reader
	members    int
	sum        uint32
	size       uint64
}

// Read implements io.Reader.
func (z *lzipReader) Read(p []byte) (int, error) {
	for {
		if z.member == nil {
			if err := z.next(); err != nil {
				return 0, err
			}
		}
		count, err := z.member.Read(p)
		z.sum = crc32.Update(z.sum, crc32.IEEETable, p[:count])
		z.size += uint64(count)
		if err == io.EOF {
			err = z.check()
		}
		if count > 0 || err != nil {
			return count, err
		}
	}
}

// next opens the next member; io.EOF if there is none, errTrailing if something else follows.
func (z *lzipReader) next() error {
	header, err := z.input.Peek(lzipHeader)
	switch {
	case len(header) == 0 && err == io.EOF && z.members > 0:
		return io.EOF
	case z.members > 0 && (len(header) < lzipHeader || string(header[:4]) != "LZIP"):
		return errTrailing
	case err == io.EOF:
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case string(header[:4]) != "LZIP" || header[4] != 1:
		return fault(ReasonUnsupportedMethod, "version %d of lzip", header[4])
	}
	size := lzipDictionary(header[5])
	if int64(size) > z.dictionary {
		return lzma.ErrDictionary
	}
	if _, err := z.input.Discard(lzipHeader); err != nil {
		return err
	}
	const properties, unknown = (2*5+0)*9 + 3, -1 // fixed: pb = 2, lp = 0, lc = 3
	member, err := lzma.NewReader(z.input, properties, size, unknown)
	if err != nil {
		return err
	}
	z.member, z.sum, z.size = member, 0, 0
	z.members++
	return nil
}

// lzipDictionary decodes the size of the dictionary: a power of two, less some sixteenths of it.
func lzipDictionary(coded byte) uint32 {
	base := uint32(1) << (coded & 0x1f)
	return base - base/16*uint32(coded>>5)
}

// check compares the member that ended with its trailer.
func (z *lzipReader) check() error {
	var trailer [lzipTrailer]byte
	if _, err := io.ReadFull(z.input, trailer[:]); err != nil {
		return io.ErrUnexpectedEOF
	}
	z.member = nil
	if binary.LittleEndian.Uint32(trailer[:]) != z.sum || binary.LittleEndian.Uint64(trailer[4:]) != z.size {
		return fault(ReasonCorrupt, "the checksum of a lzip member does not match")
	}
	return nil
}
