package inflate

import "encoding/binary"

// What one round of the fast loop may touch: of the input, 8 bytes here and 8 bytes at most 7 bytes on; of the output,
// the literals that fit into 64 bits, then a match of 258 bytes, copied in pieces of 16.
const (
	inputMargin  = 16
	outputMargin = 64 + 258 + 16
)

// Bits that the fast loop must have in its reservoir: for a length or a distance, with extra bits.
const (
	lengthNeeds   = 15 + 5
	distanceNeeds = 15 + 14
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
			d.step = (*Reader).blockHeader
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

// copyMatch copies as much of a match as there is room for. What was copied can be copied again.
func (d *Reader) copyMatch() {
	room := d.out[:min(len(d.out), d.pos+d.length)]
	for from := d.pos - d.distance; d.pos < len(room); {
		n := copy(room[d.pos:], room[from:d.pos])
		d.pos += n
		d.length -= n
	}
	if d.length == 0 {
		d.distance = 0
	}
}

// fast decodes as long as neither the end of the input nor of the output is near and nothing rare comes. It leaves a
// symbol to the careful loop, or, with d.length set, a distance. The next symbol is looked up before a match is copied, so
// that the processor can do both at once.
func (d *Reader) fast() {
	in, p := d.in.buf[:d.in.end], d.in.pos
	out, pos := d.out, d.pos
	if p > len(in)-inputMargin {
		return
	}
	literal, distance := &d.tables.literal, &d.tables.distance
	b, count, p := refill(d.in.bits, d.in.count, in, p)
	e := literal[b&(1<<literalBits-1)]
loop:
	for p <= len(in)-inputMargin && pos <= len(out)-outputMargin {
		for e&(isLiteral|isLink|isRare) != 0 {
			switch {
			case e&isLiteral != 0:
				b, count = b>>e.taken(), count-e.taken()
				out[pos] = byte(e >> 16)
				pos++
				e = literal[b&(1<<literalBits-1)]
				if count < lengthNeeds+literalBits {
					b, count, p = refill(b, count, in, p)
					continue loop
				}
			case e&isRare != 0:
				break loop
			default:
				e = literal[e.index(b, literalBits)]
			}
		}
		length := e.value() + e.more(b)
		b, count = b>>e.taken(), count-e.taken()
		if count < distanceNeeds+literalBits {
			b, count, p = refill(b, count, in, p)
		}
		e = distance[b&(1<<distanceBits-1)]
		if e&isLink != 0 {
			e = distance[e.index(b, distanceBits)]
		}
		back := e.value() + e.more(b)
		if e&isRare != 0 || back > pos {
			d.length = length
			break
		}
		b, count = b>>e.taken(), count-e.taken()
		e = literal[b&(1<<literalBits-1)]
		b, count, p = refill(b, count, in, p)
		stop := pos + length
		if back >= 16 {
			for from := pos - back; pos < stop; from += 16 {
				*(*[16]byte)(out[pos:]) = *(*[16]byte)(out[from:])
				pos += 16
			}
		} else {
			copyNear(out, pos, back, stop)
		}
		pos = stop
	}
	d.pos, d.in.pos = pos, p-int(count>>3)
	d.in.bits, d.in.count = b&(1<<(count&7)-1), count&7
}

// refill makes the reservoir hold at least 56 bits. Those above count are already the ones that come next: no harm in
// putting them there again.
func refill(b uint64, count uint, in []byte, p int) (uint64, uint, int) {
	return b | binary.LittleEndian.Uint64(in[p:])<<(count&63), count | 56, p + int(63-count)>>3
}

// repeat has for each distance below 8 the factor that repeats so many bytes as often as they fit into 8, and how many
// bytes that are.
var repeat = [8]struct {
	factor uint64
	bytes  int
}{
	1: {0x0101010101010101, 8}, 2: {0x0001000100010001, 8}, 3: {1<<48 | 1<<24 | 1, 6}, 4: {1<<32 | 1, 8},
	5: {1, 5}, 6: {1, 6}, 7: {1, 7},
}

// copyNear copies a match that may overlap itself, up to 7 bytes more than asked for.
func copyNear(out []byte, pos, back, stop int) {
	if back >= 8 {
		for ; pos < stop; pos += 8 {
			*(*[8]byte)(out[pos:]) = *(*[8]byte)(out[pos-back:])
		}
		return
	}
	r := &repeat[back&7]
	word := binary.LittleEndian.Uint64(out[pos-back:]) & (1<<(8*back) - 1) * r.factor
	for ; pos < stop; pos += r.bytes {
		binary.LittleEndian.PutUint64(out[pos:], word)
	}
}
