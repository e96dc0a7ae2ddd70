package lzma

// Sizes of the model (LZMA specification).
const (
	matchStates  = 7     // the first state after something else than a literal
	literalCoder = 0x300 // probabilities of one literal coder
	minMatch     = 2
	lengthStates = 4 // lengths 2, 3, 4 and all longer ones have their own models of the distance

	startPosModel = 4  // the first slot of distances that has more bits than the slot tells
	endPosModel   = 14 // the first slot whose middle bits have no model
	alignBits     = 4
)

// model is the set of all probabilities. The tables are a little larger than needed, so that an index of 8 bits is always
// within them.
type model struct {
	isMatch    [256]uint16 // state<<4 | position
	isRep0Long [256]uint16
	isRep      [16]uint16
	isRep0     [16]uint16
	isRep1     [16]uint16
	isRep2     [16]uint16
	slot       [lengthStates][64]uint16
	special    [128]uint16 // bits below the slot for distances < 128
	align      [1 << alignBits]uint16
	length     lengthModel
	repLength  lengthModel
}

// lengthModel has the probabilities of the length of a match: 2-9, 10-17 or 18-273 bytes.
type lengthModel struct {
	choice, choice2 uint16
	low, mid        [16][8]uint16
	high            [256]uint16
}

func fill(probs []uint16) {
	for i := range probs {
		probs[i] = probInit
	}
}

func (m *model) reset() {
	for _, probs := range [][]uint16{
		m.isMatch[:], m.isRep0Long[:], m.isRep[:], m.isRep0[:], m.isRep1[:], m.isRep2[:], m.special[:], m.align[:],
	} {
		fill(probs)
	}
	for i := range m.slot {
		fill(m.slot[i][:])
	}
	m.length.reset()
	m.repLength.reset()
}

func (l *lengthModel) reset() {
	l.choice, l.choice2 = probInit, probInit
	for i := range l.low {
		fill(l.low[i][:])
		fill(l.mid[i][:])
	}
	fill(l.high[:])
}

// The state says what the latest symbols were. These tables have the state that comes after a symbol, and more elements than
// there are states, so that an index of 4 bits is always within them.
var (
	afterLiteral  = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}
	afterMatch    = [16]uint8{7, 7, 7, 7, 7, 7, 7, 10, 10, 10, 10, 10}
	afterRep      = [16]uint8{8, 8, 8, 8, 8, 8, 8, 11, 11, 11, 11, 11}
	afterShortRep = [16]uint8{9, 9, 9, 9, 9, 9, 9, 11, 11, 11, 11, 11}
)

// decode decodes the length of a match.
func (l *lengthModel) decode(posState int, in *input, ip int, rng, code uint64) (length, at int, r, c uint64) {
	ip, rng, code = widen(in[:], ip, rng, code)
	bound := rng >> probBits * uint64(l.choice)
	if code < bound {
		l.choice = moreZero(l.choice)
		length, ip, rng, code = tree(l.low[posState&15][:], in, ip, bound, code)
		return length + minMatch, ip, rng, code
	}
	rng, code, l.choice = rng-bound, code-bound, moreOne(l.choice)
	ip, rng, code = widen(in[:], ip, rng, code)
	bound = rng >> probBits * uint64(l.choice2)
	if code < bound {
		l.choice2 = moreZero(l.choice2)
		length, ip, rng, code = tree(l.mid[posState&15][:], in, ip, bound, code)
		return length + minMatch + len(l.low[0]), ip, rng, code
	}
	rng, code, l.choice2 = rng-bound, code-bound, moreOne(l.choice2)
	length, ip, rng, code = tree(l.high[:], in, ip, rng, code)
	return length + minMatch + len(l.low[0]) + len(l.mid[0]), ip, rng, code
}

// distance decodes the distance of a match, less one. The slot tells its highest two bits and how many there are.
func (m *model) distance(length int, in *input, ip int, rng, code uint64) (value, at int, r, c uint64) {
	slot, ip, rng, code := tree(m.slot[min(uint(length-minMatch), lengthStates-1)][:], in, ip, rng, code)
	if slot < startPosModel {
		return slot, ip, rng, code
	}
	bits := slot>>1 - 1
	value = (2 | slot&1) << bits
	var low int
	if slot < endPosModel {
		low, ip, rng, code = reverseTree(m.special[value-slot:], bits, in, ip, rng, code)
		return value + low, ip, rng, code
	}
	low, ip, rng, code = direct(bits-alignBits, in, ip, rng, code)
	value += low << alignBits
	low, ip, rng, code = reverseTree(m.align[:], alignBits, in, ip, rng, code)
	return value + low, ip, rng, code
}
