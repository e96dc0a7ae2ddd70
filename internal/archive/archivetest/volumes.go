package archivetest

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
	"strings"
)

// Cut returns data in pieces of the size given, the last one being what is left.
func Cut(data []byte, size int) [][]byte { return slices.Collect(slices.Chunk(data, size)) }

// SplitZip returns the volumes of a zip archive without a comment, of the size given but for the last one, whose number
// the directory counts in (APPNOTE.TXT 8.5).
func SplitZip(archive []byte, size int) [][]byte {
	const mark, endSize = "PK\x07\x08", 22
	data := append([]byte(mark), archive...)
	volumes := (len(data)-endSize)/size + 1
	locate := func(offset uint32) (volume uint16, in uint32) {
		at := int(offset) + len(mark)
		number := min(at/size, volumes-1)
		return uint16(number), uint32(at - number*size)
	}
	le := binary.LittleEndian
	end := data[len(data)-endSize:]
	directory := data[int(le.Uint32(end[16:]))+len(mark) : len(data)-endSize]
	for len(directory) > 0 {
		volume, in := locate(le.Uint32(directory[42:]))
		le.PutUint16(directory[34:], volume)
		le.PutUint32(directory[42:], in)
		rest := 46 + le.Uint16(directory[28:]) + le.Uint16(directory[30:]) + le.Uint16(directory[32:])
		directory = directory[rest:]
	}
	volume, in := locate(le.Uint32(end[16:]))
	le.PutUint16(end[4:], uint16(volumes-1))
	le.PutUint16(end[6:], volume)
	le.PutUint32(end[16:], in)

	last := (volumes - 1) * size
	return append(Cut(data[:last], size), data[last:])
}

// RarVolumes returns the volumes of a RAR 5 archive, each with so many bytes of contents, stored without compression.
func RarVolumes(files []File, contents int) [][]byte {
	w := &rarWriter{size: contents}
	w.open()
	for _, f := range files {
		w.file(f)
	}
	w.close(0)
	return w.volumes
}

type rarWriter struct {
	old     bool
	size    int
	left    int
	volumes [][]byte
}

func (w *rarWriter) current() *[]byte { return &w.volumes[len(w.volumes)-1] }

func (w *rarWriter) open() {
	const inSet, numbered = 0x01, 0x02
	w.left = w.size
	if w.old {
		main := oldRarBlock(0x73, inSet, make([]byte, 6))
		w.volumes = append(w.volumes, append([]byte("Rar!\x1a\x07\x00"), main...))
		return
	}
	fields := []byte{inSet}
	if number := len(w.volumes); number > 0 {
		fields = binary.AppendUvarint([]byte{inSet | numbered}, uint64(number))
	}
	out := []byte("Rar!\x1a\x07\x01\x00")
	w.volumes = append(w.volumes, appendRarBlock(out, rarMain, 0, 0, fields, nil))
}

func (w *rarWriter) close(flags byte) {
	if w.old {
		return
	}
	*w.current() = appendRarBlock(*w.current(), rarEnd, 0, 0, []byte{flags}, nil)
}

// file writes a file in as many parts as there are volumes that it lies in. All but the last have the checksum of the part.
func (w *rarWriter) file(f File) {
	const moreVolumes = 1
	for data, first := f.Data, true; ; first = false {
		part := data[:min(len(data), w.left)]
		data, w.left = data[len(part):], w.left-len(part)
		sum := crc32.ChecksumIEEE(f.Data)
		if len(data) > 0 {
			sum = crc32.ChecksumIEEE(part)
		}
		*w.current() = append(append(*w.current(), w.header(f, len(part), sum, first, len(data) == 0)...), part...)
		if len(data) == 0 {
			return
		}
		w.close(moreVolumes)
		w.open()
	}
}

// header is the head of a part of a file.
func (w *rarWriter) header(f File, packed int, sum uint32, first, last bool) []byte {
	fromBefore, continues := uint64(0x08), uint64(0x10)
	if w.old {
		fromBefore, continues = 0x01, 0x02
	}
	flags := uint64(0)
	if !first {
		flags |= fromBefore
	}
	if !last {
		flags |= continues
	}
	if w.old {
		const hasData = 0x8000
		return oldRarBlock(0x74, uint16(flags|hasData), oldRarFile(f, packed, sum))
	}
	return appendRarBlock(nil, rarFile, flags|rarHasData, packed, rarPartHeader(f, sum), nil)
}

// rarPartHeader is the header of a file with another checksum.
func rarPartHeader(f File, sum uint32) []byte {
	header := rarFileHeader(f)
	if !f.isDir() {
		behind := 2 + len(binary.AppendUvarint(nil, uint64(len(f.Name)))) + len(f.Name)
		binary.LittleEndian.PutUint32(header[len(header)-behind-4:], sum)
	}
	return header
}

// OldRarVolumes is RarVolumes as version 2 wrote them: without numbers, and without a mark of their end.
func OldRarVolumes(files []File, contents int) [][]byte {
	w := &rarWriter{size: contents, old: true}
	w.open()
	for _, f := range files {
		w.file(f)
	}
	return w.volumes
}

func oldRarFile(f File, packed int, sum uint32) []byte {
	const unix, version, stored = 3, 20, 0x30
	le := binary.LittleEndian
	b := le.AppendUint32(nil, uint32(packed))
	b = le.AppendUint32(b, uint32(len(f.Data)))
	b = le.AppendUint32(append(b, unix), sum)
	b = le.AppendUint32(b, 0x5c6428c4) // the time, as DOS has it
	b = le.AppendUint16(append(b, version, stored), uint16(len(f.Name)))
	return append(le.AppendUint32(b, 0o100644), strings.ReplaceAll(f.Name, "/", `\`)...)
}

// oldRarBlock puts the head of a block, with its checksum, before its fields.
func oldRarBlock(kind byte, flags uint16, fields []byte) []byte {
	le := binary.LittleEndian
	b := le.AppendUint16([]byte{kind}, flags)
	b = append(le.AppendUint16(b, uint16(7+len(fields))), fields...)
	return append(le.AppendUint16(nil, uint16(crc32.ChecksumIEEE(b))), b...)
}
