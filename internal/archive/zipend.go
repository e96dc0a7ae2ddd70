package archive

import (
	"bytes"
	"io"
	"math"
)

// Sizes and marks of zip records (APPNOTE.TXT 4.3).
const (
	zipLocalMark   = "PK\x03\x04"
	zipCentralMark = "PK\x01\x02"
	zipEndMark     = "PK\x05\x06"
	zipLocalSize   = 30
	zipCentralSize = 46
	zipEndSize     = 22
	zipCommentMax  = 1<<16 - 1
)

// zipEnd is the end of central directory record, found by searching backwards.
type zipEnd struct {
	at            int64 // its offset
	volume        int   // number of the volume it lies on
	directoryEnd  int64 // at, or the offset of the zip64 record before it
	directorySize int64
	rest          int64 // bytes behind it and its comment
}

// findZipEnd looks for the record behind which there are at most the given number of bytes, a comment or something else.
func findZipEnd(r io.ReaderAt, size int64, behind int64) (zipEnd, bool) {
	tail := make([]byte, min(size, zipEndSize+behind))
	start := size - int64(len(tail))
	if n, _ := r.ReadAt(tail, start); n < len(tail) {
		return zipEnd{}, false
	}
	for i := len(tail); ; {
		i = bytes.LastIndex(tail[:i], []byte(zipEndMark))
		if i < 0 {
			return zipEnd{}, false
		}
		record := tail[i:]
		if len(record) < zipEndSize {
			continue
		}
		if rest := int64(len(record)) - zipEndSize - le16(record, 20); rest >= 0 {
			return readZipEnd(r, start+int64(i), record, rest), true
		}
	}
}

func readZipEnd(r io.ReaderAt, at int64, record []byte, rest int64) zipEnd {
	e := zipEnd{at: at, volume: int(le16(record, 4)), directoryEnd: at, directorySize: le32(record, 12), rest: rest}
	if le16(record, 10) == math.MaxUint16 || le32(record, 12) == math.MaxUint32 || le32(record, 16) == math.MaxUint32 {
		e.readZip64(r)
	}
	return e
}

// readZip64 looks for the zip64 record right before its locator, where it lies also in an archive behind something else,
// then where the locator says that it lies (APPNOTE.TXT 4.3.14, 4.3.15). If it is at neither place nothing changes.
func (e *zipEnd) readZip64(r io.ReaderAt) {
	locator, ok := readMarked(r, e.at-zip64LocatorSize, zip64LocatorSize, zip64LocatorMark)
	if !ok {
		return
	}
	for _, at := range []int64{e.at - zip64LocatorSize - zip64EndSize, le64(locator, 8)} {
		if record, ok := readMarked(r, at, zip64EndSize, zip64EndMark); ok {
			e.directoryEnd, e.directorySize = at, le64(record, 40)
			return
		}
	}
}

// readMarked reads a record; ok says whether it is whole and begins with its mark.
func readMarked(r io.ReaderAt, at int64, size int, mark string) (record []byte, ok bool) {
	if at < 0 {
		return nil, false
	}
	record = make([]byte, size)
	n, _ := r.ReadAt(record, at)
	return record, n == size && string(record[:len(mark)]) == mark
}

// names returns the first names of the central directory, at most few of them.
func (e zipEnd) names(r io.ReaderAt, few int) []string {
	at := e.directoryEnd - e.directorySize
	if at < 0 || e.directorySize < 0 {
		return nil
	}
	directory := make([]byte, min(e.directorySize, int64(few)*1024))
	n, _ := r.ReadAt(directory, at)
	directory = directory[:n]
	var names []string
	for len(names) < few {
		header, rest, ok := nextCentral(directory)
		if !ok {
			break
		}
		names = append(names, string(header[zipCentralSize:zipCentralSize+le16(header, 28)]))
		directory = rest
	}
	return names
}

// isPrefixedZip recognises a zip archive behind something else, where that is plausible: behind a program that unpacks it,
// or when the name says so. What has a picture or a document before it is one for those who own it. The directory has to be
// where the end record says, and in a program the record to close the file: programs contain zip archives too.
func (p *probe) isPrefixedZip() bool {
	named := p.ext == ".zip" || p.ext == ".zipx"
	if !named && !p.starts("MZ") && !p.starts("\x7fELF") && !p.starts("#!") {
		return false
	}
	end, ok := findZipEnd(p.r, p.size, zipCommentMax)
	return ok && (named || end.rest == 0) && len(end.names(p.r, 1)) == 1
}
