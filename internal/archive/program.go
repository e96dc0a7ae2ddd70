package archive

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

// behindProgram finds the RAR or 7z archive that a program stands before, which unpacks it. Programs that deal with archives
// contain the marks too: a header that is right has to follow.
func (p *probe) behindProgram() (format Format, offset int64, ok bool) {
	if !p.starts("MZ") && !p.starts("\x7fELF") {
		return "", 0, false
	}
	const furthest, piece, overlap = 2 << 20, 128 << 10, 1 << 10 // the programs in use have some 100 KiB
	for at := int64(0); at < min(p.size, furthest); at += piece - overlap {
		data := p.read(at, piece)
		for _, archive := range embedded {
			if i := archive.find(data); i >= 0 {
				return archive.format, at + int64(i), true
			}
		}
	}
	return "", 0, false
}

// embedded are the formats that programs are put before. Zip archives are found from their end.
var embedded = []embeddedFormat{
	{Rar, "Rar!\x1a\x07\x01\x00", isRar5}, {Rar, "Rar!\x1a\x07\x00", isRar4}, {SevenZip, "7z\xbc\xaf\x27\x1c", isSevenZip},
}

type embeddedFormat struct {
	format Format
	mark   string
	isGood func(behindMark []byte) bool
}

// find returns the index of the first mark with a good header behind it, or -1.
func (f embeddedFormat) find(data []byte) int {
	for from := 0; ; {
		i := bytes.Index(data[from:], []byte(f.mark))
		if i < 0 {
			return -1
		}
		if f.isGood(data[from+i+len(f.mark):]) {
			return from + i
		}
		from += i + 1
	}
}

// isSevenZip checks the start header: version 0.x, the checksum of the 20 bytes behind it (7zFormat.txt of the LZMA SDK).
func isSevenZip(b []byte) bool {
	const sumAt, fields, end = 2, 6, 26
	return len(b) >= end && b[0] == 0 && crc32.ChecksumIEEE(b[fields:end]) == binary.LittleEndian.Uint32(b[sumAt:])
}

// isRar4 checks the main header: 16 bits of checksum, its type, flags and size (technote.txt of RAR 4).
func isRar4(b []byte) bool {
	const typeAt, mainHeader, sizeAt, least = 2, 0x73, 5, 7
	if len(b) < least || b[typeAt] != mainHeader {
		return false
	}
	size := int(binary.LittleEndian.Uint16(b[sizeAt:]))
	return size >= least && size <= len(b) && uint16(crc32.ChecksumIEEE(b[typeAt:size])) == binary.LittleEndian.Uint16(b)
}

// isRar5 checks the first header: the checksum of its size and of as many bytes (https://www.rarlab.com/technote.htm).
func isRar5(b []byte) bool {
	const sumSize = 4
	if len(b) < sumSize {
		return false
	}
	size, width := binary.Uvarint(b[sumSize:])
	if width <= 0 || size > uint64(len(b)-sumSize-width) {
		return false
	}
	end := sumSize + width + int(size)
	return size > 0 && crc32.ChecksumIEEE(b[sumSize:end]) == binary.LittleEndian.Uint32(b)
}
