package archivetest

import (
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"slices"
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
		out = appendRarBlock(out, rarFile, rarHasData, len(f.Data), rarFileHeader(f), nil)
		out = append(out, f.Data...)
	}
	return appendRarBlock(out, rarEnd, 0, 0, []byte{0}, nil)
}

// RarLink returns a RAR 5 archive with the file f and a second name for it, of the type of redirection given: 1 is a
// symbolic link, 4 a hard link, 5 a copy.
func RarLink(f File, name string, redirection byte) []byte {
	record := []byte{5, redirection, 0} // 5 = the record is a redirection
	record = append(binary.AppendUvarint(record, uint64(len(f.Name))), f.Name...)

	out := Rar([]File{f})
	end := appendRarBlock(nil, rarEnd, 0, 0, []byte{0}, nil)
	out = out[:len(out)-len(end)]
	link := rarFileHeader(File{Name: name, ModTime: f.ModTime})
	out = appendRarBlock(out, rarFile, rarHasExtra, 0, link, rarRecord(record))
	return append(out, end...)
}

// RarEncrypted is Rar with a password that the contents need and the names do not.
func RarEncrypted(files []File, password string) []byte {
	const rounds, checked = 16, 1 // a power of two; the header tells whether a password is the right one
	salt, iv := make([]byte, 16), make([]byte, 16)
	key := rarKey(password, salt, rounds)
	var check [8]byte
	for i, c := range rarKey(password, salt, rounds+32) {
		check[i%len(check)] ^= c
	}
	sum := sha256.Sum256(check[:])
	record := []byte{1, 0, checked, 4} // 1 = the record is about encryption; 1<<4 rounds
	record = slices.Concat(record, salt, iv, check[:], sum[:4])

	out := []byte("Rar!\x1a\x07\x01\x00")
	out = appendRarBlock(out, rarMain, 0, 0, []byte{0}, nil)
	for _, f := range files {
		data := encrypt(key, iv, f.Data)
		out = appendRarBlock(out, rarFile, rarHasExtra|rarHasData, len(data), rarFileHeader(f), rarRecord(record))
		out = append(out, data...)
	}
	return appendRarBlock(out, rarEnd, 0, 0, []byte{0}, nil)
}

func rarKey(password string, salt []byte, rounds int) []byte {
	key, err := pbkdf2.Key(sha256.New, password, salt, rounds, 32)
	must(err)
	return key
}

// rarRecord puts its length before an extra record.
func rarRecord(record []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(record))), record...)
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
func appendRarBlock(out []byte, kind, flags uint64, dataSize int, fields, extra []byte) []byte {
	body := binary.AppendUvarint(nil, kind)
	body = binary.AppendUvarint(body, flags)
	if flags&rarHasExtra != 0 {
		body = binary.AppendUvarint(body, uint64(len(extra)))
	}
	if flags&rarHasData != 0 {
		body = binary.AppendUvarint(body, uint64(dataSize))
	}
	body = append(append(body, fields...), extra...)
	header := append(binary.AppendUvarint(nil, uint64(len(body))), body...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(header))
	return append(out, header...)
}
