package lzma

// Sizes of the model (LZMA specification).
const (
	states       = 12
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

// literalNext is the state after a literal, for every state.
var literalNext = [16]uint8{0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5}
