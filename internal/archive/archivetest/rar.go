package archivetest

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// Block types and flags of RAR 5 (https://www.rarlab.com/technote.htm).
const (
	rarMain, rarFile, rarEnd = 1, 2, 5
	rarHasExtra, rarHasData  = 0x01, 0x02
	rarFileDir               = 0x01
	rarFileTime, rarFileCRC  = 0x02, 0x04
	rarHostUnix              = 1
)

// Rar returns a RAR 5 archive with the files in their order, stored without compression.
func Rar(files []File) []byte {
	out := []byte("Rar!\x1a\x07\x01\x00")
	out = appendRarBlock(out, rarMain, 0, 0, []byte{0}, nil)
	for _, f := range files {
		out = appendRarBlock(out, rarFile, rarHasData, uint64(len(f.Data)), rarFileHeader(f), nil)
		out = append(out, f.Data...)
	}
	return appendRarBlock(out, rarEnd, 0, 0, []byte{0}, nil)
}

// RarLink returns a RAR 5 archive with the file f and a second name for it, of the type of redirection given: 1 is a
// symbolic link, 4 a hard link, 5 a copy.
func RarLink(f File, name string, redirection byte) []byte {
	record := []byte{5, redirection, 0} // 5 = the record is a redirection
	record = append(binary.AppendUvarint(record, uint64(len(f.Name))), f.Name...)
	extra := append(binary.AppendUvarint(nil, uint64(len(record))), record...)

	out := Rar([]File{f})
	end := appendRarBlock(nil, rarEnd, 0, 0, []byte{0}, nil)
	out = out[:len(out)-len(end)]
	link := rarFileHeader(File{Name: name, ModTime: f.ModTime})
	out = appendRarBlock(out, rarFile, rarHasExtra, 0, link, extra)
	return append(out, end...)
}

func rarFileHeader(f File) []byte {
	flags := uint64(rarFileTime | rarFileCRC)
	if f.isDir() {
		flags = rarFileTime | rarFileDir
	}
	b := binary.AppendUvarint(nil, flags)
	b = binary.AppendUvarint(b, uint64(len(f.Data)))
	b = binary.AppendUvarint(b, 0o644)
	b = binary.LittleEndian.AppendUint32(b, uint32(max(f.ModTime.Unix(), 0)))
	if !f.isDir() {
		b = binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(f.Data))
	}
	b = append(b, 0, rarHostUnix) // 0 = stored
	name := strings.TrimSuffix(f.Name, "/")
	return append(binary.AppendUvarint(b, uint64(len(name))), name...)
}

// appendRarBlock writes the header of a block; its data, if any, follows.
func appendRarBlock(out []byte, kind, flags, dataSize uint64, fields, extra []byte) []byte {
	body := binary.AppendUvarint(nil, kind)
	body = binary.AppendUvarint(body, flags)
	if flags&rarHasExtra != 0 {
		body = binary.AppendUvarint(body, uint64(len(extra)))
	}
	if flags&rarHasData != 0 {
		body = binary.AppendUvarint(body, dataSize)
	}
	body = append(append(body, fields...), extra...)
	header := append(binary.AppendUvarint(nil, uint64(len(body))), body...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(header))
	return append(out, header...)
}
