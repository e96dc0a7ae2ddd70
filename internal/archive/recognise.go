package archive

import (
	"bytes"
	"encoding/binary"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/mholt/archiver/v4"
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
// whose mark is two bytes, and an empty tar archive, which is nothing but zeros.
func Recognise(name string, r io.ReaderAt, size int64) (Format, bool) {
	head := make([]byte, min(size, 2*tarBlock))
	n, _ := r.ReadAt(head, 0)
	head = head[:n]
	ext := strings.ToLower(path.Ext(name))
	if format, ok := byMagic(head, r, size); ok {
		return format, true
	}
	switch {
	case isTarHeader(head), ext == ".tar" && isEmptyTar(head):
		return Tar, true
	case isBzip2(head):
		return Bzip2, true
	case isPrefixedZip(head, ext, r, size):
		return Zip, true
	case ext == ".br" && size > 0:
		return Brotli, true
	case ext == ".zz" && startsZlib(r, size):
		return Zlib, true
	}
	return "", false
}

func byMagic(head []byte, r io.ReaderAt, size int64) (Format, bool) {
	head = skipFrames(head, r, size)
	for _, magic := range magics {
		if bytes.HasPrefix(head, []byte(magic.bytes)) {
			return magic.format, true
		}
	}
	return "", false
}

// skipFrames returns the bytes behind the skippable frames that an lz4 or zstd file may begin with (RFC 8878, 3.1.2).
func skipFrames(head []byte, r io.ReaderAt, size int64) []byte {
	const few = 64
	offset := int64(0)
	for range few {
		if len(head) < 8 || head[0]&0xf0 != 0x50 || !bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}) {
			return head
		}
		offset += 8 + int64(binary.LittleEndian.Uint32(head[4:]))
		if offset >= size {
			return nil
		}
		next := make([]byte, 8)
		n, _ := r.ReadAt(next, offset)
		head = next[:n]
	}
	return nil
}

// isBzip2 wants the magic of the first block (or of the end, if there is none) too: "BZh1" could begin a text.
func isBzip2(head []byte) bool {
	return len(head) >= 10 && string(head[:3]) == "BZh" && head[3] >= '1' && head[3] <= '9' &&
		(string(head[4:10]) == "1AY&SY" || string(head[4:10]) == "\x17\x72\x45\x38\x50\x90")
}

func startsZlib(r io.ReaderAt, size int64) bool {
	stream, err := archiver.Zlib{}.OpenReader(io.NewSectionReader(r, 0, size))
	if err != nil {
		return false
	}
	defer stream.Close()
	_, err = io.CopyN(io.Discard, stream, tarBlock)
	return err == nil || err == io.EOF
}

const tarBlock = 512

// isTarHeader checks the sum of a header block, which also the old headers without "ustar" have. The sum is over the
// block with the sum's own field as spaces; some old programs added signed bytes.
func isTarHeader(head []byte) bool {
	const sumAt, sumEnd = 148, 156
	if len(head) < tarBlock {
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

// isEmptyTar says whether a tar archive has ended before it began: two blocks of zeros.
func isEmptyTar(head []byte) bool {
	return len(head) >= 2*tarBlock && isZero(head[:2*tarBlock])
}

func isZero(p []byte) bool { return len(bytes.TrimLeft(p, "\x00")) == 0 }

// archiveNames are the extensions of what can be opened here.
var archiveNames = map[string]bool{
	".zip": true, ".tar": true, ".7z": true, ".rar": true, ".gz": true, ".bz2": true, ".xz": true, ".zst": true,
	".lz4": true, ".br": true, ".sz": true, ".lz": true, ".zz": true,
}

// IsCandidate says whether a file is to be handed to Extract: it is an archive by its content, or it is called one, so
// that its being none is worth a report. Documents that happen to be zip archives (Office, OpenDocument, EPUB, Java,
// Android) are plain files.
func IsCandidate(name string, r io.ReaderAt, size int64) bool {
	if format, ok := Recognise(name, r, size); ok {
		return format != Zip || !isDocument(r, size)
	}
	ext := strings.ToLower(path.Ext(name))
	return (archiveNames[ext] || tarNames[ext]) && !isAppleDouble(r)
}

// isAppleDouble recognises the attributes that macOS stores beside each file of a zip archive, as "__MACOSX/._a.zip"
// (RFC 1740, appendix A).
func isAppleDouble(r io.ReaderAt) bool {
	var magic [4]byte
	_, err := r.ReadAt(magic[:], 0)
	return err == nil && magic == [4]byte{0x00, 0x05, 0x16, 0x07}
}
