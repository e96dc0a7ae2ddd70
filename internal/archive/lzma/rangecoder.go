package lzma

// Constants of the range coder (LZMA specification, "Range Decoder").
const (
	probBits = 11 // a probability is a fraction of 1<<probBits
	probInit = 1 << probBits / 2
	probMove = 5 // how slowly a probability follows the bits it saw
	top      = 1 << 24
)

// The input of the range decoder. A decoder never looks at the end of its input before every bit: one symbol takes at
// most inputMargin bytes, so it is enough to look before every symbol.
const (
	inputSize   = 1 << 16 // the largest chunk of LZMA2
	inputMargin = 32
)

type input [inputSize + inputMargin]byte

// The functions below pass the range decoder (position in the input, range, code) in registers.

// widen takes a byte of the input if the range has become too narrow for another bit.
func widen(in []byte, ip int, rng, code uint64) (at int, r, c uint64) {
	if rng < top {
		return ip + 1, rng << 8, code<<8 | uint64(in[ip])
	}
	return ip, rng, code
}

// moreZero returns a probability of the bit 0 after it came, moreOne after 1 came.
func moreZero(prob uint16) uint16 { return prob + (1<<probBits-prob)>>probMove }
func moreOne(prob uint16) uint16  { return prob - prob>>probMove }

// choose decodes a bit without a branch, for half of the branches would be predicted wrongly. It returns -1 for the bit 0,
// and 0 for the bit 1, and the new probability.
func choose(prob uint16, rng, code uint64) (newProb uint16, mask int, newRange, newCode uint64) {
	p := int(prob)
	bound := rng >> probBits * uint64(p)
	rest := code - bound
	mask = int(int64(rest) >> 63)
	rng -= bound
	return uint16(p + (31+mask&(1<<probBits-31)-p)>>probMove), mask, rng + (bound-rng)&uint64(mask), rest + bound&uint64(mask)
}

// pick returns zero or one, as the bit of the mask says.
func pick(zero, one uint16, mask int) uint16 {
	return one ^ (zero^one)&uint16(mask)
}

// tree decodes one symbol of a bit tree, most significant bit first. There are as many symbols, a power of two, as probs.
//
// Both probabilities that can come next are loaded before the bit is known: that is what makes it fast.
func tree(probs []uint16, in *input, ip int, rng, code uint64) (symbol, at int, r, c uint64) {
	prob := probs[1]
	for symbol = 1; ; {
		var mask int
		ip, rng, code = widen(in[:], ip, rng, code)
		probs[symbol], mask, rng, code = choose(prob, rng, code)
		next := symbol << 1
		symbol = next + 1 + mask
		if next >= len(probs) {
			break
		}
		prob = pick(probs[next], probs[next+1], mask)
	}
	return symbol - len(probs), ip, rng, code
}

// reverseTree decodes bits of a bit tree, least significant bit first.
func reverseTree(probs []uint16, bits int, in *input, ip int, rng, code uint64) (value, at int, r, c uint64) {
	symbol := 1
	prob := probs[1]
	for i := 0; ; {
		var mask int
		ip, rng, code = widen(in[:], ip, rng, code)
		probs[symbol], mask, rng, code = choose(prob, rng, code)
		next := symbol << 1
		symbol = next + 1 + mask
		value |= (1 + mask) << i
		i++
		if i >= bits {
			break
		}
		prob = pick(probs[next], probs[next+1], mask)
	}
	return value, ip, rng, code
}

// direct decodes bits that have no model: 0 and 1 are as likely.
func direct(bits int, in *input, ip int, rng, code uint64) (value, at int, r, c uint64) {
	for range bits {
		ip, rng, code = widen(in[:], ip, rng, code)
		rng >>= 1
		rest := code - rng
		mask := int64(rest) >> 63
		code = rest + rng&uint64(mask)
		value = value<<1 + 1 + int(mask)
	}
	return value, ip, rng, code
}

// literal decodes a byte after a literal.
func literal(probs *[literalCoder]uint16, in *input, ip int, rng, code uint64) (symbol, at int, r, c uint64) {
	prob := probs[1]
	for symbol = 1; symbol < 0x100; {
		var mask int
		ip, rng, code = widen(in[:], ip, rng, code)
		probs[symbol], mask, rng, code = choose(prob, rng, code)
		next := symbol << 1
		prob = pick(probs[next], probs[next+1], mask)
		symbol = next + 1 + mask
	}
	return symbol & 0xff, ip, rng, code
}

// matchedLiteral decodes a byte after a match. It differs from match, the byte at the distance of that match: as long as
// their bits agree, the bits of match choose the probabilities.
func matchedLiteral(
	probs *[literalCoder]uint16, match byte, in *input, ip int, rng, code uint64,
) (symbol, at int, r, c uint64) {
	symbol = 1
	offset, bits := 0x100, int(match)
	for symbol < 0x100 {
		var mask int
		ip, rng, code = widen(in[:], ip, rng, code)
		bits <<= 1
		agree := bits & offset
		at := &probs[offset+agree+symbol]
		*at, mask, rng, code = choose(*at, rng, code)
		symbol = symbol<<1 + 1 + mask
		offset = agree ^ offset&mask
	}
	return symbol & 0xff, ip, rng, code
}
