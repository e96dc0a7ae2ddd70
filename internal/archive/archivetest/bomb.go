package archivetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/klauspost/compress/flate"
)

// zerosPiece is how many zeros are really compressed; a bomb repeats the result.
const zerosPiece = 1 << 20

// deflatedZeros returns a deflate stream of size zeros. Pieces that end in a flush at a byte and never look back are all
// the same, so that 10 GiB take as long as copying 10 MiB, and the stream itself compresses once more by a factor of 200.
func deflatedZeros(size int64) []byte {
	piece := deflateBlocks(make([]byte, zerosPiece))
	out := bytes.Repeat(piece, int(size/zerosPiece))
	out = append(out, deflateBlocks(make([]byte, size%zerosPiece))...)
	return append(out, storedDeflate(nil)...)
}

// deflateBlocks returns data as blocks that are not the last and end at a byte.
func deflateBlocks(data []byte) []byte {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.BestCompression)
	must(err)
	_, err = w.Write(data)
	must(err)
	must(w.Flush())
	return buf.Bytes()
}

// storedDeflate returns data as a deflate stream without compression (RFC 1951, 3.2.4).
func storedDeflate(data []byte) []byte {
	const blockMax = 1<<16 - 1
	out := make([]byte, 0, len(data)+5*(len(data)/blockMax+1))
	for {
		part := data[:min(len(data), blockMax)]
		if data = data[len(part):]; len(data) == 0 {
			return append(append(out, storedBlock(len(part), true)...), part...)
		}
		out = append(append(out, storedBlock(len(part), false)...), part...)
	}
}

func storedBlock(length int, last bool) []byte {
	b := []byte{0}
	if last {
		b[0] = 1
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(length))
	return binary.LittleEndian.AppendUint16(b, ^uint16(length))
}

// storedGzip is Gzip without compression.
func storedGzip(data []byte) []byte {
	return gzipMember(storedDeflate(data), crc32.ChecksumIEEE(data), int64(len(data)))
}

// gzipMember puts header and trailer around a deflate stream (RFC 1952, 2.3).
func gzipMember(deflated []byte, crc uint32, size int64) []byte {
	const unknownSystem = 255
	out := make([]byte, 0, len(deflated)+18)
	out = append(out, 0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, unknownSystem)
	out = append(out, deflated...)
	out = binary.LittleEndian.AppendUint32(out, crc)
	return binary.LittleEndian.AppendUint32(out, uint32(size))
}

// GzipOfZeros returns size zeros compressed by gzip, by a factor of 1000: 10 GiB take 10 MB, and 60 KB when they are
// compressed by Gzip again.
func GzipOfZeros(size int64) []byte { return gzipMember(deflatedZeros(size), crcOfZeros(size), size) }

// ZipOfZeros returns a zip archive with one file of size zeros.
func ZipOfZeros(name string, size int64) []byte { return RawZip(zerosEntry(name, size)) }

func zerosEntry(name string, size int64) ZipEntry {
	return ZipEntry{Name: name, Method: zipDeflate, CRC: crcOfZeros(size), Size: uint64(size), Packed: deflatedZeros(size)}
}

// NestedBomb returns a zip archive in the manner of 42.zip: each of depth layers holds width copies of the next, and the
// last layer one file of leaf zeros, in all leaf * width^(depth-1). 42.zip is NestedBomb(16, 6, 4<<30): 4.5 PB in 42 KB.
func NestedBomb(width, depth int, leaf int64) []byte {
	data := ZipOfZeros("0.dll", leaf)
	for range depth - 1 {
		packed := append(deflateBlocks(data), storedDeflate(nil)...)
		var w rawZipWriter
		for i := range width {
			w.add(ZipEntry{
				Name: fmt.Sprintf("lib %x.zip", i), Method: zipDeflate, CRC: crc32.ChecksumIEEE(data), Size: uint64(len(data)),
				Packed: packed,
			})
		}
		data = w.close()
	}
	return data
}

// OverlapBomb returns a zip archive whose entries share one piece of compressed zeros, without nesting: each entry quotes
// the local header of the next one in a block without compression and goes on in its data (David Fifield, "A better zip
// bomb", 2019; OverlapBomb(250, 21<<20) is about his zbsm.zip, 5.5 GB in 42 KB). Every entry is good and every checksum
// right.
func OverlapBomb(entries int, size int64) []byte {
	list := make([]ZipEntry, entries)
	last := zerosEntry(fmt.Sprintf("%04d", entries-1), size)
	list[entries-1] = last
	reversed := [][]byte{last.Packed} // the parts of the file, from its end on
	packed := len(last.Packed)
	for i := entries - 2; i >= 0; i-- {
		next := list[i+1]
		header := overlapHeader(next, packed)
		list[i] = ZipEntry{
			Name: fmt.Sprintf("%04d", i), Method: zipDeflate, Size: next.Size + uint64(len(header)),
			CRC: crcCombine(crc32.ChecksumIEEE(header), next.CRC, int64(next.Size)),
		}
		reversed = append(reversed, header, storedBlock(len(header), false))
		packed += len(header) + 5
	}
	return layOverlap(list, append(reversed, overlapHeader(list[0], packed)))
}

// overlapHeader returns the local header of an entry whose data is not known in one piece.
func overlapHeader(e ZipEntry, packed int) []byte {
	header := localHeader(e)
	binary.LittleEndian.PutUint32(header[18:], uint32(packed))
	return header
}

// layOverlap writes the parts, which come in reverse, and the directory of the entries that begin in them.
func layOverlap(list []ZipEntry, reversed [][]byte) []byte {
	var w rawZipWriter
	for i := len(reversed) - 1; i >= 0; i-- {
		w.out = append(w.out, reversed[i]...)
	}
	at := 0
	for _, e := range list {
		e.Packed = w.out[at+len(localHeader(e)):]
		w.list(e, uint64(at))
		at += len(localHeader(e)) + 5
	}
	return w.close()
}

// SameDataBomb returns a zip archive all of whose entries point to the same local header: the simplest overlap. The names
// in the directory differ from the one in the header.
func SameDataBomb(entries int, size int64) []byte {
	var w rawZipWriter
	w.add(zerosEntry("0000", size))
	e := zerosEntry("", size)
	for i := 1; i < entries; i++ {
		e.Name = fmt.Sprintf("%04d", i)
		w.list(e, 0)
	}
	return w.close()
}

// crcOfZeros returns the CRC-32 of size zeros, in a time that grows with the number of digits of size.
func crcOfZeros(size int64) uint32 { return crcShift(crcMask, size) ^ crcMask }

// crcCombine returns the CRC-32 of two pieces after one another, of which the second has the given size. It is the same
// whether the pieces are bytes or polynomials: the first one is shifted by the size of the second.
func crcCombine(first, second uint32, size int64) uint32 { return crcShift(first, size) ^ second }

// crcMask is what the register of CRC-32 starts with, and is exclusive-ored with in the end.
const crcMask = 1<<32 - 1

// crcShift multiplies by x^(8*size) modulo the polynomial of CRC-32, whose bits stand reversed.
func crcShift(crc uint32, size int64) uint32 {
	power := uint32(1 << (31 - 8)) // x^8
	for ; size > 0; size >>= 1 {
		if size&1 == 1 {
			crc = crcMultiply(crc, power)
		}
		power = crcMultiply(power, power)
	}
	return crc
}

func crcMultiply(a, b uint32) uint32 {
	product := uint32(0)
	for bit := uint32(1 << 31); bit > 0; bit >>= 1 {
		if a&bit != 0 {
			product ^= b
		}
		odd := b & 1
		b >>= 1
		if odd == 1 {
			b ^= crc32.IEEE
		}
	}
	return product
}
