package archivetest

import (
	"encoding/binary"
	"hash/crc32"
)

// XZ returns a good xz stream of one block, stored, that asks for an LZMA2 dictionary of the given code (see
// SevenZipDictionary). With 40, 56 bytes make a decoder that believes it take 4 GiB, as github.com/ulikunitz/xz v0.5.17
// does (CVE-2025-58058 is the same in its reader of LZMA).
func XZ(data []byte, dictionary byte) []byte {
	const crc32Check = 1
	flags := []byte{0, crc32Check}
	out := append([]byte("\xfd7zXZ\x00"), withCRC(flags)...)

	header := []byte{2, 0, 0x21, 1, dictionary, 0, 0, 0} // of (2+1)*4 bytes; no flags: one filter, LZMA2, with one property
	block := append(withCRC(header), storedLZMA2(data)...)
	unpadded := len(block) + 4
	block = binary.LittleEndian.AppendUint32(pad4(block), crc32.ChecksumIEEE(data))

	index := binary.AppendUvarint([]byte{0, 1}, uint64(unpadded))
	index = withCRC(pad4(binary.AppendUvarint(index, uint64(len(data)))))
	out = append(append(out, block...), index...)

	footer := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	footer = append(footer, flags...)
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(footer))
	return append(append(out, footer...), "YZ"...)
}

// storedLZMA2 returns data as LZMA2 chunks without compression.
func storedLZMA2(data []byte) []byte {
	const chunk = 1 << 16
	var out []byte
	for control := byte(1); len(data) > 0; control = 2 { // 1 = with a new dictionary
		part := data[:min(len(data), chunk)]
		data = data[len(part):]
		out = binary.BigEndian.AppendUint16(append(out, control), uint16(len(part)-1))
		out = append(out, part...)
	}
	return append(out, 0)
}

func withCRC(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b)) }

func pad4(b []byte) []byte { return append(b, make([]byte, -len(b)&3)...) }
