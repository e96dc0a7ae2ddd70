package lzma

import "math"

// decoder is the LZMA decoder proper: input, range decoder, model, and the window it writes to.
type decoder struct {
	window
	in       input
	ip       int    // position in the input
	inLimit  int    // no symbol starts behind this position
	rng      uint64 // the range coder's range and code have 32 bits, and code < rng
	code     uint64
	state    int       // what the latest symbols were
	reps     [4]uint32 // the latest four distances, less one
	pending  int       // bytes of the latest match that had no room
	lc       uint      // literal context bits
	lpMask   int       // literal position bits
	pbMask   int       // position bits
	model    model
	literals []uint16 // the literal coders, one after the other
}

// rangeHeader is the number of bytes that the range coder starts with.
const rangeHeader = 5

// setProps takes the byte of properties, and says whether it is one.
func (d *decoder) setProps(props byte) bool {
	const maxProps = (4*5+4)*9 + 8
	if props > maxProps {
		return false
	}
	lc, lp, pb := uint(props%9), uint(props/9%5), uint(props/45)
	d.lc, d.lpMask, d.pbMask = lc, 1<<lp-1, 1<<pb-1
	count := literalCoder << (lc + lp)
	if cap(d.literals) < count {
		d.literals = make([]uint16, count)
	}
	d.literals = d.literals[:count]
	return true
}

// resetState forgets everything but the data.
func (d *decoder) resetState() {
	d.model.reset()
	fill(d.literals)
	d.state, d.reps, d.pending = 0, [4]uint32{}, 0
}

// startRange starts the range decoder with the beginning of the input, and says whether it can be one.
func (d *decoder) startRange() bool {
	b := d.in[:rangeHeader]
	d.ip, d.rng = rangeHeader, math.MaxUint32
	d.code = uint64(b[1])<<24 | uint64(b[2])<<16 | uint64(b[3])<<8 | uint64(b[4])
	return b[0] == 0 && d.code < d.rng
}

// normalise takes a byte of the input if the range has become too narrow for another bit.
func (d *decoder) normalise() {
	if d.rng < top {
		d.rng <<= 8
		d.code = d.code<<8 | uint64(d.in[d.ip])
		d.ip++
	}
}

// result says why decode returned.
type result int

const (
	unfinished result = iota // no more room, or no more input
	atMarker                 // the end of the stream is marked here
	impossible               // a match refers to bytes before the data or the dictionary, or the range coder fails
)

// decode writes to the window until limit, as long as there is input.
//
// It is long on purpose. All that changes with every symbol is in its local variables, most of them registers; a function
// of its own for each kind of symbol would have to load and store them. What is called has few values to take and to return.
// Bits that tell the kind of a symbol have branches, for they are well predicted; those of bytes, lengths and distances
// have none.
func (d *decoder) decode(limit int) result {
	if d.pending > 0 {
		count := min(d.pending, limit-d.pos)
		d.repeat(int(d.reps[0])+1, count)
		d.pending -= count
	}
	m, in, buf := &d.model, &d.in, d.buf
	pos, ip, rng, code, state := d.pos, d.ip, d.rng, d.code, d.state
	rep0, last := int(d.reps[0]), int(d.last())
	inLimit := d.inLimit
	why := unfinished
	for pos < limit && ip <= inLimit {
		posState := pos & d.pbMask
		prob := &m.isMatch[uint8(state<<4|posState)]
		ip, rng, code = widen(in[:], ip, rng, code)
		bound := rng >> probBits * uint64(*prob)
		if code < bound { // a literal
			rng, *prob = bound, moreZero(*prob)
			at := ((pos&d.lpMask)<<d.lc + last>>(8-d.lc)) * literalCoder
			probs := (*[literalCoder]uint16)(d.literals[at:])
			if state < matchStates {
				last, ip, rng, code = literal(probs, in, ip, rng, code)
			} else {
				from := pos - rep0 - 1
				if from < 0 {
					from += d.size
				}
				last, ip, rng, code = matchedLiteral(probs, buf[from], in, ip, rng, code)
			}
			buf[pos] = byte(last)
			pos++
			state = int(afterLiteral[uint(state)&15])
			continue
		}
		rng, code, *prob = rng-bound, code-bound, moreOne(*prob)

		var length int
		prob = &m.isRep[uint(state)&15]
		ip, rng, code = widen(in[:], ip, rng, code)
		bound = rng >> probBits * uint64(*prob)
		if code < bound { // a match at a new distance
			rng, *prob = bound, moreZero(*prob)
			d.reps[3], d.reps[2], d.reps[1] = d.reps[2], d.reps[1], uint32(rep0)
			state = int(afterMatch[uint(state)&15])
			length, ip, rng, code = m.length.decode(posState, in, ip, rng, code)
			rep0, ip, rng, code = m.distance(length, in, ip, rng, code)
			if code >= rng { // no encoder brings this about, but direct bits can, and it would stay so
				why = impossible
				break
			}
			if uint32(rep0) == math.MaxUint32 {
				why = atMarker
				break
			}
		} else { // one of the latest distances
			rng, code, *prob = rng-bound, code-bound, moreOne(*prob)
			prob = &m.isRep0[uint(state)&15]
			ip, rng, code = widen(in[:], ip, rng, code)
			bound = rng >> probBits * uint64(*prob)
			if code < bound { // the latest one
				rng, *prob = bound, moreZero(*prob)
				prob = &m.isRep0Long[uint8(state<<4|posState)]
				ip, rng, code = widen(in[:], ip, rng, code)
				bound = rng >> probBits * uint64(*prob)
				if code < bound { // a single byte
					rng, *prob = bound, moreZero(*prob)
					from := pos - rep0 - 1
					if uint(rep0) >= uint(d.dict) || from < 0 && !d.wrapped {
						why = impossible
						break
					}
					if from < 0 {
						from += d.size
					}
					last = int(buf[from])
					buf[pos] = byte(last)
					pos++
					state = int(afterShortRep[uint(state)&15])
					continue
				}
				rng, code, *prob = rng-bound, code-bound, moreOne(*prob)
			} else {
				rng, code, *prob = rng-bound, code-bound, moreOne(*prob)
				older := d.reps[1]
				prob = &m.isRep1[uint(state)&15]
				ip, rng, code = widen(in[:], ip, rng, code)
				bound = rng >> probBits * uint64(*prob)
				if code < bound {
					rng, *prob = bound, moreZero(*prob)
				} else {
					rng, code, *prob = rng-bound, code-bound, moreOne(*prob)
					prob = &m.isRep2[uint(state)&15]
					ip, rng, code = widen(in[:], ip, rng, code)
					bound = rng >> probBits * uint64(*prob)
					if code < bound {
						rng, *prob = bound, moreZero(*prob)
						older = d.reps[2]
					} else {
						rng, code, *prob = rng-bound, code-bound, moreOne(*prob)
						older = d.reps[3]
						d.reps[3] = d.reps[2]
					}
					d.reps[2] = d.reps[1]
				}
				d.reps[1], rep0 = uint32(rep0), int(older)
			}
			length, ip, rng, code = m.repLength.decode(posState, in, ip, rng, code)
			state = int(afterRep[uint(state)&15])
		}

		count := min(length, limit-pos)
		from := pos - rep0 - 1
		if uint(rep0) >= uint(d.dict) || from < 0 && !d.wrapped {
			why = impossible
			break
		}
		switch {
		case from < 0:
			d.pos = pos
			d.repeat(rep0+1, count)
		case rep0 >= 15: // far enough to copy blocks; two of them are most often enough, and windowSlack has room for them
			*(*[16]byte)(buf[pos:]) = *(*[16]byte)(buf[from:])
			*(*[16]byte)(buf[pos+16:]) = *(*[16]byte)(buf[from+16:])
			for i := 32; i < count; i += 16 {
				*(*[16]byte)(buf[pos+i:]) = *(*[16]byte)(buf[from+i:])
			}
		default:
			overlap(buf[from:pos+count], rep0+1)
		}
		pos += count
		last = int(buf[pos-1])
		if count < length {
			d.pending = length - count
			break
		}
	}
	d.pos, d.ip, d.rng, d.code, d.state, d.reps[0] = pos, ip, rng, code, state, uint32(rep0)
	return why
}
