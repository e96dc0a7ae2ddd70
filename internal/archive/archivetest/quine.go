package archivetest

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
	"slices"
)

// GzipQuine returns a gzip file that decompresses to itself, and so on for ever. It is built as Russ Cox described ("Zip
// Files All The Way Down", 2010). A decoder that goes on opening what it finds never ends.
func GzipQuine() []byte {
	const hasName = 8
	head := append([]byte{0x1f, 0x8b, 8, hasName, 0, 0, 0, 0, 0, 255}, "r.gz\x00"...)
	size := uint32(len(deflateQuine(head, make([]byte, 8))))
	return withOwnCRC(func(crc uint32) []byte {
		tail := binary.LittleEndian.AppendUint32(nil, crc)
		return deflateQuine(head, binary.LittleEndian.AppendUint32(tail, size))
	})
}

// ZipQuine returns a zip archive whose only file is the archive itself.
func ZipQuine() []byte {
	// The extra field brings the local header to the length at which deflateQuine has an opcode for it.
	const id, headLength = 0x4343, 60
	e := ZipEntry{Name: "r.zip", Method: zipDeflate}
	padding := headLength - len(localHeader(e)) - 4
	e.LocalExtra = append(extraHeader(id, padding), make([]byte, padding)...)

	build := func(e ZipEntry, packed int) []byte {
		head := overlapHeader(e, packed)
		var w rawZipWriter
		w.out = make([]byte, len(head)+packed)
		w.list(e, 0)
		tail := w.close()[len(w.out):]
		binary.LittleEndian.PutUint32(tail[20:], uint32(packed))
		return deflateQuine(head, tail)
	}
	size := len(build(e, 0))
	e.Size = uint64(size)
	packed := size - headLength - (46 + len(e.Name)) - 22
	return withOwnCRC(func(crc uint32) []byte {
		e.CRC = crc
		return build(e, packed)
	})
}

// deflateQuine returns head, a deflate stream and tail such that the stream decompresses to all three. The program, in
// opcodes of 5 bytes: L(n) prints the n bytes that follow it, R(n) prints the last n bytes of the output again.
//
//	code                              output
//	[head]
//	L(h+5) [head] L(h+5)              [head] L(h+5)
//	R(h+5)                            [head] L(h+5)
//	L(5) R(h+5)                       R(h+5)
//	L(5) L(5)                         L(5)
//	L(20) R(h+5) L(5) L(5) L(20)      R(h+5) L(5) L(5) L(20)
//	R(20)                             R(h+5) L(5) L(5) L(20)
//	L(20) R(20) L(20) R(20) L(20)     R(20) L(20) R(20) L(20)
//	R(20)                             R(20) L(20) R(20) L(20)
//	L(20) R(20) L(0) L(0) L(t)        R(20) L(0) L(0) L(t)
//	R(20)                             R(20) L(0) L(0) L(t)
//	L(0) L(0) L(t) R(t) [tail]        R(t) [tail]
//	R(t)                              R(t) [tail]
//	[tail]
func deflateQuine(head, tail []byte) []byte {
	L := func(n int) []byte { return storedBlock(n, false) }
	h := L(len(head) + 5)
	rh, r20 := repeatBlock(len(head)+5, false), repeatBlock(20, false)
	rt := repeatLast(len(tail))
	l0, l5, l20, lt := L(0), L(5), L(20), L(len(rt)+len(tail))
	return slices.Concat(
		head, h, head, h, rh, l5, rh, l5, l5, l20, rh, l5, l5, l20, r20, l20, r20, l20, r20, l20, r20,
		l20, r20, l0, l0, lt, r20, l0, l0, lt, rt, tail, rt, tail)
}

// repeatLast returns the last block, which repeats itself and a tail.
func repeatLast(tail int) []byte {
	for length := 1; ; length++ {
		if block := repeatBlock(tail+length, true); len(block) == length {
			return block
		}
	}
}

// repeatBlock returns a block of fixed Huffman codes that repeats the last n bytes, n being 17 to 20, 22 to 114 for the last
// block and 65 or 66. Unless it is the last it takes exactly 5 bytes: for that, short copies are made in two halves, and an
// empty block follows long ones.
func repeatBlock(n int, last bool) []byte {
	var w bitWriter
	w.open(last)
	if n <= 20 {
		w.match(n-n/2, n)
		w.match(n/2, n)
	} else {
		w.match(n, n)
	}
	w.code(0, 7) // the end of the block
	if n > 20 && !last {
		w.open(false)
		w.code(0, 7)
	}
	return w.out
}

// bitWriter writes deflate's bits, the lowest of each byte first.
type bitWriter struct {
	out   []byte
	count int
}

func (w *bitWriter) bits(v uint32, n int) {
	for ; n > 0; n-- {
		if w.count%8 == 0 {
			w.out = append(w.out, 0)
		}
		w.out[w.count/8] |= byte(v&1) << (w.count % 8)
		v >>= 1
		w.count++
	}
}

// code writes a Huffman code, whose highest bit comes first.
func (w *bitWriter) code(v uint32, n int) { w.bits(bits.Reverse32(v)>>(32-n), n) }

// open begins a block of fixed codes.
func (w *bitWriter) open(last bool) {
	if last {
		w.bits(1, 1)
	} else {
		w.bits(0, 1)
	}
	w.bits(1, 2)
}

// match copies length bytes, 3 to 114, from a distance of 5 to 128 (RFC 1951, 3.2.5).
func (w *bitWriter) match(length, distance int) {
	symbol, extra, n := lengthCode(length)
	w.code(symbol, 7)
	w.bits(extra, n)
	symbol, extra, n = distanceCode(distance)
	w.code(symbol, 5)
	w.bits(extra, n)
}

// lengthCode returns the fixed code of a length, which counts from 257 on in 7 bits, and the bits that follow it.
func lengthCode(length int) (symbol, extra uint32, n int) {
	if length <= 10 {
		return uint32(length - 2), 0, 0
	}
	n = bits.Len(uint(length-3)) - 3
	return uint32(4*n+1) + uint32(length-3)>>n, uint32(length-3) & (1<<n - 1), n
}

func distanceCode(distance int) (symbol, extra uint32, n int) {
	n = bits.Len(uint(distance-1)) - 2
	return uint32(2*n) + uint32(distance-1)>>n, uint32(distance-1) & (1<<n - 1), n
}

// withOwnCRC returns build(crc) such that crc is its own CRC-32. As long as build only copies crc, each bit of the checksum
// is a sum of bits of crc and a constant: 32 equations with 32 unknowns.
func withOwnCRC(build func(crc uint32) []byte) []byte {
	constant := crc32.ChecksumIEEE(build(0))
	var rows [32]uint64 // the equation of each bit: coefficients, and the constant above them
	for bit := range 32 {
		column := crc32.ChecksumIEEE(build(1<<bit)) ^ constant ^ 1<<bit
		for row := range rows {
			rows[row] |= uint64(column>>row&1) << bit
		}
	}
	for row := range rows {
		rows[row] |= uint64(constant>>row&1) << 32
	}
	return build(solve(rows))
}

// solve is Gauss-Jordan elimination over bits.
func solve(rows [32]uint64) (solution uint32) {
	for column := range rows {
		pivot := column
		for rows[pivot]>>column&1 == 0 {
			pivot++
		}
		rows[column], rows[pivot] = rows[pivot], rows[column]
		for row := range rows {
			if row != column && rows[row]>>column&1 == 1 {
				rows[row] ^= rows[column]
			}
		}
	}
	for column, row := range rows {
		solution |= uint32(row>>32) << column
	}
	return solution
}
