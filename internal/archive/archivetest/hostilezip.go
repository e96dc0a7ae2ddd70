package archivetest

import (
	"encoding/binary"
	"hash/crc32"
)

// Methods of compression (APPNOTE 4.4.5).
const (
	zipDeflate = 8
	zipXZ      = 95
)

const modeSymlink = 0o120777 << 16

// ZipXZ returns a zip archive whose only file was compressed by xz (method 95). With a stream that is none, a decompressor
// that has no way to return an error returns nil, and the reader panics, as github.com/mholt/archiver v4.0.0-alpha.9 and
// github.com/mholt/archives v0.1.5 do; with XZ(data, 40) both take 4 GiB.
func ZipXZ(packed, data []byte) []byte {
	e := StoredEntry("a.txt", data)
	e.Method, e.Packed = zipXZ, packed
	return RawZip(e)
}

// SymlinkZip returns a zip archive with a symbolic link, and a file whose path leads through it. A decoder that makes the
// link and follows it writes where target points.
func SymlinkZip(target string) []byte {
	link := StoredEntry("link", []byte(target))
	link.Attributes = modeSymlink
	setuid := StoredEntry("setuid", []byte("#!/bin/sh"))
	setuid.Attributes = 0o104777 << 16
	return RawZip(link, StoredEntry("link/pwned.txt", []byte("pwned")), setuid)
}

// TwoNamesZip returns a zip archive whose file has one name in its local header and another in the central directory: a
// scanner that streams and a reader that seeks see different files.
func TwoNamesZip(local, central string) []byte {
	e := StoredEntry(central, []byte("text"))
	e.LocalName = &local
	return RawZip(e)
}

// WrongCRCZip returns a zip archive of two files, the second of which does not have its checksum.
func WrongCRCZip() []byte {
	wrong := StoredEntry("wrong.txt", []byte("text"))
	wrong.CRC ^= 1
	return RawZip(StoredEntry("good.txt", []byte("text")), wrong)
}

// DescriptorZip returns a good zip archive whose local header says size 0 and leaves the sizes to the data descriptor behind
// the data (APPNOTE 4.3.9), as writers to a pipe do: what streams and stores without compression cannot know the end.
func DescriptorZip(data []byte) []byte {
	const sizesFollow = 1 << 3
	e := StoredEntry("a.txt", data)
	e.Flags, e.LocalZero = sizesFollow, true
	e.Behind = binary.LittleEndian.AppendUint32([]byte("PK\x07\x08"), e.CRC)
	for range 2 {
		e.Behind = binary.LittleEndian.AppendUint32(e.Behind, uint32(len(data)))
	}
	return RawZip(e)
}

// DeclaredSizeZip returns a zip archive of data whose headers declare another size: a decoder that makes room for it, or
// that believes it instead of counting, loses.
func DeclaredSizeZip(data []byte, size uint64) []byte {
	e := ZipEntry{Name: "a.txt", Method: zipDeflate, CRC: crc32.ChecksumIEEE(data), Size: size, Packed: storedDeflate(data)}
	return RawZip(e)
}

// Zip64Lie returns a zip archive whose zip64 end record says that the central directory lies at an offset and holds as many
// entries as that: readers make room for the entries, or overflow when they add.
func Zip64Lie(offset uint64) []byte {
	var w rawZipWriter
	w.add(StoredEntry("a.txt", []byte("text")))
	out := append(w.out, w.directory...)
	out = append(out, zip64End(offset, offset, offset, uint64(len(out)))...)
	return append(out, "PK\x05\x06\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00"...)
}
