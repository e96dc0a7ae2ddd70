package archive

import (
	"encoding/binary"
	"io"
	"math"
)

// More marks and sizes of zip records, and fields of them (APPNOTE.TXT 4.3 and 4.5.3).
const (
	zip64EndMark     = "PK\x06\x06"
	zip64LocatorMark = "PK\x06\x07"
	zip64EndSize     = 56
	zip64LocatorSize = 20
	zip64ExtraID     = 0x0001
)

var errZipDirectory = fault(ReasonCorrupt, "the directory of the zip archive is damaged")

// zipEndRecords are the records that a zip archive ends with, in its last volume.
type zipEndRecords struct {
	at      int64  // where the end of central directory record begins
	end     []byte // that record (4.3.16)
	locator []byte // the zip64 locator before it (4.3.15); nil if there is none
}

func readZipEndRecords(last volume) (zipEndRecords, error) {
	found, ok := findZipEnd(last.r, last.size, zipCommentMax)
	if !ok {
		return zipEndRecords{}, fault(ReasonTruncated, "the directory at the end of the zip archive is missing")
	}
	before := min(found.at, zip64LocatorSize)
	records := make([]byte, before+zipEndSize)
	if n, err := last.r.ReadAt(records, found.at-before); n < len(records) {
		return zipEndRecords{}, err
	}
	e := zipEndRecords{at: found.at, end: records[before:]}
	if before == zip64LocatorSize && string(records[:4]) == zip64LocatorMark {
		e.locator = records[:before]
	}
	return e, nil
}

// volumes is how many volumes the archive has.
func (e zipEndRecords) volumes() int64 {
	if number := le16(e.end, 4); number < math.MaxUint16 || e.locator == nil {
		return number + 1
	}
	return le32(e.locator, 16)
}

// zipDirectory is where the central directory of a zip archive lies in its volumes.
type zipDirectory struct {
	volume  int64 // that offset counts in, from 0
	offset  int64
	size    int64
	entries int64
	end     int64 // where the record begins that says so, in the joined file
}

func (e zipEndRecords) directory(j *joined) (zipDirectory, error) {
	d := zipDirectory{
		volume: le16(e.end, 6), entries: le16(e.end, 10), size: le32(e.end, 12), offset: le32(e.end, 16),
		end: j.starts[len(j.starts)-1] + e.at,
	}
	short := d.volume == math.MaxUint16 || d.entries == math.MaxUint16 || d.size == math.MaxUint32 || d.offset == math.MaxUint32
	if short && e.locator != nil {
		record, at, err := e.zip64End(j)
		if err != nil {
			return d, err
		}
		d = zipDirectory{
			volume: le32(record, 20), entries: le64(record, 32), size: le64(record, 40), offset: le64(record, 48), end: at,
		}
	}
	at, ok := j.position(d.volume, d.offset)
	if !ok || d.size < 0 || d.size > d.end-at {
		return d, errZipDirectory
	}
	return d, nil
}

// zip64End reads the zip64 end of central directory record (4.3.14) that the locator points to.
func (e zipEndRecords) zip64End(j *joined) (record []byte, at int64, err error) {
	at, ok := j.position(le32(e.locator, 4), le64(e.locator, 8))
	record = make([]byte, zip64EndSize)
	if !ok {
		return nil, 0, errZipDirectory
	}
	if n, err := j.ReadAt(record, at); n < len(record) {
		return nil, 0, err
	}
	if string(record[:4]) != zip64EndMark {
		return nil, 0, errZipDirectory
	}
	return record, at, nil
}

// isZipDirectoryEncrypted says whether the central directory itself is encrypted, so that not even the names can be had
// (7.3.4). Then it is no directory for any reader here.
func isZipDirectoryEncrypted(r io.ReaderAt, size int64) bool {
	const firstVersion, plainSize = 62, zip64EndSize - 12 // of the record, without what stands before its size
	file := volume{r: r, size: size}
	records, err := readZipEndRecords(file)
	if err != nil || records.locator == nil {
		return false
	}
	record, _, err := records.zip64End(join(file))
	return err == nil && le16(record, 14) >= firstVersion && le64(record, 4) > plainSize
}

// position turns an offset in a volume into one in the joined file.
func (j *joined) position(volume, offset int64) (int64, bool) {
	if volume < 0 || volume >= int64(len(j.volumes)) || offset < 0 || offset > j.volumes[volume].size {
		return 0, false
	}
	return j.starts[volume] + offset, true
}

// nextCentral cuts the first header, with its name, extra fields and comment, off a central directory (4.3.12).
func nextCentral(directory []byte) (header, rest []byte, ok bool) {
	if len(directory) < zipCentralSize || string(directory[:4]) != zipCentralMark {
		return nil, directory, false
	}
	size := zipCentralSize + le16(directory, 28) + le16(directory, 30) + le16(directory, 32)
	if size > int64(len(directory)) {
		return nil, directory, false
	}
	return directory[:size], directory[size:], true
}

// centralLocation says where the local header of an entry begins, given its header in the central directory.
func centralLocation(header []byte) (volume, offset int64) {
	volume, offset = le16(header, 34), le32(header, 42)
	name := zipCentralSize + le16(header, 28)
	long, _ := zipExtra(header[name:name+le16(header, 30)], zip64ExtraID)
	long = long[zip64Sizes(header, long):]
	if offset == math.MaxUint32 && len(long) >= 8 {
		offset, long = le64(long, 0), long[8:]
	}
	if volume == math.MaxUint16 && len(long) >= 4 {
		volume = le32(long, 0)
	}
	return volume, offset
}

// zip64Sizes is how many bytes the sizes take in the zip64 field of an entry, where each is only if its short form cannot
// hold it. The offset comes behind them (4.5.3).
func zip64Sizes(header, long []byte) int {
	n := 0
	for _, at := range []int{20, 24} {
		if le32(header, at) == math.MaxUint32 {
			n += 8
		}
	}
	return min(n, len(long))
}

// zipExtra returns the extra field with an identifier (4.5.1), and the fields without it.
func zipExtra(extra []byte, id uint16) (field, others []byte) {
	for rest := extra; len(rest) >= 4; {
		size := 4 + le16(rest, 2)
		if size > int64(len(rest)) {
			break
		}
		if binary.LittleEndian.Uint16(rest) == id {
			before := len(extra) - len(rest)
			return rest[4:size], append(extra[:before:before], rest[size:]...)
		}
		rest = rest[size:]
	}
	return nil, extra
}

func le16(b []byte, at int) int64 { return int64(binary.LittleEndian.Uint16(b[at:])) }
func le32(b []byte, at int) int64 { return int64(binary.LittleEndian.Uint32(b[at:])) }

// le64 is negative where the value is none that a file can have.
func le64(b []byte, at int) int64 { return int64(binary.LittleEndian.Uint64(b[at:])) }

// readZipDirectory reads the bytes of the central directory, which begins at an offset in the joined file.
func readZipDirectory(r io.ReaderAt, at, size int64) ([]byte, error) {
	const most = 64 << 20 // far more than the entries that are ever extracted need
	if size > most {
		return nil, fault(ReasonLimitEntries, "the directory of the zip archive is larger than %d MiB", most>>20)
	}
	directory := make([]byte, size)
	if n, err := r.ReadAt(directory, at); int64(n) < size {
		return nil, err
	}
	return directory, nil
}
