package lzma

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
)

// Filters (xz-file-format, section 5.3).
const (
	filterDelta  = 0x03
	filterX86    = 0x04
	filterPPC    = 0x05
	filterIA64   = 0x06
	filterARM    = 0x07
	filterThumb  = 0x08
	filterSPARC  = 0x09
	filterARM64  = 0x0a
	filterLZMA2  = 0x21
	maxDictBits  = 40 // the coded size of the dictionary that stands for 4 GiB - 1
	unknownSize  = -1
	filtersMask  = 0x03
	reservedMask = 0x3c
	hasPacked    = 0x40
	hasUnpacked  = 0x80
)

// xzBlock is a block while it is read.
type xzBlock struct {
	data         io.Reader
	headerSize   int64
	packedAt     int64 // position in the source
	unpacked     int64 // bytes decoded so far
	wantPacked   int64 // what the header says, or unknownSize
	wantUnpacked int64
}

// openBlock reads the header of a block (section 3.1); size is its first byte.
func (x *xzReader) openBlock(size byte) error {
	header := make([]byte, (int(size)+1)*xzAlignment)
	header[0] = size
	if err := readFull(x.source, header[1:]); err != nil {
		return err
	}
	fields, sum := header[:len(header)-xzCRCSize], header[len(header)-xzCRCSize:]
	if crc32.ChecksumIEEE(fields) != binary.LittleEndian.Uint32(sum) {
		return corrupted("the checksum of a block's header does not match")
	}
	block := &xzBlock{headerSize: int64(len(header)), packedAt: x.source.count}
	flags := fields[1]
	rest := bytes.NewReader(fields[2:])
	if flags&reservedMask != 0 {
		return unsupported("flags %#x of a block", flags)
	}
	var err error
	if block.wantPacked, err = optionalSize(rest, flags&hasPacked != 0); err != nil {
		return err
	}
	if block.wantUnpacked, err = optionalSize(rest, flags&hasUnpacked != 0); err != nil {
		return err
	}
	if block.data, err = x.openFilters(rest, int(flags&filtersMask)); err != nil {
		return err
	}
	if !onlyZeros(fields[len(fields)-rest.Len():]) {
		return unsupported("fields in a block's header")
	}
	if x.check != nil {
		x.check.Reset()
	}
	x.block = block
	return nil
}

func optionalSize(r io.Reader, present bool) (int64, error) {
	if !present {
		return unknownSize, nil
	}
	size, err := readVarint(r)
	return int64(size), inHeader(err)
}

// inHeader says that a field is missing in a header that is there as a whole.
func inHeader(err error) error {
	if err == io.ErrUnexpectedEOF {
		return corrupted("the header of a block is too short")
	}
	return err
}

// openFilters puts the decoders together: LZMA2 is listed last and decodes first.
func (x *xzReader) openFilters(header io.Reader, others int) (io.Reader, error) {
	var filters []func(io.Reader) io.Reader
	for range others {
		id, props, err := readFilter(header)
		if err != nil {
			return nil, err
		}
		filter, err := newFilter(id, props)
		if err != nil {
			return nil, err
		}
		filters = append(filters, filter)
	}
	id, props, err := readFilter(header)
	if err != nil {
		return nil, err
	}
	if id != filterLZMA2 {
		return nil, unsupported("filter %#x at the end of the chain", id)
	}
	data, err := x.openLZMA2(props)
	if err != nil {
		return nil, err
	}
	for i := len(filters) - 1; i >= 0; i-- {
		data = filters[i](data)
	}
	return data, nil
}

// readFilter reads which filter there is, and its properties.
func readFilter(header io.Reader) (id uint64, props []byte, err error) {
	id, err = readVarint(header)
	if err != nil {
		return 0, nil, inHeader(err)
	}
	size, err := readVarint(header)
	if err != nil {
		return 0, nil, inHeader(err)
	}
	const largestHeader = 1 << 10
	if size > largestHeader {
		return 0, nil, corrupted("a filter has too many properties")
	}
	props = make([]byte, size)
	return id, props, inHeader(readFull(header, props))
}

// openLZMA2 opens the LZMA2 stream at the source, with the memory of the block before if that is as large.
func (x *xzReader) openLZMA2(props []byte) (io.Reader, error) {
	if len(props) != 1 || props[0] > maxDictBits {
		return nil, unsupported("properties %#x of LZMA2", props)
	}
	dict := uint32(math.MaxUint32)
	if bits := props[0]; bits < maxDictBits {
		dict = (2 | uint32(bits&1)) << (bits/2 + 11)
	}
	if dict > x.maxDict {
		return nil, ErrDictionary
	}
	if x.lzma2 != nil && x.dict == dict {
		x.lzma2.Reset(x.source)
		return x.lzma2, nil
	}
	var err error
	x.lzma2, err = NewReader2(x.source, dict)
	x.dict = dict
	return x.lzma2, err
}

// endBlock compares what was read with what the block says of itself (sections 3.3 and 3.4).
func (x *xzReader) endBlock() error {
	block := x.block
	x.block = nil
	packed := x.source.count - block.packedAt
	if block.wantPacked >= 0 && packed != block.wantPacked || block.wantUnpacked >= 0 && block.unpacked != block.wantUnpacked {
		return corrupted("a block has another size than its header says")
	}
	if err := readZeros(x.source, -packed&(xzAlignment-1)); err != nil {
		return err
	}
	size := block.headerSize + packed
	if x.check != nil {
		sum, err := x.readCheck()
		if err != nil {
			return err
		}
		if !bytes.Equal(sum, x.check.Sum(nil)) {
			return corrupted("the checksum of a block does not match")
		}
		size += int64(len(sum))
	}
	x.index.add(size, block.unpacked)
	return nil
}

// readCheck reads a stored checksum, and returns it as package hash would.
func (x *xzReader) readCheck() ([]byte, error) {
	sum := make([]byte, x.check.Size())
	if err := readFull(x.source, sum); err != nil {
		return nil, err
	}
	if len(sum) <= 8 { // the CRCs are little-endian
		for i, j := 0, len(sum)-1; i < j; i, j = i+1, j-1 {
			sum[i], sum[j] = sum[j], sum[i]
		}
	}
	return sum, nil
}

// readZeros reads padding.
func readZeros(r io.Reader, count int64) error {
	padding := make([]byte, count)
	if err := readFull(r, padding); err != nil {
		return err
	}
	if !onlyZeros(padding) {
		return corrupted("the padding is not zero")
	}
	return nil
}

func onlyZeros(p []byte) bool {
	for _, b := range p {
		if b != 0 {
			return false
		}
	}
	return true
}
