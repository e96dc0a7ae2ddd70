package inflate_test

import (
	"math/bits"
	"slices"
)

// bitWriter writes DEFLATE and DEFLATE64 streams, also such as no compressor would write.
type bitWriter struct {
	out   []byte
	used  uint // bits of the last byte
	large bool // DEFLATE64
}

// put writes n bits, the lowest first.
func (w *bitWriter) put(value, n int) *bitWriter {
	for i := range n {
		if w.used%8 == 0 {
			w.out = append(w.out, 0)
		}
		w.out[len(w.out)-1] |= byte(value>>i&1) << (w.used % 8)
		w.used++
	}
	return w
}

func (w *bitWriter) align() *bitWriter {
	w.used = uint(len(w.out)) * 8
	return w
}

func (w *bitWriter) header(final bool, kind int) *bitWriter {
	if final {
		return w.put(1, 1).put(kind, 2)
	}
	return w.put(0, 1).put(kind, 2)
}

// stored writes blocks without compression.
func (w *bitWriter) stored(final bool, data []byte) *bitWriter {
	for {
		part := data[:min(len(data), 0xffff)]
		data = data[len(part):]
		w.header(final && len(data) == 0, 0).align()
		w.put(len(part), 16).put(len(part)^0xffff, 16)
		w.out = append(w.out, part...)
		if w.align(); len(data) == 0 {
			return w
		}
	}
}

// code is a canonical Huffman code: the lengths of its codes, the codes, and which symbols they stand for.
type code struct {
	sizes   []uint8
	codes   []int
	symbols map[[2]int]int // of length and code
}

func newCode(sizes []uint8) code {
	c := code{sizes, make([]int, len(sizes)), map[[2]int]int{}}
	next := 0
	for n := uint8(1); n <= 15; n++ {
		next <<= 1
		for symbol, size := range sizes {
			if size == n {
				c.codes[symbol] = next
				c.symbols[[2]int{int(n), next}] = symbol
				next++
			}
		}
	}
	return c
}

func (w *bitWriter) symbol(c code, symbol int) *bitWriter {
	n := int(c.sizes[symbol])
	return w.put(int(bits.Reverse16(uint16(c.codes[symbol]<<(16-n)))), n)
}

// fixedCodes are those of RFC 1951, 3.2.6.
func fixedCodes() (literals, distances code) {
	same := func(size uint8, count int) []uint8 { return slices.Repeat([]uint8{size}, count) }
	sizes := slices.Concat(same(8, 144), same(9, 112), same(7, 24), same(8, 8))
	return newCode(sizes), newCode(same(5, 32))
}

// dynamicHeader writes the codes of a block, each length with four bits.
func (w *bitWriter) dynamicHeader(literals, distances []uint8) *bitWriter {
	w.lengthCode(len(literals), len(distances), slices.Repeat([]uint8{4}, 16))
	for _, size := range slices.Concat(literals, distances) {
		w.put(int(bits.Reverse8(size)>>4), 4)
	}
	return w
}

// lengthCode writes the beginning of a header: how many codes there are, and the code of their lengths.
func (w *bitWriter) lengthCode(literals, distances int, sizes []uint8) *bitWriter {
	w.put(literals-257, 5).put(distances-1, 5).put(19-4, 4)
	sizes = append(slices.Clone(sizes), make([]uint8, 19-len(sizes))...)
	for _, symbol := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15} {
		w.put(int(sizes[symbol]), 3)
	}
	return w
}

// token is a literal, or a match.
type token struct {
	literal          byte
	length, distance int
}

// symbols of lengths and distances, with their extra bits, as the tables of RFC 1951, 3.2.5, have them.
var (
	lengthBase = []int{
		3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258,
	}
	lengthExtra  = []int{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceBase = []int{
		1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073,
		4097, 6145, 8193, 12289, 16385, 24577, 32769, 49153,
	}
	distanceExtra = []int{
		0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13, 14, 14,
	}
)

// lengthSymbol returns the symbol of a length, what the extra bits say, and their number.
func (w *bitWriter) lengthSymbol(length int) (int, int, int) {
	if w.large && length >= 258 {
		return 285, length - 3, 16
	}
	i := lastNotAbove(lengthBase, length)
	return 257 + i, length - lengthBase[i], lengthExtra[i]
}

func lastNotAbove(bases []int, value int) int {
	i, found := slices.BinarySearch(bases, value)
	if found {
		return i
	}
	return i - 1
}

func (w *bitWriter) match(literals, distances code, length, distance int) *bitWriter {
	symbol, extra, n := w.lengthSymbol(length)
	w.symbol(literals, symbol).put(extra, n)
	i := lastNotAbove(distanceBase, distance)
	return w.symbol(distances, i).put(distance-distanceBase[i], distanceExtra[i])
}

func (w *bitWriter) tokens(literals, distances code, tokens []token) *bitWriter {
	for _, t := range tokens {
		if t.length == 0 {
			w.symbol(literals, int(t.literal))
		} else {
			w.match(literals, distances, t.length, t.distance)
		}
	}
	return w.symbol(literals, 256)
}

func (w *bitWriter) fixed(final bool, tokens []token) *bitWriter {
	literals, distances := fixedCodes()
	return w.header(final, 1).tokens(literals, distances, tokens)
}

// dynamic writes a block with codes of its own, some of them as long as they can be.
func (w *bitWriter) dynamic(final bool, tokens []token) *bitWriter {
	literals, distances := make([]int, 286), make([]int, 30)
	if w.large {
		distances = make([]int, 32)
	}
	literals[256]++
	for _, t := range tokens {
		if t.length == 0 {
			literals[t.literal]++
			continue
		}
		symbol, _, _ := w.lengthSymbol(t.length)
		literals[symbol]++
		distances[lastNotAbove(distanceBase, t.distance)]++
	}
	l, d := newCode(skewed(literals)), newCode(skewed(distances))
	return w.header(final, 2).dynamicHeader(l.sizes, d.sizes).tokens(l, d, tokens)
}

// skewed returns the lengths of a complete code: those of the most frequent symbols grow bit by bit, the others share
// what is left evenly. A symbol alone gets one bit.
func skewed(counts []int) []uint8 {
	var used []int
	for symbol, n := range counts {
		if n > 0 {
			used = append(used, symbol)
		}
	}
	slices.SortStableFunc(used, func(a, b int) int { return counts[b] - counts[a] })
	sizes := make([]uint8, len(counts))
	depth := 0
	for ; len(used) > 1 && depth+1+bits.Len(uint(len(used)-2)) <= 15; depth++ {
		sizes[used[0]], used = uint8(depth+1), used[1:]
	}
	width := max(bits.Len(uint(len(used)))-1, 0)
	long := 2 * (len(used) - 1<<width) // codes with a bit more
	for i, symbol := range used {
		sizes[symbol] = uint8(depth + width)
		if i >= len(used)-long {
			sizes[symbol]++
		}
	}
	if depth == 0 && len(used) == 1 {
		sizes[used[0]] = 1
	}
	return sizes
}

// tokenise finds matches greedily, wherever the same three bytes were last.
func (w *bitWriter) tokenise(data []byte) []token {
	window, longest := 32<<10, 258
	if w.large {
		window, longest = 64<<10, 65538
	}
	last := map[[3]byte]int{}
	var tokens []token
	for i := 0; i < len(data); {
		t := token{literal: data[i]}
		if i+3 <= len(data) {
			if from, ok := last[[3]byte(data[i:])]; ok && i-from <= window {
				t.distance = i - from
				for t.length < min(longest, len(data)-i) && data[from+t.length] == data[i+t.length] {
					t.length++
				}
			}
		}
		for stop := i + max(1, t.length); i < stop; i++ {
			if i+3 <= len(data) {
				last[[3]byte(data[i:])] = i
			}
		}
		tokens = append(tokens, t)
	}
	return tokens
}

// compress writes a stream with blocks of all kinds.
func (w *bitWriter) compress(data []byte, blockTokens int) []byte {
	at, kind := 0, 0
	for tokens := w.tokenise(data); len(tokens) > 0; kind++ {
		block := tokens[:min(len(tokens), blockTokens)]
		tokens = tokens[len(block):]
		size := 0
		for _, t := range block {
			size += max(1, t.length)
		}
		switch kind % 4 {
		case 0, 2:
			w.dynamic(false, block)
		case 1:
			w.fixed(false, block)
		case 3:
			w.stored(false, data[at:at+size])
		}
		at += size
	}
	return w.fixed(true, nil).out
}
