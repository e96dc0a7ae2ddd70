package lzma

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
)

// indexIndicator stands where the size of the next block's header would be (xz-file-format, section 4.1).
const indexIndicator = 0x00

// xzIndex has what an index says: a number of blocks and their sizes, of which it keeps only a hash, for there can be many.
type xzIndex struct {
	blocks uint64
	hash   hash.Hash
}

func newXZIndex() xzIndex {
	return xzIndex{hash: sha256.New()}
}

// add takes the sizes of a block: in the file, without padding, and decoded.
func (i *xzIndex) add(unpadded, unpacked int64) {
	i.blocks++
	var record [16]byte
	binary.LittleEndian.PutUint64(record[:], uint64(unpadded))
	binary.LittleEndian.PutUint64(record[8:], uint64(unpacked))
	i.hash.Write(record[:])
}

// verify reads the index of a stream, whose first byte is already read, and compares it with the blocks there were.
func (i *xzIndex) verify(r io.Reader) error {
	input := &summed{source: r}
	input.note([]byte{indexIndicator})
	blocks, err := readVarint(input)
	if err != nil {
		return err
	}
	if blocks != i.blocks {
		return corrupted("the index has another number of blocks")
	}
	listed := newXZIndex()
	for range blocks {
		unpadded, err := readVarint(input)
		if err != nil {
			return err
		}
		unpacked, err := readVarint(input)
		if err != nil {
			return err
		}
		listed.add(int64(unpadded), int64(unpacked))
	}
	if string(listed.hash.Sum(nil)) != string(i.hash.Sum(nil)) {
		return corrupted("the index has other sizes of blocks")
	}
	if err := readZeros(input, -input.count&(xzAlignment-1)); err != nil {
		return err
	}
	var sum [xzCRCSize]byte
	if err := readFull(r, sum[:]); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(sum[:]) != input.sum {
		return corrupted("the checksum of an index does not match")
	}
	return nil
}

// summed counts and sums up what is read.
type summed struct {
	source io.Reader
	count  int64
	sum    uint32
}

func (s *summed) note(p []byte) {
	s.count += int64(len(p))
	s.sum = crc32.Update(s.sum, crc32.IEEETable, p)
}

// Read implements io.Reader.
func (s *summed) Read(p []byte) (int, error) {
	count, err := s.source.Read(p)
	s.note(p[:count])
	return count, err
}

// readVarint reads an integer of 63 bits: 7 in a byte, the lowest first (section 1.2).
func readVarint(r io.Reader) (uint64, error) {
	var value uint64
	for shift := 0; shift < 63; shift += 7 {
		b, err := readByte(r)
		if err != nil {
			return 0, err
		}
		value |= uint64(b&0x7f) << shift
		if b < 0x80 {
			if b == 0 && shift > 0 {
				break // a longer form than needed
			}
			return value, nil
		}
	}
	return 0, corrupted("an integer is coded wrongly")
}
