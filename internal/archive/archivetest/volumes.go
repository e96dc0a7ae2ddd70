package archivetest

import (
	"encoding/binary"
	"hash/crc32"
	"slices"
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
	size    int
	left    int
	volumes [][]byte
}

func (w *rarWriter) current() *[]byte { return &w.volumes[len(w.volumes)-1] }

func (w *rarWriter) open() {
	const inSet, numbered = 0x01, 0x02
	fields := []byte{inSet}
	if number := len(w.volumes); number > 0 {
		fields = binary.AppendUvarint([]byte{inSet | numbered}, uint64(number))
	}
	out := []byte("Rar!\x1a\x07\x01\x00")
	w.volumes = append(w.volumes, appendRarBlock(out, rarMain, 0, 0, fields, nil))
	w.left = w.size
}

func (w *rarWriter) close(flags byte) {
	*w.current() = appendRarBlock(*w.current(), rarEnd, 0, 0, []byte{flags}, nil)
}

// file writes a file in as many parts as there are volumes that it lies in.
func (w *rarWriter) file(f File) {
	const fromBefore, continues, moreVolumes = 0x08, 0x10, 1
	data, flags := f.Data, uint64(rarHasData)
	for {
		part := data[:min(len(data), w.left)]
		data, w.left = data[len(part):], w.left-len(part)
		sum := crc32.ChecksumIEEE(f.Data)
		if len(data) > 0 {
			flags |= continues
			sum = crc32.ChecksumIEEE(part)
		}
		*w.current() = append(appendRarBlock(*w.current(), rarFile, flags, len(part), rarPartHeader(f, sum), nil), part...)
		if len(data) == 0 {
			return
		}
		w.close(moreVolumes)
		w.open()
		flags = rarHasData | fromBefore
	}
}

// rarPartHeader is the header of a part of a file: all but the last have the checksum of the part.
func rarPartHeader(f File, sum uint32) []byte {
	header := rarFileHeader(f)
	if !f.isDir() {
		behind := 2 + len(binary.AppendUvarint(nil, uint64(len(f.Name)))) + len(f.Name)
		binary.LittleEndian.PutUint32(header[len(header)-behind-4:], sum)
	}
	return header
}
