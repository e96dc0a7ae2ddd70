package inflate

import "io"

// blockHeader begins a block (RFC 1951, 3.2.3), or ends the stream.
func (d *Reader) blockHeader() error {
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
		return corrupt("a block of an unknown type")
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
		return corrupt("the length of a stored block is not what its complement says")
	}
	d.in.align()
	d.stored, d.step = size, (*Reader).copyStored
	return nil
}

// copyStored goes on with a block without compression, until it ends or the output is full.
func (d *Reader) copyStored() error {
	for d.stored > 0 && d.hasRoom() {
		if d.in.pos == d.in.end {
			if err := d.in.fill(); err != nil {
				return noEOF(err)
			}
		}
		room := d.out[d.pos:min(len(d.out), d.pos+d.stored)]
		n := copy(room, d.in.buf[d.in.pos:d.in.end])
		d.in.pos += n
		d.pos += n
		d.stored -= n
	}
	if d.stored == 0 {
		d.step = (*Reader).blockHeader
	}
	return nil
}

// dynamicHeader reads the codes of a block (RFC 1951, 3.2.7).
func (d *Reader) dynamicHeader() error {
	counts, err := d.in.take(14)
	if err != nil {
		return err
	}
	literals, distances := counts&31+257, counts>>5&31+1
	if literals > maxLiterals || distances > d.variant.distances {
		return corrupt("a block with more codes than there are symbols")
	}
	if err := d.readLengthCode(counts>>10 + 4); err != nil {
		return err
	}
	if err := d.readSizes(d.sizes[:literals+distances]); err != nil {
		return err
	}
	if d.sizes[256] == 0 {
		return corrupt("a block with no code for its end")
	}
	if !build(d.own.literal[:], literalBits, d.sizes[:literals], d.variant.literal[:]) {
		return corrupt("the literal and length code is not complete")
	}
	if !build(d.own.distance[:], distanceBits, d.sizes[literals:literals+distances], d.variant.distance[:]) {
		return corrupt("the distance code is not complete")
	}
	d.tables = &d.own
	return nil
}

// lengthOrder is the order of the symbols of the code length code (RFC 1951, 3.2.7).
var lengthOrder = [lengths]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// readLengthCode reads the code that the lengths of the other codes are written with. Its table lies where that of the
// distances will be.
func (d *Reader) readLengthCode(count int) error {
	var sizes [lengths]uint8
	for _, symbol := range lengthOrder[:count] {
		size, err := d.in.take(3)
		if err != nil {
			return err
		}
		sizes[symbol] = uint8(size)
	}
	if !build(d.own.distance[:], lengthBits, sizes[:], lengthMeanings[:]) {
		return corrupt("the code length code is not complete")
	}
	return nil
}

// readSizes reads the lengths of the codes: those of literals and of distances are one list.
func (d *Reader) readSizes(sizes []uint8) error {
	for i := 0; i < len(sizes); {
		e, err := d.in.symbol(d.own.distance[:], lengthBits)
		if err != nil {
			return err
		}
		switch {
		case e&isLiteral != 0:
			sizes[i] = uint8(e.value())
			i++
			continue
		case e&isInvalid != 0:
			return corrupt("an invalid code for the length of a code")
		case e&repeatsLast != 0 && i == 0:
			return corrupt("no length of a code to repeat")
		}
		count, err := d.in.extra(e)
		if err != nil {
			return err
		}
		if count > len(sizes)-i {
			return corrupt("more lengths of codes than codes")
		}
		size := uint8(0)
		if e&repeatsLast != 0 {
			size = sizes[i-1]
		}
		for range count {
			sizes[i] = size
			i++
		}
	}
	return nil
}
