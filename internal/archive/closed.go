package archive

import (
	"encoding/binary"
	"math/bits"
	"slices"
)

// Formats that are recognised and not opened. Their names have to fit too, so that a text with such a beginning stays one.
const (
	Compress Format = "Z"
	LZMA     Format = "lzma"
	Cab      Format = "cab"
	Arj      Format = "arj"
	LHA      Format = "lzh"
	ACE      Format = "ace"
	Cpio     Format = "cpio"
	Rar14    Format = "rar14"
)

// closed are these formats, as a report calls them. Disk images and packages (ISO, deb, rpm, MSI) are not among them: they
// are to be installed, as documents are to be read.
var closed = []struct {
	format Format
	words  string
	exts   []string
	begins func(head []byte) bool
}{
	{Compress, "compress (.Z)", []string{".z", ".taz"}, at(0, "\x1f\x9d")},
	{LZMA, "LZMA without a container", []string{".lzma", ".tlz"}, isLZMA},
	{Cab, "a cabinet of Windows", []string{".cab"}, at(0, "MSCF\x00\x00\x00\x00")},
	{Arj, "ARJ", []string{".arj"}, at(0, "\x60\xea")},
	{LHA, "LHA", []string{".lzh", ".lha"}, at(2, "-lh0-", "-lh1-", "-lh4-", "-lh5-", "-lh6-", "-lh7-")},
	{ACE, "ACE", []string{".ace"}, at(7, "**ACE**")},
	{Cpio, "cpio", []string{".cpio"}, at(0, "070701", "070702", "070707", "\xc7\x71", "\x71\xc7")},
	{Rar14, "RAR before version 1.5", []string{".rar"}, at(0, "RE~^")},
}

// at returns a test for marks at an offset.
func at(offset int, marks ...string) func([]byte) bool {
	return func(head []byte) bool {
		return slices.ContainsFunc(marks, func(mark string) bool {
			return len(head) >= offset+len(mark) && string(head[offset:offset+len(mark)]) == mark
		})
	}
}

// isLZMA checks the header of .lzma, which has no mark: properties, the dictionary and an unpacked size that may be unknown
// (lzma-file-format.txt of XZ Utils). As there, sizes below 256 GiB are taken for real, and round sizes of the dictionary:
// 2^n or 2^n + 2^(n-1), and what else is a single run of bits.
func isLZMA(head []byte) bool {
	const properties, headerSize, unknown, plausible = 9 * 5 * 5, 13, 1<<64 - 1, 1 << 38
	if len(head) < headerSize || head[0] >= properties {
		return false
	}
	dictionary, size := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint64(head[5:])
	if size != unknown && size >= plausible {
		return false
	}
	return bits.OnesCount32(dictionary&^(dictionary>>1)) == 1
}

func (p *probe) closedFormat() (Format, bool) {
	for _, c := range closed {
		if slices.Contains(c.exts, p.ext) && c.begins(p.head) {
			return c.format, true
		}
	}
	return "", false
}

// refusal says why files of the format are not opened, if they are not.
func (f Format) refusal() error {
	for _, c := range closed {
		if c.format == f {
			return fault(ReasonUnsupportedMethod, "%s is a format that is not opened here", c.words)
		}
	}
	return nil
}
