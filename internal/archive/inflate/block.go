package inflate

import "io"

// header begins a block (RFC 1951, 3.2.3).
func (d *Reader) header() error {
	if d.final {
		d.in.align()
		return io.EOF
	}
	header, err := d.in.take(3)
	if err != nil {
		return err
	}
	d.final = header&1 != 0
	switch header >> 1 {
	case 0:
		return d.storedHeader()
	case 1:
		d.tables = d.variant.fixed()
	case 2:
		if err := d.dynamicHeader(); err != nil {
			return err
		}
	default:
		return corrupt("a block of no known type")
	}
	d.step = (*Reader).compressed
	return nil
}

// storedHeader begins a block without compression (RFC 1951, 3.2.4).
func (d *Reader) storedHeader() error {
	d.in.align()
	size, err := d.in.take(16)
	if err != nil {
		return err
	}
	complement, err := d.in.take(16)
	if err != nil {
		return err
	}
	if size != complement^0xffff {
		return corrupt("the length of a stored block does not match its complement")
	}
	d.in.align()
	d.stored, d.step = size, (*Reader).copyStored
	return nil
}

// copyStored goes on with a block without compression.
func (d *Reader) copyStored() error {
	for d.stored > 0 {
		if d.in.pos == d.in.end {
			if err := d.in.fill(); err != nil {
				return noEOF(err)
			}
		}
		room := d.out[d.pos:min(len(d.out), d.pos+d.stored)]
		if len(room) == 0 {
			return nil
		}
		n := copy(room, d.in.buf[d.in.pos:d.in.end])
		d.in.pos += n
		d.pos += n
		d.stored -= n
	}
	d.step = (*Reader).header
	return nil
}

// order is the order of the code lengths of the code length code (RFC 1951, 3.2.7).
var order = [lengths]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamicHeader reads the codes of a block (RFC 1951, 3.2.7).
func (d *Reader) dynamicHeader() error {
	counts, err := d.in.take(14)
	if err != nil {
		return err
	}
	literals, distances, lengths := counts&31+257, counts>>5&31+1, counts>>10+4
	if literals > maxLiterals || distances > d.variant.distances {
		return corrupt("more codes than symbols")
	}
	if err := d.readLengthCode(lengths); err != nil {
		return err
	}
	if err := d.readSizes(literals + distances); err != nil {
		return err
	}
	if d.sizes[256] == 0 {
		return corrupt("no code for the end of a block")
	}
	d.tables = &d.own
	if !build(d.own.literal[:], literalBits, d.sizes[:literals], d.variant.literal[:]) {
		return corrupt("the literal and length code is not a complete code")
	}
	if !build(d.own.distance[:], distanceBits, d.sizes[literals:literals+distances], d.variant.distance[:]) {
		return corrupt("the distance code is not a complete code")
	}
	return nil
}

// readLengthCode reads the code that the lengths of the other codes are written with. Its table lies where that of the
// distances will be.
func (d *Reader) readLengthCode(count int) error {
	var sizes [lengths]uint8
	for _, symbol := range order[:count] {
		size, err := d.in.take(3)
		if err != nil {
			return err
		}
		sizes[symbol] = uint8(size)
	}
	if !build(d.own.distance[:], lengthBits, sizes[:], lengthMeanings[:]) {
		return corrupt("the code length code is not a complete code")
	}
	return nil
}

// readSizes reads the lengths of the codes of literals and distances, which follow one another as one list.
func (d *Reader) readSizes(count int) error {
	sizes := d.sizes[:count]
	for i := 0; i < count; {
		e, err := d.in.symbol(d.own.distance[:], lengthBits)
		if err != nil {
			return err
		}
		if e&isInvalid != 0 {
			return corrupt("an invalid code for a code length")
		}
		repeat, size := 1, uint8(0)
		switch {
		case e&isLiteral != 0:
			size = uint8(e.value())
		case e&repeatsLast != 0 && i == 0:
			return corrupt("nothing to repeat")
		case e&repeatsLast != 0:
			size = sizes[i-1]
		}
		if e&isLiteral == 0 {
			if repeat, err = d.in.extra(e); err != nil {
				return err
			}
		}
		if repeat > count-i {
			return corrupt("more code lengths than codes")
		}
		for range repeat {
			sizes[i] = size
			i++
		}
	}
	return nil
}
