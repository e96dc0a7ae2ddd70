package archivetest

import (
	"fmt"
	"strconv"
)

const tarBlock = 512

// TarHeader is a header block as it stands in a tar archive; only its checksum is computed.
type TarHeader struct {
	Name, Link string
	Type       byte   // 0 = a file
	Mode       int64  // 0 = 0644
	Size       int64  // as declared
	Sparse     string // the fields of an old GNU sparse header, from byte 386 on
}

// RawTarHeader returns a ustar header, or a GNU one if it is sparse.
func RawTarHeader(h TarHeader) []byte {
	b := make([]byte, tarBlock)
	if h.Mode == 0 {
		h.Mode = 0o644
	}
	if h.Type == 0 {
		h.Type = '0'
	}
	copy(b[0:100], h.Name)
	copy(b[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00", h.Mode, 0, 0, h.Size, 0))
	b[156] = h.Type
	copy(b[157:257], h.Link)
	copy(b[257:], "ustar\x0000")
	if h.Sparse != "" {
		copy(b[257:], "ustar  \x00")
		copy(b[386:], h.Sparse)
	}
	sealTarHeader(b)
	return b
}

// sealTarHeader writes the checksum: the sum of all bytes, its own field being spaces.
func sealTarHeader(b []byte) {
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00", sum))
}

// RawTar returns an archive of headers, each with its data behind it, and the mark of the end.
func RawTar(members ...[]byte) []byte {
	var out []byte
	for _, member := range members {
		out = append(out, member...)
		out = append(out, make([]byte, -len(member)&(tarBlock-1))...)
	}
	return append(out, make([]byte, 2*tarBlock)...)
}

func tarMember(h TarHeader, data string) []byte {
	h.Size = int64(len(data))
	return append(RawTarHeader(h), data...)
}

// SymlinkTar returns a tar archive with a symbolic link, and a file whose path leads through it. A decoder that makes the
// link and follows it writes where target points (CVE-2001-1267 and dozens since).
func SymlinkTar(target string) []byte {
	return RawTar(
		RawTarHeader(TarHeader{Name: "link", Link: target, Type: '2'}),
		tarMember(TarHeader{Name: "link/pwned.txt"}, "pwned"),
		RawTarHeader(TarHeader{Name: "hard", Link: target, Type: '1'}),
		tarMember(TarHeader{Name: "hard"}, "written through a hard link"),
	)
}

// SpecialsTar returns a tar archive of everything that is neither a file nor a directory, files that want to run as their
// owner, and hard links to a file, to nothing and to the outside.
func SpecialsTar() []byte {
	return RawTar(
		tarMember(TarHeader{Name: "setuid", Mode: 0o6777}, "#!/bin/sh"),
		RawTarHeader(TarHeader{Name: "hard", Link: "setuid", Type: '1'}),
		RawTarHeader(TarHeader{Name: "nothing", Link: "absent", Type: '1'}),
		RawTarHeader(TarHeader{Name: "outside", Link: "../../etc/passwd", Type: '1'}),
		RawTarHeader(TarHeader{Name: "symbolic", Link: "/etc/passwd", Type: '2'}),
		RawTarHeader(TarHeader{Name: "null", Type: '3'}),
		RawTarHeader(TarHeader{Name: "disk", Type: '4'}),
		RawTarHeader(TarHeader{Name: "pipe", Type: '6'}),
		tarMember(TarHeader{Name: "last.txt"}, "last"),
	)
}

// SparseTar returns a tar archive of 3 KiB with a sparse file of the given size, of which one block is there (old GNU
// format): a decoder that writes the holes fills the disk. The size needs base 256 if it is more than 8 GiB.
func SparseTar(size int64) []byte {
	entry := func(v int64) string { return base256(v, 12) }
	const blank = "\x00"
	sparse := entry(0) + entry(tarBlock) + entry(size) + entry(0) + string(make([]byte, 2*24)) + blank + entry(size)
	header := RawTarHeader(TarHeader{Name: "sparse.dat", Type: 'S', Size: tarBlock, Sparse: sparse})
	return RawTar(append(header, make([]byte, tarBlock)...), tarMember(TarHeader{Name: "last.txt"}, "last"))
}

// base256 is GNU tar's form of a number that is too large for octal digits.
func base256(v int64, width int) string {
	b := make([]byte, width)
	for i := width - 1; v > 0; i-- {
		b[i], v = byte(v), v>>8
	}
	b[0] |= 0x80
	return string(b)
}

// PaxSizeTar returns a tar archive whose pax record says another size than the header of the file, which is right: where
// two decoders do not agree which counts, they see different files behind it.
func PaxSizeTar(size int64) []byte {
	record := paxRecord("size", strconv.FormatInt(size, 10))
	return RawTar(
		tarMember(TarHeader{Name: "pax", Type: 'x'}, record),
		tarMember(TarHeader{Name: "a.txt"}, "text"),
		tarMember(TarHeader{Name: "last.txt"}, "last"),
	)
}

// paxRecord begins with its own length, in decimal digits.
func paxRecord(key, value string) string {
	rest := " " + key + "=" + value + "\n"
	length := len(rest)
	for len(strconv.Itoa(length))+len(rest) != length {
		length = len(strconv.Itoa(length)) + len(rest)
	}
	return strconv.Itoa(length) + rest
}
