//lint:file-ignore SA1019 raw headers have the time as it is stored

package archivetest

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/aes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"
	"slices"
)

// ZipEncryption is how ZipEncrypted writes.
type ZipEncryption struct {
	Password string
	AES      int  // bits of the key: 128, 192 or 256, as WinZip does it; 0 is the traditional encryption
	Version  int  // 1 or 2 of AE, with and without a checksum of the content; 0 = 2
	Stored   bool // without compression
	Streamed bool // sizes and checksum behind the data
}

// ZipEncrypted returns a zip archive whose contents need a password. Nothing in it is random.
func ZipEncrypted(files []File, how ZipEncryption) []byte {
	var buf bytes.Buffer
	w := zip.NewWriter(&buf)
	for i, f := range files {
		header := &zip.FileHeader{
			Name: f.Name, Flags: 1, Method: zip.Deflate, ModifiedTime: 0x28c4, ModifiedDate: 0x5c64,
			CRC32: crc32.ChecksumIEEE(f.Data), UncompressedSize64: uint64(len(f.Data)),
		}
		data := f.Data
		if how.Stored {
			header.Method = zip.Store
		} else {
			data = deflate(data)
		}
		if how.Streamed {
			header.Flags |= 1 << 3
		}
		if how.AES > 0 {
			data = how.aes(header, data, byte(i))
		} else {
			data = how.traditional(header, data)
		}
		header.CompressedSize64 = uint64(len(data))
		entry, err := w.CreateRaw(header)
		must(err)
		_, err = entry.Write(data)
		must(err)
	}
	must(w.Close())
	return buf.Bytes()
}

func deflate(data []byte) []byte {
	var buf bytes.Buffer
	w, err := flate.NewWriter(&buf, flate.DefaultCompression)
	must(err)
	compress(w, data)
	return buf.Bytes()
}

// traditional is APPNOTE.TXT 6.1.
func (z ZipEncryption) traditional(header *zip.FileHeader, data []byte) []byte {
	noise := []byte("eleven byte") // and one that tells a wrong password
	if z.Streamed {
		noise = append(noise, byte(header.ModifiedTime>>8))
	} else {
		noise = append(noise, byte(header.CRC32>>24))
	}
	k0, k1, k2 := uint32(0x12345678), uint32(0x23456789), uint32(0x34567890)
	update := func(b byte) {
		k0 = crc32.IEEETable[byte(k0)^b] ^ (k0 >> 8)
		k1 = (k1+(k0&0xff))*0x08088405 + 1
		k2 = crc32.IEEETable[byte(k2)^byte(k1>>24)] ^ (k2 >> 8)
	}
	for _, b := range []byte(z.Password) {
		update(b)
	}
	out := slices.Concat(noise, data)
	for i, b := range out {
		key := uint16(k2) | 2
		out[i] = b ^ byte((uint32(key)*uint32(key^1))>>8)
		update(b)
	}
	return out
}

// aes is https://www.winzip.com/en/support/aes-encryption/.
func (z ZipEncryption) aes(header *zip.FileHeader, data []byte, seed byte) []byte {
	const method, rounds, verifier, code = 99, 1000, 2, 10
	version := z.Version
	if version != 1 {
		version, header.CRC32 = 2, 0
	}
	extra := []byte{0x01, 0x99, 7, 0, byte(version), 0, 'A', 'E', byte(z.AES/64 - 1)}
	header.Extra = binary.LittleEndian.AppendUint16(extra, header.Method)
	header.Method = method

	size := z.AES / 8
	salt := bytes.Repeat([]byte{seed}, size/2)
	keys, err := pbkdf2.Key(sha1.New, z.Password, salt, rounds, 2*size+verifier)
	must(err)
	block, err := aes.NewCipher(keys[:size])
	must(err)
	out := slices.Clone(data)
	var counter, stream [aes.BlockSize]byte
	for i := range out {
		if i%aes.BlockSize == 0 {
			binary.LittleEndian.PutUint64(counter[:], uint64(i/aes.BlockSize+1))
			block.Encrypt(stream[:], counter[:])
		}
		out[i] ^= stream[i%aes.BlockSize]
	}
	mac := hmac.New(sha1.New, keys[size:2*size])
	mac.Write(out)
	return slices.Concat(salt, keys[2*size:], out, mac.Sum(nil)[:code])
}
