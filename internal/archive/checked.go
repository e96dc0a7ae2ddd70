package archive

import (
	"hash"
	"io"
)

// checkedReader compares a file with the size and checksum that its archive has for it, which the decoder leaves to others.
type checkedReader struct {
	io.ReadCloser
	sum     hash.Hash32
	checked bool // want is known
	want    uint32
	left    uint64 // bytes that are still to come
}

// Read implements io.Reader.
func (c *checkedReader) Read(p []byte) (int, error) {
	count, err := c.ReadCloser.Read(p)
	c.sum.Write(p[:count])
	if uint64(count) > c.left {
		return int(c.left), fault(ReasonCorrupt, "more bytes than the archive says") // the others cost nothing
	}
	c.left -= uint64(count)
	switch {
	case err != io.EOF:
		return count, err
	case c.left > 0:
		return count, io.ErrUnexpectedEOF
	case c.checked && c.want != c.sum.Sum32():
		return count, fault(ReasonCorrupt, "the checksum does not match, or the password is wrong")
	}
	return count, io.EOF
}
