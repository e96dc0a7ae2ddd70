package archivetest

import (
	"encoding/binary"
	"hash/crc32"
	"math"
)

// ZipEntry is an entry as it stands in a zip archive; nothing of it is checked or computed, so that all of it can be false.
type ZipEntry struct {
	Name       string
	LocalName  *string // in the local header; nil = Name
	Method     uint16
	Flags      uint16
	CRC        uint32
	Size       uint64 // uncompressed, as declared
	Packed     []byte // the compressed data
	LocalExtra []byte
	Extra      []byte // in the central directory
	Attributes uint32 // external: the mode of Unix << 16
	Behind     []byte // between the data and the next entry, such as a data descriptor
	LocalZero  bool   // checksum and sizes stand in Behind, and are 0 in the local header (flag bit 3)
}

// StoredEntry is a good entry without compression.
func StoredEntry(name string, data []byte) ZipEntry {
	return ZipEntry{Name: name, CRC: crc32.ChecksumIEEE(data), Size: uint64(len(data)), Packed: data}
}

// RawZip returns a zip archive with the entries as they are.
func RawZip(entries ...ZipEntry) []byte {
	var w rawZipWriter
	for _, e := range entries {
		w.add(e)
	}
	return w.close()
}

// rawZipWriter writes local headers and data, and collects the central directory.
type rawZipWriter struct {
	out, directory []byte
	entries        uint64
}

func (w *rawZipWriter) add(e ZipEntry) {
	at := uint64(len(w.out))
	w.out = append(append(append(w.out, localHeader(e)...), e.Packed...), e.Behind...)
	w.list(e, at)
}

// list adds a record of the central directory, for an entry whose local header is at an offset.
func (w *rawZipWriter) list(e ZipEntry, at uint64) {
	w.directory = append(w.directory, centralRecord(e, at)...)
	w.entries++
}

// localHeader returns the record of APPNOTE 4.3.7, without the data.
func localHeader(e ZipEntry) []byte {
	name := e.Name
	if e.LocalName != nil {
		name = *e.LocalName
	}
	extra := e.LocalExtra
	crc, packed, size := e.CRC, uint64(len(e.Packed)), e.Size
	if e.LocalZero {
		crc, packed, size = 0, 0, 0
	}
	if packed >= math.MaxUint32 || size >= math.MaxUint32 {
		extra = append(zip64Extra(size, packed), extra...)
	}
	b := zipCommon([]byte("PK\x03\x04"), e, crc, packed, size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(extra)))
	return append(append(b, name...), extra...)
}

// centralRecord returns the record of APPNOTE 4.3.12.
func centralRecord(e ZipEntry, at uint64) []byte {
	const versionMadeByUnix = 3<<8 | 45
	extra, packed := e.Extra, uint64(len(e.Packed))
	if packed >= math.MaxUint32 || e.Size >= math.MaxUint32 || at >= math.MaxUint32 {
		extra = append(zip64Extra(e.Size, packed, at), extra...)
	}
	b := binary.LittleEndian.AppendUint16([]byte("PK\x01\x02"), versionMadeByUnix)
	b = zipCommon(b, e, e.CRC, packed, e.Size)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(e.Name)))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(extra)))
	b = append(b, 0, 0, 0, 0, 0, 0) // comment, volume, internal attributes
	b = binary.LittleEndian.AppendUint32(b, e.Attributes)
	b = binary.LittleEndian.AppendUint32(b, narrow(at))
	return append(append(b, e.Name...), extra...)
}

// zipCommon appends what both records have: the version that is needed up to the sizes.
func zipCommon(b []byte, e ZipEntry, crc uint32, packed, size uint64) []byte {
	const versionNeeded, noTime, firstOf1980 = 45, 0, 0x21
	for _, field := range []uint16{versionNeeded, e.Flags, e.Method, noTime, firstOf1980} {
		b = binary.LittleEndian.AppendUint16(b, field)
	}
	for _, field := range []uint32{crc, narrow(packed), narrow(size)} {
		b = binary.LittleEndian.AppendUint32(b, field)
	}
	return b
}

// zip64Extra returns the extra field of those values that do not fit into 32 bits (APPNOTE 4.5.3).
func zip64Extra(values ...uint64) []byte {
	var body []byte
	for _, value := range values {
		if value >= math.MaxUint32 {
			body = binary.LittleEndian.AppendUint64(body, value)
		}
	}
	return append(extraHeader(1, len(body)), body...)
}

func extraHeader(id uint16, size int) []byte {
	return binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(nil, id), uint16(size))
}

func narrow(v uint64) uint32 { return uint32(min(v, math.MaxUint32)) }

// close returns the archive. The zip64 records (APPNOTE 4.3.14, 4.3.15) are there where the plain one is too small.
func (w *rawZipWriter) close() []byte {
	at, size := uint64(len(w.out)), uint64(len(w.directory))
	out := append(w.out, w.directory...)
	if w.entries >= math.MaxUint16 || at >= math.MaxUint32 {
		out = append(out, zip64End(w.entries, size, at, uint64(len(out)))...)
	}
	few := uint16(min(w.entries, math.MaxUint16))
	out = append(out, "PK\x05\x06\x00\x00\x00\x00"...)
	out = binary.LittleEndian.AppendUint16(binary.LittleEndian.AppendUint16(out, few), few)
	out = binary.LittleEndian.AppendUint32(out, narrow(size))
	out = binary.LittleEndian.AppendUint32(out, narrow(at))
	return append(out, 0, 0)
}

// zip64End returns the zip64 end record and its locator; end is the offset of the record itself.
func zip64End(entries, size, at, end uint64) []byte {
	b := binary.LittleEndian.AppendUint64([]byte("PK\x06\x06"), 44)
	b = append(b, 45, 0, 45, 0, 0, 0, 0, 0, 0, 0, 0, 0) // versions; volumes 0
	for _, field := range []uint64{entries, entries, size, at} {
		b = binary.LittleEndian.AppendUint64(b, field)
	}
	b = append(b, "PK\x06\x07\x00\x00\x00\x00"...)
	return append(binary.LittleEndian.AppendUint64(b, end), 1, 0, 0, 0)
}
