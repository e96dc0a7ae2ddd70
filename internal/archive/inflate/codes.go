package inflate

import (
	"math/bits"
	"sync"
)

// Sizes of the alphabets (RFC 1951, 3.2.5 to 3.2.7). Some symbols of the first two have a code and no meaning.
const (
	literals  = 288
	distances = 32
	lengths   = 19
	longest   = 15 // bits of a code

	maxLiterals = 286 // that a block can have codes for
)

// Codes up to so many bits are found with one look into the table of their alphabet, longer ones with two.
const (
	literalBits  = 11
	distanceBits = 8
	lengthBits   = 7
)

// entry is what a table says about the bits that come next:
//
//	bits 0-4       how many bits symbol and extra bits take
//	bits 8-11      how many of them are the symbol's; of a link: bits of the index into the second table
//	bits 7, 12-15  flags
//	bits 16-31     the literal, or what the extra bits are added to; of a link: where the second table starts
type entry uint32

const (
	isLiteral entry = 1 << 15
	isLink    entry = 1 << 14 // to a second table
	isRare    entry = 1 << 13 // the fast loop leaves it to the careful one: all below, and a length with 16 extra bits
	isInvalid entry = 1 << 12
	isEnd     entry = 1 << 7 // of the block

	invalid = isRare | isInvalid
	end     = isRare | isEnd
)

func (e entry) taken() uint { return uint(e & 31) }
func (e entry) code() uint  { return uint(e >> 8 & 15) }
func (e entry) value() int  { return int(e >> 16) }

// more is what the extra bits add.
func (e entry) more(bits uint64) int { return int(bits & (1<<e.taken() - 1) >> e.code()) }

// index finds the entry of the second table that a link leads to.
func (e entry) index(bits uint64, mainBits uint) int {
	return e.value() + int(bits>>mainBits&(1<<e.code()-1))
}

// coded is an entry for a symbol with extra bits; build adds the length of the code.
func coded(base int, extra uint) entry { return entry(base)<<16 | entry(extra) }

// tables are the decoding tables of a block. A second table of k bits stands for at least k+1 codes, and k is at most 4 for
// literals and 7 for distances: that bounds their sum by 16/5 and 128/8 entries for each symbol.
type tables struct {
	literal  [1<<literalBits + literals*16/5 + 1]entry
	distance [1<<distanceBits + distances*128/8]entry
}

// variant is what DEFLATE and DEFLATE64 do not have in common.
type variant struct {
	window    int
	distances int // how many there are
	literal   [literals]entry
	distance  [distances]entry
	fixed     func() *tables
}

var (
	deflate   = newVariant(32<<10, 30, coded(258, 0))
	deflate64 = newVariant(64<<10, 32, coded(3, 16)|isRare)
)

// lengthMeanings are those of the code length code.
var lengthMeanings = newLengthMeanings()

// repeatsLast is the flag of the symbol that repeats what was there before; the other two repeat zero.
const repeatsLast = isRare

func newLengthMeanings() (meanings [lengths]entry) {
	for i := range 16 {
		meanings[i] = entry(i)<<16 | isLiteral
	}
	meanings[16], meanings[17], meanings[18] = coded(3, 2)|repeatsLast, coded(3, 3), coded(11, 7)
	return meanings
}

// newVariant makes the meanings of the symbols (RFC 1951, 3.2.5): the base grows by what the extra bits can tell.
func newVariant(window, distances int, longestLength entry) *variant {
	v := &variant{window: window, distances: distances}
	for i := range 256 {
		v.literal[i] = entry(i)<<16 | isLiteral
	}
	v.literal[256] = end
	base := 3
	for i := 257; i < 285; i++ {
		extra := uint(max(0, (i-261)/4))
		v.literal[i] = coded(base, extra)
		base += 1 << extra
	}
	v.literal[285], v.literal[286], v.literal[287] = longestLength, invalid, invalid
	base = 1
	for i := range v.distance {
		extra := uint(max(0, (i-2)/2))
		if v.distance[i] = invalid; i < distances {
			v.distance[i] = coded(base, extra)
		}
		base += 1 << extra
	}
	v.fixed = sync.OnceValue(v.buildFixed)
	return v
}

// buildFixed makes the tables of blocks with fixed codes (RFC 1951, 3.2.6).
func (v *variant) buildFixed() *tables {
	var sizes [literals]uint8
	for i := range sizes {
		switch {
		case i < 144, i >= 280:
			sizes[i] = 8
		case i < 256:
			sizes[i] = 9
		default:
			sizes[i] = 7
		}
	}
	t := new(tables)
	build(t.literal[:], literalBits, sizes[:], v.literal[:])
	for i := range distances {
		sizes[i] = 5
	}
	build(t.distance[:], distanceBits, sizes[:distances], v.distance[:])
	return t
}

// build makes the decoding table of the canonical Huffman code whose code lengths are given (RFC 1951, 3.2.2). It returns
// false for lengths that make no complete code. As zlib does, it allows a single code of one bit, and none at all.
func build(table []entry, mainBits uint, sizes []uint8, meanings []entry) bool {
	var count, next [longest + 1]int
	for _, size := range sizes {
		count[size]++
	}
	count[0] = 0
	room, coded := 1, 0 // room: codes of this length that are still free
	for n := 1; n <= longest; n++ {
		next[n] = coded
		coded += count[n]
		if room = room<<1 - count[n]; room < 0 {
			return false
		}
	}
	if room > 0 && (coded > 1 || coded != count[1]) {
		return false
	}
	var sorted [literals]uint16
	for symbol, size := range sizes {
		if size > 0 {
			sorted[next[size]] = uint16(symbol)
			next[size]++
		}
	}
	code, rest := fillMain(table, mainBits, &count, sorted[:coded], meanings)
	fillSecond(table, mainBits, code, &count, rest, meanings)
	return true
}

// fillMain enters the codes that fit into the main table, shortest first. For each further bit all entries are there twice.
// It returns the first code that does not fit, and the symbols left.
func fillMain(
	table []entry, mainBits uint, count *[longest + 1]int, sorted []uint16, meanings []entry,
) (uint16, []uint16) {
	table[0] = invalid
	var code uint16
	for n := uint(1); n <= mainBits; n++ {
		half := 1 << (n - 1)
		copy(table[half:], table[:half])
		code <<= 1
		for _, symbol := range sorted[:count[n]] {
			table[bits.Reverse16(code<<(16-n))] = meanings[symbol] + entry(n*0x101)
			code++
		}
		sorted = sorted[count[n]:]
	}
	return code, sorted
}

// fillSecond enters the longer codes, from the given one on, into second tables behind the main table: one for each
// beginning of mainBits bits, with an index of as many bits as the longest code with this beginning needs.
func fillSecond(table []entry, mainBits uint, code uint16, count *[longest + 1]int, sorted []uint16, meanings []entry) {
	main := uint16(1)<<mainBits - 1
	start, size, prefix := 0, 1<<mainBits, -1
	for n := mainBits + 1; n <= longest; n++ {
		code <<= 1
		for i, symbol := range sorted[:count[n]] {
			reversed := bits.Reverse16(code << (16 - n))
			if int(reversed&main) != prefix {
				prefix = int(reversed & main)
				start += size
				width := indexBits(n-mainBits, count[n]-i, count[n+1:])
				size = 1 << width
				table[prefix] = entry(start)<<16 | entry(width<<8) | isLink
			}
			for at := int(reversed >> mainBits); at < size; at += 1 << (n - mainBits) {
				table[start+at] = meanings[symbol] + entry(n*0x101)
			}
			code++
		}
		sorted = sorted[count[n]:]
	}
}

// indexBits returns the bits that a second table needs whose first code has the given number of bits behind the beginning:
// it must have room for no more than the codes that follow.
func indexBits(width uint, count int, longer []int) uint {
	for used := count; used < 1<<width; width++ {
		used = used<<1 + longer[0]
		longer = longer[1:]
	}
	return width
}
