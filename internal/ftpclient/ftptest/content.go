package ftptest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"io"
	"sync"
	"time"
)

// Version is one content that a path of the tree has had. It never changes.
type Version struct {
	Path     string    // where it was put, raw bytes; a rename does not change it
	Number   int       // of this path, from 1
	Size     int64     // bytes
	Modified time.Time // as the test said

	content io.ReaderAt
	hash    func() string
}

func newVersion(path string, number int, content io.ReaderAt, size int64, modified time.Time) *Version {
	v := &Version{Path: path, Number: number, Size: size, Modified: modified, content: content}
	v.hash = sync.OnceValue(func() string { return digest(v.Reader(0)) })
	return v
}

// Reader reads the content from offset on.
func (v *Version) Reader(offset int64) io.Reader {
	return io.NewSectionReader(v.content, offset, max(v.Size-offset, 0))
}

// SHA256 is the hash of the content in hexadecimal. It is computed at the first call, which takes a while for gigabytes.
func (v *Version) SHA256() string { return v.hash() }

// digest is "" if the content cannot be read.
func digest(r io.Reader) string {
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return ""
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Generated is content without an end that needs no memory: the same bytes for the same seed, at any offset. Bound by
// io.NewSectionReader(Generated(seed), 0, size) it is what PutReader serves for that size.
type Generated uint64

// ReadAt implements io.ReaderAt. It fills p and never fails.
func (g Generated) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	if skip := int(offset % 8); skip != 0 {
		n = copy(p, g.word(offset / 8)[skip:])
	}
	block := (offset + int64(n)) / 8
	for ; len(p)-n >= 8; n, block = n+8, block+1 {
		binary.LittleEndian.PutUint64(p[n:], g.mix(block))
	}
	if n < len(p) {
		n += copy(p[n:], g.word(block))
	}
	return n, nil
}

func (g Generated) word(block int64) []byte {
	return binary.LittleEndian.AppendUint64(nil, g.mix(block))
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014), which
// unlike the generators of math/rand can be asked for the n-th number.
func (g Generated) mix(block int64) uint64 {
	z := uint64(g) + (uint64(block)+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// asciiReader is what TYPE A does to a file: every LF becomes CRLF (RFC 959 section 3.1.1.1).
type asciiReader struct {
	r       io.Reader
	pending []byte
	buf     [16 << 10]byte
}

// Read implements io.Reader.
func (a *asciiReader) Read(p []byte) (int, error) {
	if len(a.pending) == 0 {
		n, err := a.r.Read(a.buf[:])
		if n == 0 {
			return 0, err
		}
		a.pending = bytes.ReplaceAll(a.buf[:n], []byte("\n"), []byte("\r\n"))
	}
	n := copy(p, a.pending)
	a.pending = a.pending[n:]
	return n, nil
}
