package archive

import (
	"bytes"
	"encoding/binary"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zlib"
)

// Format is a format of archives or of compressed streams. A tar archive inside a compressed stream is found when the
// stream is read; here it is the format of the stream.
type Format string

// Formats.
const (
	Zip      Format = "zip"
	Tar      Format = "tar"
	SevenZip Format = "7z"
	Rar      Format = "rar"
	Gzip     Format = "gz"
	Bzip2    Format = "bz2"
	XZ       Format = "xz"
	Zstd     Format = "zst"
	LZ4      Format = "lz4"
	Brotli   Format = "br"
	Snappy   Format = "sz"
	Lzip     Format = "lz"
	Zlib     Format = "zz"
)

// magics are the formats that begin with bytes of their own.
var magics = []struct {
	format Format
	bytes  string
}{
	{Zip, "PK\x03\x04"},
	{Zip, "PK\x05\x06"},           // an empty one
	{Zip, "PK\x07\x08PK\x03\x04"}, // the first volume of a set
	{Zip, "PK00PK\x03\x04"},       // a set that fitted into one volume
	{SevenZip, "7z\xbc\xaf\x27\x1c"},
	{Rar, "Rar!\x1a\x07\x00"},     // up to version 4
	{Rar, "Rar!\x1a\x07\x01\x00"}, // version 5
	{Gzip, "\x1f\x8b\x08"},        // RFC 1952; 8 is the only method there is
	{XZ, "\xfd7zXZ\x00"},
	{Snappy, "\xff\x06\x00\x00sNaPpY"},
	{Lzip, "LZIP\x01"},
	{LZ4, "\x04\x22\x4d\x18"},
	{LZ4, "\x02\x21\x4c\x18"}, // legacy frame
	{Zstd, "\x28\xb5\x2f\xfd"},
}

// Recognise tells the format of a file by its content: bytes at fixed places, the checksum of a tar header, the end
// record of a zip archive. The name decides only where the content cannot: for brotli, which has no mark at all, zlib,
// whose mark is two bytes, an empty tar archive, which is nothing but zeros, and formats that are only told apart to be
// refused. offset is where a 7z or RAR archive begins that a program was put before, else 0.
//
// It reads the first KiB; more only where that promises something: the last 64 KiB of what may be a zip archive behind
// something else, the first 2 MiB of a program, the first 64 KiB of what is called brotli or zlib.
func Recognise(name string, r io.ReaderAt, size int64) (format Format, offset int64, ok bool) {
	return newProbe(name, r, size).recognise()
}

// IsCandidate says whether a file is to be handed to Extract: it is an archive by its content, or it is called one, so
// that its being none is worth a report. Documents that happen to be zip archives are plain files. Archives that cannot be
// opened here are candidates too: that they are closed is to be seen in a report.
func IsCandidate(name string, r io.ReaderAt, size int64) bool {
	p := newProbe(name, r, size)
	if format, _, ok := p.recognise(); ok {
		return format != Zip || !p.isDocument()
	}
	return (archiveNames[p.ext] || tarNames[p.ext] || isLaterVolume(name)) && !p.starts(appleDouble)
}

// appleDouble begins the attributes that macOS stores beside each file of a zip archive, as "__MACOSX/._a.zip" (RFC 1740,
// appendix A).
const appleDouble = "\x00\x05\x16\x07"

// archiveNames are the extensions of what can be opened here.
var archiveNames = map[string]bool{
	".zip": true, ".zipx": true, ".tar": true, ".7z": true, ".rar": true, ".gz": true, ".bz2": true, ".xz": true,
	".zst": true, ".lz4": true, ".br": true, ".sz": true, ".lz": true, ".zz": true,
}

// probe is a file that is to be recognised.
type probe struct {
	r    io.ReaderAt
	size int64
	ext  string // of its name, in lower case
	head []byte
}

func newProbe(name string, r io.ReaderAt, size int64) *probe {
	p := &probe{r: r, size: max(size, 0), ext: strings.ToLower(path.Ext(name))}
	p.head = p.read(0, 2*tarBlock)
	return p
}

// read returns at most count bytes from an offset on, fewer where the file ends or cannot be read.
func (p *probe) read(offset, count int64) []byte {
	buffer := make([]byte, max(min(count, p.size-offset), 0))
	n, _ := p.r.ReadAt(buffer, offset)
	return buffer[:n]
}

func (p *probe) starts(magic string) bool { return bytes.HasPrefix(p.head, []byte(magic)) }

func (p *probe) recognise() (format Format, offset int64, ok bool) {
	if format, ok := p.byMagic(); ok {
		return format, 0, true
	}
	switch {
	case isTarHeader(p.head), p.ext == ".tar" && isEmptyTar(p.head):
		return Tar, 0, true
	case isBzip2(p.head):
		return Bzip2, 0, true
	case p.isPrefixedZip():
		return Zip, 0, true
	case p.ext == ".br" && p.decodes(func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil }):
		return Brotli, 0, true
	case p.ext == ".zz" && p.decodes(func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }):
		return Zlib, 0, true
	}
	if format, offset, ok := p.behindProgram(); ok {
		return format, offset, true
	}
	format, ok = p.closedFormat()
	return format, 0, ok
}

func (p *probe) byMagic() (Format, bool) {
	head := p.skipFrames()
	for _, magic := range magics {
		if bytes.HasPrefix(head, []byte(magic.bytes)) {
			return magic.format, true
		}
	}
	return "", false
}

// skipFrames returns the bytes behind the skippable frames that an lz4 or zstd file may begin with (RFC 8878, 3.1.2).
func (p *probe) skipFrames() []byte {
	const few = 64
	head, offset := p.head, int64(0)
	for range few {
		if len(head) < 8 || head[0]&0xf0 != 0x50 || string(head[1:4]) != "\x2a\x4d\x18" {
			return head
		}
		offset += 8 + int64(binary.LittleEndian.Uint32(head[4:]))
		head = p.read(offset, 8)
	}
	return nil
}

// isBzip2 wants the magic of the first block (or of the end, if there is none) too: "BZh1" could begin a text.
func isBzip2(head []byte) bool {
	return len(head) >= 10 && string(head[:3]) == "BZh" && head[3] >= '1' && head[3] <= '9' &&
		(string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90")
}

// decodes tries a decoder of a format without a mark on the beginning of the file. A file that ends too early counts if
// anything came out; what only is followed by something else does not count if nothing came out: a text that begins with
// ";" would be an empty brotli stream and a rest.
func (p *probe) decodes(open func(io.Reader) (io.Reader, error)) (ok bool) {
	const input, output = 64 << 10, 4 << 10
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	stream, err := open(io.NewSectionReader(p.r, 0, min(p.size, input)))
	if err != nil {
		return false
	}
	count, err := io.CopyN(io.Discard, stream, output)
	return err == nil || err == io.EOF || count > 0 && (err == io.ErrUnexpectedEOF || isForeign(err))
}

const tarBlock = 512

// isTarHeader checks the sum of a header block, which also the old headers without "ustar" have. The sum is over the
// block with the sum's own field as spaces; some old programs added signed bytes. A table of numbers could by chance have
// its sum at that place, but not a size too.
func isTarHeader(head []byte) bool {
	const sizeAt, sizeEnd, sumAt, sumEnd = 124, 136, 148, 156
	if len(head) < tarBlock || !isTarNumber(head[sizeAt:sizeEnd]) {
		return false
	}
	stored, err := strconv.ParseInt(strings.Trim(string(head[sumAt:sumEnd]), " \x00"), 8, 64)
	if err != nil || stored == 0 {
		return false
	}
	var unsigned, signed int64
	for i, b := range head[:tarBlock] {
		if i >= sumAt && i < sumEnd {
			b = ' '
		}
		unsigned += int64(b)
		signed += int64(int8(b))
	}
	return stored == unsigned || stored == signed
}

// isTarNumber accepts octal digits between spaces and NULs, and the base 256 of GNU tar.
func isTarNumber(field []byte) bool {
	return field[0]&0x80 != 0 || len(bytes.Trim(bytes.Trim(field, " \x00"), "01234567")) == 0
}

// isEmptyTar says whether a tar archive has ended before it began: two blocks of zeros.
func isEmptyTar(head []byte) bool {
	return len(head) >= 2*tarBlock && isZero(head[:2*tarBlock])
}

func isZero(p []byte) bool { return len(bytes.TrimLeft(p, "\x00")) == 0 }
