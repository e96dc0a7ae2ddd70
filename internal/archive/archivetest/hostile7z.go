package archivetest

import "encoding/binary"

// SevenZipManyFiles returns a 7z archive of 43 bytes whose header claims 4,294,967,295 files. A decoder that makes room for
// them before it reads on asks for hundreds of GB, which ends a Go process: no recover helps. github.com/bodgit/sevenzip
// v1.6.5 dies of it. libarchive's test data has such an archive (test_read_format_7zip_malformed_numfiles_oom).
func SevenZipManyFiles() []byte {
	header := appendNumber([]byte{szHeader, szFiles}, 1<<32-1)
	return sealSevenZip(nil, header)
}

// SevenZipDelta returns a good 7z archive whose files went through the delta filter with a distance of 1 to 256 bytes. With
// 256, which is stored as 0xff, a decoder that adds one in 8 bits has a distance of 0 and runs for ever, as
// github.com/bodgit/sevenzip v1.6.5 does.
func SevenZipDelta(files []File, distance int) []byte {
	coder := []byte{1, 0x20 | 1, 0x03, 1, byte(distance - 1)}
	return sevenZip(files, coder, func(data []byte) []byte {
		out := make([]byte, len(data))
		for i, b := range data {
			if out[i] = b; i >= distance {
				out[i] -= data[i-distance]
			}
		}
		return out
	})
}

// lzma2MaxDictionary is the code of the largest dictionary of LZMA2: 4 GiB less one byte.
const lzma2MaxDictionary = 40

// SevenZipDictionary returns a good 7z archive whose LZMA2 streams ask for a dictionary: (2 | code&1) << (code/2+11) bytes,
// and 4 GiB for 40, which github.com/bodgit/sevenzip refuses. For 39 it asks for 3 GiB before the first byte came.
func SevenZipDictionary(files []File, code byte) []byte {
	return sevenZip(files, []byte{1, 0x20 | 1, 0x21, 1, code}, storedLZMA2)
}

// SevenZipPPMd returns a 7z archive whose only file, of nonsense, was compressed by PPMd with that much memory for its
// model: the header alone asks for up to 4 GiB. With the maximum, which is 2^32 - 37, github.com/stangelandcl/ppmd v0.1.1
// panics; with less it asks for as much as it is told.
func SevenZipPPMd(memory uint32) []byte {
	const order = 6
	coder := binary.LittleEndian.AppendUint32([]byte{1, 0x20 | 3, 0x03, 0x04, 0x01, 5, order}, memory)
	return sevenZip([]File{{Name: "a.txt", Data: make([]byte, 64)}}, coder, func(data []byte) []byte { return data })
}

// SevenZipCycles returns an encrypted 7z archive whose key takes 2^power rounds of SHA-256 to derive, up to 2^62, for each
// password that is tried. 2^19 is usual; 2^24, which 7-Zip accepts at most, takes seconds.
func SevenZipCycles(power byte) []byte {
	const hasIV = 0x40
	coder := append([]byte{1, 0x20 | 4, 0x06, 0xf1, 0x07, 0x01, 18, power | hasIV, 15}, make([]byte, 16)...)
	return sevenZip([]File{{Name: "a.txt", Data: make([]byte, 64)}}, coder, func(data []byte) []byte { return data })
}
