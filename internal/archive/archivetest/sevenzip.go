package archivetest

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"hash/crc32"
	"unicode/utf16"
)

// Property identifiers of the 7z header (7zFormat.txt of the LZMA SDK).
const (
	szEnd          = 0x00
	szHeader       = 0x01
	szMainStreams  = 0x04
	szFiles        = 0x05
	szPackInfo     = 0x06
	szUnpackInfo   = 0x07
	szSubStreams   = 0x08
	szSize         = 0x09
	szCRC          = 0x0a
	szFolder       = 0x0b
	szUnpackSize   = 0x0c
	szStreamCounts = 0x0d
	szEmptyStream  = 0x0e
	szEmptyFile    = 0x0f
	szNames        = 0x11
	szModTime      = 0x14
	szAttributes   = 0x15
)

// SevenZip returns a 7z archive with the files in their order, stored without compression.
func SevenZip(files []File) []byte {
	copies := []byte{1, 1, 0} // one coder, whose identifier has one byte: 0, which copies
	return sevenZip(files, copies, func(data []byte) []byte { return data })
}

// SevenZipEncrypted is SevenZip with a password (of ASCII, at most 16 characters) that the contents need and the names do
// not.
func SevenZipEncrypted(files []File, password string) []byte {
	const rawKey, hasIV = 0x3f, 0x40 // the key is the password itself, in UTF-16
	iv := make([]byte, 16)
	coder := []byte{1, 0x24, 0x06, 0xf1, 0x07, 0x01, 18, rawKey | hasIV, 15}
	key := make([]byte, 32)
	for i, c := range []byte(password) {
		key[2*i] = c
	}
	return sevenZip(files, append(coder, iv...), func(data []byte) []byte { return encrypt(key, iv, data) })
}

// encrypt is AES in CBC mode over data filled up with zeros.
func encrypt(key, iv, data []byte) []byte {
	block, err := aes.NewCipher(key)
	must(err)
	out := make([]byte, (len(data)+aes.BlockSize-1)/aes.BlockSize*aes.BlockSize)
	copy(out, data)
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(out, out)
	return out
}

func sevenZip(files []File, coder []byte, pack func([]byte) []byte) []byte {
	var packed []byte
	var sizes []int
	for _, f := range files {
		if len(f.Data) > 0 {
			data := pack(f.Data)
			packed, sizes = append(packed, data...), append(sizes, len(data))
		}
	}
	header := []byte{szHeader}
	header = appendStreams(header, files, coder, sizes)
	header = appendFiles(header, files)
	return sealSevenZip(packed, append(header, szEnd))
}

// sealSevenZip puts the start header, which says where the header lies and what its checksum is, before both.
func sealSevenZip(packed, header []byte) []byte {
	start := binary.LittleEndian.AppendUint64(nil, uint64(len(packed)))
	start = binary.LittleEndian.AppendUint64(start, uint64(len(header)))
	start = binary.LittleEndian.AppendUint32(start, crc32.ChecksumIEEE(header))

	out := []byte("7z\xbc\xaf\x27\x1c\x00\x04")
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(start))
	out = append(out, start...)
	out = append(out, packed...)
	return append(out, header...)
}

// appendStreams describes one folder (7z's word for a stream of its own) for each file that has data.
func appendStreams(b []byte, files []File, coder []byte, packedSizes []int) []byte {
	var full []File
	for _, f := range files {
		if len(f.Data) > 0 {
			full = append(full, f)
		}
	}
	if len(full) == 0 {
		return b
	}
	count := uint64(len(full))
	b = append(b, szMainStreams, szPackInfo, 0)
	b = append(appendNumber(b, count), szSize)
	for _, size := range packedSizes {
		b = appendNumber(b, uint64(size))
	}
	b = append(b, szEnd)

	b = append(b, szUnpackInfo, szFolder)
	b = append(appendNumber(b, count), 0)
	for range full {
		b = append(b, coder...)
	}
	b = append(b, szUnpackSize)
	for _, f := range full {
		b = appendNumber(b, uint64(len(f.Data)))
	}
	b = append(b, szCRC, 1)
	for _, f := range full {
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(f.Data))
	}
	b = append(b, szEnd, szSubStreams, szStreamCounts)
	for range full {
		b = append(b, 1)
	}
	return append(b, szEnd, szEnd)
}

func appendFiles(b []byte, files []File) []byte {
	b = appendNumber(append(b, szFiles), uint64(len(files)))
	var empty, emptyFile []bool
	names, times, attributes := []byte{0}, []byte{1, 0}, []byte{1, 0}
	for _, f := range files {
		empty = append(empty, len(f.Data) == 0)
		if len(f.Data) == 0 {
			emptyFile = append(emptyFile, !f.isDir())
		}
		for _, unit := range append(utf16.Encode([]rune(f.Name)), 0) {
			names = binary.LittleEndian.AppendUint16(names, unit)
		}
		times = binary.LittleEndian.AppendUint64(times, fileTime(f))
		attributes = binary.LittleEndian.AppendUint32(attributes, fileAttributes(f))
	}
	if len(emptyFile) > 0 {
		b = appendProperty(b, szEmptyStream, flagBits(empty))
		b = appendProperty(b, szEmptyFile, flagBits(emptyFile))
	}
	b = appendProperty(b, szNames, names)
	b = appendProperty(b, szModTime, times)
	b = appendProperty(b, szAttributes, attributes)
	return append(b, szEnd)
}

// fileTime counts 100 nanoseconds since 1601.
func fileTime(f File) uint64 {
	const unixEpoch = 116444736000000000
	if f.ModTime.IsZero() {
		return unixEpoch
	}
	return uint64(f.ModTime.UnixNano()/100) + unixEpoch
}

func fileAttributes(f File) uint32 {
	const directory, archive = 0x10, 0x20
	if f.isDir() {
		return directory
	}
	return archive
}

func appendProperty(b []byte, id byte, data []byte) []byte {
	b = appendNumber(append(b, id), uint64(len(data)))
	return append(b, data...)
}

// appendNumber knows the shortest and the longest form of a 7z number: one byte, or 0xff and eight.
func appendNumber(b []byte, n uint64) []byte {
	if n < 0x80 {
		return append(b, byte(n))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0xff), n)
}

// flagBits packs flags, the first one highest.
func flagBits(flags []bool) []byte {
	packed := make([]byte, (len(flags)+7)/8)
	for i, flag := range flags {
		if flag {
			packed[i/8] |= 0x80 >> (i % 8)
		}
	}
	return packed
}
