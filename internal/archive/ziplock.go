package archive

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zip"
)

// zipCryptoHeader is how many bytes of noise precede the data (APPNOTE.TXT 6.1.3). The last one is known.
const zipCryptoHeader = 12

// newZipCrypto is the traditional encryption of PKWARE (APPNOTE.TXT 6.1).
func newZipCrypto(file *zip.File) zipLock {
	known := byte(file.CRC32 >> 24)
	if file.Flags&zipStreamed != 0 {
		known = byte(file.ModifiedTime >> 8) //lint:ignore SA1019 the time as it is stored is meant
	}
	open := func(password string) (io.Reader, error) {
		raw, err := file.OpenRaw()
		if err != nil {
			return nil, err
		}
		r := newZipCryptoReader(raw, file.CompressedSize64, password)
		noise := make([]byte, zipCryptoHeader)
		if err := fillCipher(r, noise); err != nil {
			return nil, err
		}
		if noise[zipCryptoHeader-1] != known {
			return nil, errWrongPassword
		}
		return r, nil
	}
	return zipLock{method: file.Method, open: open}
}

var errShortCipher = fault(ReasonTruncated, "the encrypted data end too early")

// zipCryptoReader decrypts with three keys that each byte of plain data changes.
type zipCryptoReader struct {
	raw  io.Reader
	left uint64
	keys [3]uint32
}

func newZipCryptoReader(raw io.Reader, size uint64, password string) *zipCryptoReader {
	r := &zipCryptoReader{raw: raw, left: size, keys: [3]uint32{0x12345678, 0x23456789, 0x34567890}}
	for _, b := range []byte(password) {
		r.keys[0], r.keys[1], r.keys[2] = nextZipKeys(r.keys[0], r.keys[1], r.keys[2], b)
	}
	return r
}

func nextZipKeys(k0, k1, k2 uint32, plain byte) (uint32, uint32, uint32) {
	k0 = crc32.IEEETable[byte(k0)^plain] ^ k0>>8
	k1 = (k1+k0&0xff)*134775813 + 1
	k2 = crc32.IEEETable[byte(k2)^byte(k1>>24)] ^ k2>>8
	return k0, k1, k2
}

// Read implements io.Reader.
func (r *zipCryptoReader) Read(p []byte) (int, error) {
	n, err := readCipher(r.raw, p, &r.left)
	k0, k1, k2 := r.keys[0], r.keys[1], r.keys[2]
	for i, c := range p[:n] {
		t := k2&0xffff | 2
		p[i] = c ^ byte(t*(t^1)>>8)
		k0, k1, k2 = nextZipKeys(k0, k1, k2, p[i])
	}
	r.keys = [3]uint32{k0, k1, k2}
	return n, err
}

// readCipher reads at most what is left of the encrypted data, all of which must be there.
func readCipher(raw io.Reader, p []byte, left *uint64) (int, error) {
	if *left == 0 {
		return 0, io.EOF
	}
	n, err := raw.Read(p[:min(uint64(len(p)), *left)])
	if *left -= uint64(n); err == io.EOF {
		err = nil
		if *left > 0 {
			err = errShortCipher
		}
	}
	return n, err
}

// fillCipher reads what must be there beside the encrypted data.
func fillCipher(r io.Reader, p []byte) error {
	_, err := io.ReadFull(r, p)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errShortCipher
	}
	return err
}

// Sizes of the AES encryption of WinZip (https://www.winzip.com/en/support/aes-encryption/), in bytes.
const (
	zipAESExtraID  = 0x9901
	zipAESVerifier = 2  // of the password, before the data
	zipAESCode     = 10 // of authentication, behind the data
	zipAESRounds   = 1000
)

// newZipAES is the encryption of WinZip, AE-1 or AE-2. AE-2 stores no checksum of the content, for it would tell of it.
func newZipAES(file *zip.File) (zipLock, error) {
	field, _ := zipExtra(file.Extra, zipAESExtraID)
	if len(field) < 7 || string(field[2:4]) != "AE" {
		return zipLock{}, fault(ReasonCorrupt, "the parameters of the AES encryption are missing")
	}
	version, strength := le16(field, 0), int(field[4])
	if version < 1 || version > 2 || strength < 1 || strength > 3 {
		return zipLock{}, fault(ReasonUnsupportedMethod, "AES encryption AE-%d of strength %d", version, strength)
	}
	open := func(password string) (io.Reader, error) {
		raw, err := file.OpenRaw()
		if err != nil {
			return nil, err
		}
		return openZipAES(raw, file.CompressedSize64, strength, password)
	}
	return zipLock{method: uint16(le16(field, 5)), open: open, authentic: true, unsummed: version == 2}, nil
}

// openZipAES reads the salt and the verifier of the password before the data.
func openZipAES(raw io.Reader, size uint64, strength int, password string) (io.Reader, error) {
	keySize, saltSize := 8+8*strength, 4+4*strength
	head := make([]byte, saltSize+zipAESVerifier)
	around := uint64(len(head) + zipAESCode)
	if size < around {
		return nil, errShortCipher
	}
	if err := fillCipher(raw, head); err != nil {
		return nil, err
	}
	keys, err := pbkdf2.Key(sha1.New, password, head[:saltSize], zipAESRounds, 2*keySize+zipAESVerifier)
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare(keys[2*keySize:], head[saltSize:]) == 0 {
		return nil, errWrongPassword
	}
	block, err := aes.NewCipher(keys[:keySize])
	if err != nil {
		return nil, err
	}
	return &zipAESReader{
		raw: raw, left: size - around, block: block, mac: hmac.New(sha1.New, keys[keySize:2*keySize]),
	}, nil
}

// zipAESReader decrypts in counter mode. The counter is little-endian, which crypto/cipher does not know.
type zipAESReader struct {
	raw     io.Reader
	left    uint64
	mac     hash.Hash
	block   cipher.Block
	counter uint64
	buffer  [2048]byte
	stream  []byte // of the key, in buffer: not used yet
	verdict error  // on the authentication code; io.EOF if it is right
}

// Read implements io.Reader. It returns io.EOF only if the authentication code is right.
func (r *zipAESReader) Read(p []byte) (int, error) {
	n, err := readCipher(r.raw, p, &r.left)
	r.mac.Write(p[:n])
	for done := 0; done < n; {
		if len(r.stream) == 0 {
			r.refill()
		}
		count := subtle.XORBytes(p[done:n], p[done:n], r.stream)
		r.stream = r.stream[count:]
		done += count
	}
	if err == io.EOF {
		if r.verdict == nil {
			r.verdict = r.authenticate()
		}
		err = r.verdict
	}
	return n, err
}

func (r *zipAESReader) refill() {
	var counter [aes.BlockSize]byte
	r.stream = r.buffer[:]
	for at := 0; at < len(r.stream); at += aes.BlockSize {
		r.counter++
		binary.LittleEndian.PutUint64(counter[:], r.counter)
		r.block.Encrypt(r.stream[at:], counter[:])
	}
}

// authenticate compares the code behind the data, and returns io.EOF if it is right.
func (r *zipAESReader) authenticate() error {
	code := make([]byte, zipAESCode)
	if err := fillCipher(r.raw, code); err != nil {
		return err
	}
	if !hmac.Equal(code, r.mac.Sum(nil)[:zipAESCode]) {
		return fault(ReasonCorrupt, "the encrypted data are damaged: their authentication code does not match")
	}
	return io.EOF
}
