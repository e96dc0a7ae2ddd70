package lzma

import "encoding/binary"

// branches has the filters for machine code, by their number (xz-file-format, section 5.3.2). How they work is only told by
// their implementations: xz's src/liblzma/simple.
var branches = map[uint64]struct {
	alignment uint32
	decoder   func() converter
}{
	filterX86:   {1, func() converter { return (&x86{}).decode }},
	filterPPC:   {4, func() converter { return decodePPC }},
	filterIA64:  {16, func() converter { return decodeIA64 }},
	filterARM:   {4, func() converter { return decodeARM }},
	filterThumb: {2, func() converter { return decodeThumb }},
	filterSPARC: {4, func() converter { return decodeSPARC }},
	filterARM64: {4, func() converter { return decodeARM64 }},
}

// decodePPC decodes PowerPC's bl.
func decodePPC(code []byte, position uint32) int {
	i := 0
	for ; i+4 <= len(code); i += 4 {
		instruction := binary.BigEndian.Uint32(code[i:])
		if instruction&0xfc000003 == 0x48000001 {
			target := instruction&0x03fffffc - (position + uint32(i))
			binary.BigEndian.PutUint32(code[i:], 0x48000001|target&0x03fffffc)
		}
	}
	return i
}

// decodeARM decodes ARM's bl.
func decodeARM(code []byte, position uint32) int {
	i := 0
	for ; i+4 <= len(code); i += 4 {
		instruction := binary.LittleEndian.Uint32(code[i:])
		if instruction>>24 == 0xeb {
			target := instruction - (position+uint32(i)+8)>>2
			binary.LittleEndian.PutUint32(code[i:], 0xeb000000|target&0x00ffffff)
		}
	}
	return i
}

// decodeThumb decodes the bl of ARM's Thumb: two halves with 11 bits each.
func decodeThumb(code []byte, position uint32) int {
	i := 0
	for ; i+4 <= len(code); i += 2 {
		high, low := binary.LittleEndian.Uint16(code[i:]), binary.LittleEndian.Uint16(code[i+2:])
		if high&0xf800 != 0xf000 || low&0xf800 != 0xf800 {
			continue
		}
		target := uint32(high&0x7ff)<<11 | uint32(low&0x7ff)
		target -= (position + uint32(i) + 4) >> 1
		binary.LittleEndian.PutUint16(code[i:], 0xf000|uint16(target>>11)&0x7ff)
		binary.LittleEndian.PutUint16(code[i+2:], 0xf800|uint16(target)&0x7ff)
		i += 2
	}
	return i
}

// decodeSPARC decodes SPARC's call.
func decodeSPARC(code []byte, position uint32) int {
	i := 0
	for ; i+4 <= len(code); i += 4 {
		instruction := binary.BigEndian.Uint32(code[i:])
		if instruction>>22 != 0x100 && instruction>>22 != 0x1ff {
			continue
		}
		target := (instruction<<2 - (position + uint32(i))) >> 2
		target = (0x40000000 - target&0x400000) | 0x40000000 | target&0x3fffff
		binary.BigEndian.PutUint32(code[i:], target)
	}
	return i
}

// decodeARM64 decodes ARM64's bl, and adrp within 512 MiB.
func decodeARM64(code []byte, position uint32) int {
	i := 0
	for ; i+4 <= len(code); i += 4 {
		instruction := binary.LittleEndian.Uint32(code[i:])
		at := position + uint32(i)
		switch {
		case instruction>>26 == 0x25:
			instruction = 0x94000000 | (instruction-at>>2)&0x03ffffff
		case instruction&0x9f000000 == 0x90000000:
			page := instruction>>29&3 | instruction>>3&0x001ffffc
			if (page+0x00020000)&0x001c0000 != 0 {
				continue
			}
			page -= at >> 12
			instruction = instruction&0x9000001f | page&3<<29 | page&0x0003fffc<<3 | -(page&0x00020000)&0x00e00000
		}
		binary.LittleEndian.PutUint32(code[i:], instruction)
	}
	return i
}

// decodeIA64 decodes the branches in the three slots of Itanium's bundles of 16 bytes.
func decodeIA64(code []byte, position uint32) int {
	// slots tells by the kind of a bundle which of its slots can have a branch.
	slots := [32]byte{16: 4, 17: 4, 18: 6, 19: 6, 22: 7, 23: 7, 24: 4, 25: 4, 28: 4, 29: 4}
	i := 0
	for ; i+16 <= len(code); i += 16 {
		kind := code[i] & 0x1f
		for slot := range 3 {
			if slots[kind]>>slot&1 == 1 {
				decodeIA64Slot(code[i:i+16], 5+41*slot, position+uint32(i))
			}
		}
	}
	return i
}

// decodeIA64Slot decodes the instruction of 41 bits that starts at a bit of a bundle.
func decodeIA64Slot(bundle []byte, bit int, position uint32) {
	var word [8]byte
	field := bundle[bit/8:][:6]
	copy(word[:], field)
	raw := binary.LittleEndian.Uint64(word[:])
	instruction := raw >> (bit % 8)
	if instruction>>37&0xf != 5 || instruction>>9&7 != 0 {
		return
	}
	target := uint32(instruction>>13)&0xfffff | uint32(instruction>>36)&1<<20
	target = (target<<4 - position) >> 4
	instruction &^= 0x8fffff << 13
	instruction |= uint64(target&0xfffff)<<13 | uint64(target&0x100000)<<(36-20)
	raw = raw&(1<<(bit%8)-1) | instruction<<(bit%8)
	binary.LittleEndian.PutUint64(word[:], raw)
	copy(field, word[:])
}

// x86 decodes x86's call and jmp. It remembers where it saw their codes, for they may be parts of other instructions.
type x86 struct {
	seen uint32 // bit n: the byte n+1 before was such a code, and was not converted
}

func (x *x86) decode(code []byte, position uint32) int {
	const length = 5 // of the instruction
	if len(code) < length {
		return 0
	}
	seen, previous := x.seen, -1
	i := 0
	for ; i <= len(code)-length; i++ {
		if code[i]&0xfe != 0xe8 {
			continue
		}
		seen = shiftSeen(seen, i-previous)
		previous = i
		if !plausible(code[i:i+length], seen) {
			seen = seen<<1 | 1
			continue
		}
		target := binary.LittleEndian.Uint32(code[i+1:])
		binary.LittleEndian.PutUint32(code[i+1:], relative(target, position+uint32(i)+length, seen))
		i += length - 1
	}
	x.seen = shiftSeen(seen, i-previous)
	return i
}

// shiftSeen moves what was seen by a distance, the first byte of which was counted in advance.
func shiftSeen(seen uint32, distance int) uint32 {
	if distance > 3 {
		return 0
	}
	return seen << (distance - 1) & 7
}

// suspect is, for what was seen, which byte of the target decides: counted from its end.
var suspect = [8]int{0, 1, 2, 2, 3, 3, 3, 3}

// plausible says whether the instruction is one that the encoder converted.
func plausible(instruction []byte, seen uint32) bool {
	if seen != 0 {
		allowed := seen == 1 || seen == 2 || seen == 4
		if !allowed || isSign(instruction[4-suspect[seen]]) {
			return false
		}
	}
	return isSign(instruction[4])
}

// isSign says whether a byte looks like the highest one of a small number.
func isSign(b byte) bool { return b == 0 || b == 0xff }

// relative returns the target relative to the next instruction, as a number of 25 bits. A target whose deciding byte
// would look like a sign was coded as its complement.
func relative(target, next, seen uint32) uint32 {
	distance := target - next
	bits := suspect[seen] * 8
	if seen != 0 && isSign(byte(distance>>(24-bits))) {
		distance = distance ^ (1<<(32-bits) - 1) - next
	}
	distance &= 0x01ffffff
	return distance | -(distance & 0x01000000)
}
