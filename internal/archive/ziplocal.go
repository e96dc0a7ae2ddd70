package archive

import (
	"io"
	"math"
	"strings"

	"github.com/klauspost/compress/zip"
)

// zipHeaderOffsets returns where the local headers of the entries begin, in the order of the central directory, which is
// that of zip.Reader.File; the reader does not tell it. It returns nil for an archive in volumes, and where the directory
// is not what it should be.
func zipHeaderOffsets(r io.ReaderAt, size int64) []int64 {
	file := volume{r: r, size: size}
	records, err := readZipEndRecords(file)
	if err != nil || records.volumes() != 1 {
		return nil
	}
	d, err := records.directory(join(file))
	if err != nil {
		return nil
	}
	base := d.end - d.size - d.offset // of an archive behind something else
	if base > 0 && startsCentral(r, d.offset) {
		base = 0
	}
	directory, err := readZipDirectory(r, base+d.offset, d.size)
	if err != nil {
		return nil
	}
	var offsets []int64
	for header, rest, ok := nextCentral(directory); ok; header, rest, ok = nextCentral(rest) {
		number, offset := centralLocation(header)
		if number != 0 {
			return nil
		}
		offsets = append(offsets, base+offset)
	}
	return offsets
}

func startsCentral(r io.ReaderAt, at int64) bool {
	mark := make([]byte, len(zipCentralMark))
	_, _ = r.ReadAt(mark, at)
	return string(mark) == zipCentralMark
}

// localDifference names what the local header of an entry, which begins at the offset, says otherwise than the central
// directory; "" if nothing. Programs that read an archive from its beginning see the one, all others the other: an archive
// in which they differ was made to show different contents to different readers, or is damaged.
func localDifference(r io.ReaderAt, offset int64, file *zip.File) (string, error) {
	header := make([]byte, zipLocalSize+len(file.Name))
	n, err := r.ReadAt(header, offset)
	if n < zipLocalSize {
		return "", err
	}
	if string(header[:4]) != zipLocalMark {
		return "no local header", nil
	}
	var differs []string
	note := func(what string, same bool) {
		if !same {
			differs = append(differs, what)
		}
	}
	const streamed = 1 << 3 // sizes and checksum follow the data
	const decisive = 1<<0 | 1<<6 | 1<<13
	flags := uint16(le16(header, 6))
	note("name", le16(header, 26) == int64(len(file.Name)) && string(header[zipLocalSize:n]) == file.Name)
	note("encryption", flags&decisive == file.Flags&decisive)
	note("method", le16(header, 8) == int64(file.Method))
	if flags&streamed == 0 {
		note("checksum", uint32(le32(header, 14)) == file.CRC32)
		note("compressed size", sameSize(le32(header, 18), file.CompressedSize64))
		note("size", sameSize(le32(header, 22), file.UncompressedSize64))
	}
	return strings.Join(differs, ", "), nil
}

// sameSize compares a short size, behind which there may be one of zip64.
func sameSize(local int64, central uint64) bool {
	return local == math.MaxUint32 || uint64(local) == central
}
