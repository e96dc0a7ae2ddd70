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

// decode is long on purpose.
func (d *decoder) decode(limit int) result {
	if d.pending > 0 {
		n := min(d.pending, limit-d.pos)
		d.repeat(int(d.reps[0])+1, n)
		d.pending -= n
	}
	m, in, buf := &d.model, &d.in, d.buf
	pos, ip, rng, code, state := d.pos, d.ip, d.rng, d.code, d.state
	rep0 := int(d.reps[0])
	prev := int(d.last())
	inLimit := d.inLimit
	why := unfinished
loop:
	for pos < limit && ip <= inLimit {
		posState := pos & d.pbMask
		prob := &m.isMatch[uint8(state<<4|posState)]
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		bound := rng >> probBits * uint64(*prob)
		if code < bound {
			rng = bound
			*prob += (1<<probBits - *prob) >> probMove
			at := ((pos&d.lpMask)<<d.lc + prev>>(8-d.lc)) * literalCoder
			lits := (*[literalCoder]uint16)(d.literals[at:])
			var symbol int
			if state < 7 {
				symbol, ip, rng, code = literal(lits, in, ip, rng, code)
			} else {
				src := pos - rep0 - 1
				if src < 0 {
					src += d.size
				}
				symbol, ip, rng, code = matchedLiteral(lits, buf[src], in, ip, rng, code)
			}
			prev = symbol & 0xff
			buf[pos] = byte(symbol)
			pos++
			state = int(literalNext[state])
			continue
		}
		code -= bound
		rng -= bound
		*prob -= *prob >> probMove

		prob = &m.isRep[uint(state)&15]
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		bound = rng >> probBits * uint64(*prob)
		lm := &m.length
		if code < bound {
			rng = bound
			*prob += (1<<probBits - *prob) >> probMove
			d.reps[3], d.reps[2], d.reps[1] = d.reps[2], d.reps[1], uint32(rep0)
			if state < 7 {
				state = 7
			} else {
				state = 10
			}
		} else {
			code -= bound
			rng -= bound
			*prob -= *prob >> probMove
			lm = &m.repLength

			prob = &m.isRep0[uint(state)&15]
			if rng < top {
				rng <<= 8
				code = code<<8 | uint64(in[ip])
				ip++
			}
			bound = rng >> probBits * uint64(*prob)
			if code < bound {
				rng = bound
				*prob += (1<<probBits - *prob) >> probMove
				prob = &m.isRep0Long[uint8(state<<4|posState)]
				if rng < top {
					rng <<= 8
					code = code<<8 | uint64(in[ip])
					ip++
				}
				bound = rng >> probBits * uint64(*prob)
				if code < bound {
					rng = bound
					*prob += (1<<probBits - *prob) >> probMove
					src := pos - rep0 - 1
					if uint(rep0) >= uint(d.dict) || src < 0 && !d.wrapped {
						why = impossible
						break loop
					}
					if src < 0 {
						src += d.size
					}
					buf[pos] = buf[src]
					prev = int(buf[pos])
					pos++
					if state < 7 {
						state = 9
					} else {
						state = 11
					}
					continue
				}
				code -= bound
				rng -= bound
				*prob -= *prob >> probMove
			} else {
				code -= bound
				rng -= bound
				*prob -= *prob >> probMove

				prob = &m.isRep1[uint(state)&15]
				if rng < top {
					rng <<= 8
					code = code<<8 | uint64(in[ip])
					ip++
				}
				bound = rng >> probBits * uint64(*prob)
				var dist uint32
				if code < bound {
					rng = bound
					*prob += (1<<probBits - *prob) >> probMove
					dist = d.reps[1]
				} else {
					code -= bound
					rng -= bound
					*prob -= *prob >> probMove

					prob = &m.isRep2[uint(state)&15]
					if rng < top {
						rng <<= 8
						code = code<<8 | uint64(in[ip])
						ip++
					}
					bound = rng >> probBits * uint64(*prob)
					if code < bound {
						rng = bound
						*prob += (1<<probBits - *prob) >> probMove
						dist = d.reps[2]
					} else {
						code -= bound
						rng -= bound
						*prob -= *prob >> probMove
						dist = d.reps[3]
						d.reps[3] = d.reps[2]
					}
					d.reps[2] = d.reps[1]
				}
				d.reps[1] = uint32(rep0)
				rep0 = int(dist)
			}
			if state < 7 {
				state = 8
			} else {
				state = 11
			}
		}

		// length
		var length int
		if rng < top {
			rng <<= 8
			code = code<<8 | uint64(in[ip])
			ip++
		}
		prob = &lm.choice
		bound = rng >> probBits * uint64(*prob)
		if code < bound {
			rng = bound
			*prob += (1<<probBits - *prob) >> probMove
			length, ip, rng, code = tree(lm.low[posState&15][:], in, ip, rng, code)
			length += minMatch
		} else {
			code -= bound
			rng -= bound
			*prob -= *prob >> probMove
			if rng < top {
				rng <<= 8
				code = code<<8 | uint64(in[ip])
				ip++
			}
			prob = &lm.choice2
			bound = rng >> probBits * uint64(*prob)
			if code < bound {
				rng = bound
				*prob += (1<<probBits - *prob) >> probMove
				length, ip, rng, code = tree(lm.mid[posState&15][:], in, ip, rng, code)
				length += minMatch + 8
			} else {
				code -= bound
				rng -= bound
				*prob -= *prob >> probMove
				length, ip, rng, code = tree(lm.high[:], in, ip, rng, code)
				length += minMatch + 16
			}
		}

		if lm == &m.length {
			var slot int
			slot, ip, rng, code = tree(m.slot[min(length-minMatch, lengthStates-1)][:], in, ip, rng, code)
			rep0 = slot
			if slot >= startPosModel {
				bits := slot>>1 - 1
				rep0 = (2 | slot&1) << bits
				var low int
				if slot < endPosModel {
					low, ip, rng, code = reverseTree(m.special[rep0-slot:], bits, in, ip, rng, code)
				} else {
					low, ip, rng, code = direct(bits-alignBits, in, ip, rng, code)
					rep0 += low << alignBits
					if code >= rng {
						why = impossible
						break loop
					}
					low, ip, rng, code = reverseTree(m.align[:], alignBits, in, ip, rng, code)
					if uint32(rep0+low) == math.MaxUint32 {
						why = atMarker
						break loop
					}
				}
				rep0 += low
			}
		}

		n := min(length, limit-pos)
		src := pos - rep0 - 1
		if uint(rep0) >= uint(d.dict) || src < 0 && !d.wrapped {
			why = impossible
			break loop
		}
		switch {
		case src < 0:
			d.pos = pos
			d.repeat(rep0+1, n)
		case rep0 >= 15:
			for i := 0; i < n; i += 16 {
				*(*[16]byte)(buf[pos+i:]) = *(*[16]byte)(buf[src+i:])
			}
		case n < 16:
			for i := range n {
				buf[pos+i] = buf[src+i]
			}
		default:
			for done := 0; done < n; { // each copy doubles what can be copied at once
				done += copy(buf[pos+done:pos+n], buf[src:pos+done])
			}
		}
		pos += n
		prev = int(buf[pos-1])
		if n < length {
			d.pending = length - n
			break
		}
	}
	d.pos, d.ip, d.rng, d.code, d.state, d.reps[0] = pos, ip, rng, code, state, uint32(rep0)
	return why
}
