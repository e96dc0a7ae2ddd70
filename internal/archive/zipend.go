package archive

import (
	"bytes"
	"encoding/binary"
	"io"
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
		comment := int(binary.LittleEndian.Uint16(record[20:]))
		if rest := len(record) - zipEndSize - comment; rest >= 0 {
			return zipEnd{
				at: start + int64(i), volume: int(binary.LittleEndian.Uint16(record[4:])), rest: int64(rest),
				directorySize: int64(binary.LittleEndian.Uint32(record[12:])),
			}, true
		}
	}
}

// names returns the first names of the central directory, at most few of them.
func (e zipEnd) names(r io.ReaderAt, few int) []string {
	at := e.at - e.directorySize
	if at < 0 {
		return nil
	}
	directory := make([]byte, min(e.directorySize, int64(few)*1024))
	n, _ := r.ReadAt(directory, at)
	directory = directory[:n]
	var names []string
	for len(names) < few && len(directory) >= zipCentralSize && string(directory[:4]) == zipCentralMark {
		name := int(binary.LittleEndian.Uint16(directory[28:]))
		extra := int(binary.LittleEndian.Uint16(directory[30:]))
		comment := int(binary.LittleEndian.Uint16(directory[32:]))
		next := zipCentralSize + name + extra + comment
		if next > len(directory) {
			break
		}
		names = append(names, string(directory[zipCentralSize:zipCentralSize+name]))
		directory = directory[next:]
	}
	return names
}

// isPrefixedZip recognises a zip archive behind something else, such as a program that unpacks it. The record must close
// the file and its directory must be where it says: other files contain zip archives too. Only where a prefix is likely is
// a comment allowed for, since looking for one costs every plain file a read of 64 KiB.
func isPrefixedZip(head []byte, ext string, r io.ReaderAt, size int64) bool {
	behind := int64(0)
	for _, program := range []string{"MZ", "\x7fELF", "#!"} {
		if ext == ".zip" || bytes.HasPrefix(head, []byte(program)) {
			behind = zipCommentMax
		}
	}
	end, ok := findZipEnd(r, size, behind)
	return ok && end.rest == 0 && len(end.names(r, 1)) == 1
}

// isDocument says whether a zip archive is a document or a program: a plain file for those who own it.
func isDocument(r io.ReaderAt, size int64) bool {
	const few = 64
	var names []string
	if end, ok := findZipEnd(r, size, zipCommentMax); ok {
		names = end.names(r, few)
	}
	if len(names) == 0 {
		names = firstLocalName(r)
	}
	for i, name := range names {
		switch {
		case name == "[Content_Types].xml", name == "AndroidManifest.xml": // Office Open XML, Android
			return true
		case i == 0 && name == "mimetype": // OpenDocument and EPUB want it to be the first
			return true
		case i < 2 && name == "META-INF/MANIFEST.MF": // Java, perhaps behind the entry of the directory
			return true
		}
	}
	return false
}

func firstLocalName(r io.ReaderAt) []string {
	record := make([]byte, zipLocalSize+256)
	n, _ := r.ReadAt(record, 0)
	if n < zipLocalSize || string(record[:4]) != zipLocalMark {
		return nil
	}
	length := int(binary.LittleEndian.Uint16(record[26:]))
	if zipLocalSize+length > n {
		return nil
	}
	return []string{string(record[zipLocalSize : zipLocalSize+length])}
}
