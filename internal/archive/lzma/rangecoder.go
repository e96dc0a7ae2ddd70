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

// tree decodes one symbol of a bit tree whose probs slice has a power of two elements, most significant bit first. The
// bits have no branch: half of them would be predicted wrongly. The mask is all ones for the bit 0, and zero for the bit 1.
//
// The range decoder (position in the input, range, code) is passed and returned in registers.
func tree(probs []uint16, in *input, ip int, rng, code uint64) (symbol, newIP int, newRange, newCode uint64) {
	symbol = 1
	for symbol < len(probs) {
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		prob := uint64(probs[symbol])
		bound := rng >> probBits * prob
		rest := code - bound
		mask := int64(rest) >> 63
		rng -= bound
		code = rest + bound&uint64(mask)
		rng += (bound - rng) & uint64(mask)
		probs[symbol] = uint16(int64(prob) + (31+mask&(1<<probBits-31)-int64(prob))>>probMove)
		symbol = symbol<<1 + 1 + int(mask)
	}
	return symbol - len(probs), ip, rng, code
}

// reverseTree decodes bits of a bit tree, least significant bit first.
func reverseTree(probs []uint16, bits int, in *input, ip int, rng, code uint64) (value, newIP int, newRange, newCode uint64) {
	symbol := 1
	for i := range bits {
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		prob := uint64(probs[symbol])
		bound := rng >> probBits * prob
		rest := code - bound
		mask := int64(rest) >> 63
		rng -= bound
		code = rest + bound&uint64(mask)
		rng += (bound - rng) & uint64(mask)
		probs[symbol] = uint16(int64(prob) + (31+mask&(1<<probBits-31)-int64(prob))>>probMove)
		bit := 1 + int(mask)
		symbol = symbol<<1 + bit
		value |= bit << i
	}
	return value, ip, rng, code
}

// direct decodes bits that have no model: 0 and 1 are as likely.
func direct(bits int, in *input, ip int, rng, code uint64) (value, newIP int, newRange, newCode uint64) {
	for range bits {
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		rng >>= 1
		rest := code - rng
		mask := int64(rest) >> 63
		code = rest + rng&uint64(mask)
		value = value<<1 + 1 + int(mask)
	}
	return value, ip, rng, code
}

// literal decodes a byte after a literal.
func literal(probs *[0x300]uint16, in *input, ip int, rng, code uint64) (symbol, newIP int, newRange, newCode uint64) {
	symbol = 1
	for symbol < 0x100 {
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		prob := uint64(probs[symbol])
		bound := rng >> probBits * prob
		rest := code - bound
		mask := int64(rest) >> 63
		rng -= bound
		code = rest + bound&uint64(mask)
		rng += (bound - rng) & uint64(mask)
		probs[symbol] = uint16(int64(prob) + (31+mask&(1<<probBits-31)-int64(prob))>>probMove)
		symbol = symbol<<1 + 1 + int(mask)
	}
	return symbol, ip, rng, code
}

// matchedLiteral decodes a byte after a match. It differs from match, the byte at the distance of that match: as long as
// their bits agree, the bits of match choose the probabilities.
func matchedLiteral(
	probs *[0x300]uint16, match byte, in *input, ip int, rng, code uint64,
) (symbol, newIP int, newRange, newCode uint64) {
	symbol = 1
	offset, bits := 0x100, int(match)
	for symbol < 0x100 {
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		bits <<= 1
		agree := bits & offset
		index := offset + agree + symbol
		prob := uint64(probs[index])
		bound := rng >> probBits * prob
		rest := code - bound
		mask := int64(rest) >> 63
		rng -= bound
		code = rest + bound&uint64(mask)
		rng += (bound - rng) & uint64(mask)
		probs[index] = uint16(int64(prob) + (31+mask&(1<<probBits-31)-int64(prob))>>probMove)
		symbol = symbol<<1 + 1 + int(mask)
		offset = agree ^ offset&int(mask)
	}
	return symbol, ip, rng, code
}
