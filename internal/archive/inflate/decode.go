package inflate

import "encoding/binary"

// What the fast loop may touch in one round: two times 8 bytes of input, one of them less than 8 bytes behind the other;
// of output three literals and a match of 258 bytes, which is copied in pieces of 16.
const (
	inputMargin  = 24
	outputMargin = 56 + 258 + 16
)

// compressed goes on with a block with codes, until it ends or the output is full.
func (d *Reader) compressed() error {
	for d.hasRoom() {
		if d.length == 0 {
			d.fast()
		}
		ended, err := d.careful()
		if err != nil {
			return err
		}
		if ended {
			d.step = (*Reader).header
			return nil
		}
	}
	return nil
}

// careful decodes one symbol, or what is left of one. It returns true at the end of the block.
func (d *Reader) careful() (bool, error) {
	if d.length == 0 {
		e, err := d.in.symbol(d.tables.literal[:], literalBits)
		switch {
		case err != nil:
			return false, err
		case e&isLiteral != 0:
			d.out[d.pos] = byte(e.value())
			d.pos++
			return false, nil
		case e&isEnd != 0:
			return true, nil
		case e&isInvalid != 0:
			return false, corrupt("an invalid code for a literal or a length")
		}
		if d.length, err = d.in.extra(e); err != nil {
			return false, err
		}
	}
	if d.distance == 0 {
		if err := d.readDistance(); err != nil {
			return false, err
		}
	}
	d.copyMatch()
	return false, nil
}

func (d *Reader) readDistance() error {
	e, err := d.in.symbol(d.tables.distance[:], distanceBits)
	if err != nil {
		return err
	}
	if e&isInvalid != 0 {
		return corrupt("an invalid code for a distance")
	}
	distance, err := d.in.extra(e)
	if err != nil {
		return err
	}
	if distance > d.pos {
		return corrupt("a match begins before the output")
	}
	d.distance = distance
	return nil
}

// copyMatch copies as much of a match as there is room for.
func (d *Reader) copyMatch() {
	for ; d.length > 0 && d.pos < len(d.out); d.length-- {
		d.out[d.pos] = d.out[d.pos-d.distance]
		d.pos++
	}
	if d.length == 0 {
		d.distance = 0
	}
}

// fast decodes as long as neither the end of the input nor of the output is near and nothing rare comes.
func (d *Reader) fast() {
	in, p := d.in.buf[:d.in.end], d.in.pos
	out, pos := d.out, d.pos
	b, count := d.in.bits, d.in.count
	literal, distance := &d.tables.literal, &d.tables.distance
	if p > len(in)-inputMargin {
		return
	}
	b, p, count = refill(in, p, b, count)
	e := literal[b&(1<<literalBits-1)]
loop:
	for p <= len(in)-inputMargin && pos <= len(out)-outputMargin {
		for {
			if e&isLiteral != 0 {
				b >>= e.taken()
				count -= e.taken()
				out[pos] = byte(e >> 16)
				pos++
				e = literal[b&(1<<literalBits-1)]
				if count < 20+literalBits {
					b, p, count = refill(in, p, b, count)
					continue loop
				}
				continue
			}
			if e&(isLink|isRare) == 0 {
				break
			}
			if e&isRare != 0 {
				break loop
			}
			e = literal[e.index(b, literalBits)]
		}
		length := e.value() + int(b&(1<<e.taken()-1)>>e.code())
		b >>= e.taken()
		count -= e.taken()
		if count < 29+literalBits {
			b, p, count = refill(in, p, b, count)
		}
		e = distance[b&(1<<distanceBits-1)]
		if e&isLink != 0 {
			e = distance[e.index(b, distanceBits)]
		}
		dist := e.value() + int(b&(1<<e.taken()-1)>>e.code())
		if e&isRare != 0 || dist > pos {
			d.length = length
			break
		}
		b >>= e.taken()
		count -= e.taken()
		e = literal[b&(1<<literalBits-1)]
		b, p, count = refill(in, p, b, count)
		stop := pos + length
		if dist >= 16 {
			for src := pos - dist; pos < stop; src += 16 {
				*(*[16]byte)(out[pos:]) = *(*[16]byte)(out[src:])
				pos += 16
			}
		} else {
			copyNear(out, pos, dist, stop)
		}
		pos = stop
	}
	d.pos = pos
	d.in.pos = p - int(count>>3)
	d.in.bits, d.in.count = b&(1<<(count&7)-1), count&7
}

func refill(in []byte, p int, b uint64, count uint) (uint64, int, uint) {
	return b | binary.LittleEndian.Uint64(in[p:])<<(count&63), p + int(63-count)>>3, count | 56
}

// copyNear 
func copyNear(out []byte, pos, dist, stop int) {
	switch {
	case dist >= 8:
		for {
			*(*[8]byte)(out[pos:]) = *(*[8]byte)(out[pos-dist:])
			pos += 8
			if pos >= stop {
				break
			}
		}
	case dist == 1:
		v := uint64(out[pos-1]) * 0x0101010101010101
		for {
			binary.LittleEndian.PutUint64(out[pos:], v)
			pos += 8
			if pos >= stop {
				break
			}
		}
	default:
		for {
			*(*[8]byte)(out[pos:]) = *(*[8]byte)(out[pos-dist:])
			pos += dist
			if pos >= stop {
				break
			}
		}
	}
}
