package archive

import (
	"errors"
	"hash"
	"hash/crc32"
	"io"
	"sync/atomic"

	"github.com/klauspost/compress/zip"
)

// Flags of a zip entry (APPNOTE.TXT 4.4.4).
const (
	zipEncrypted = 1 << 0
	zipStreamed  = 1 << 3 // the sizes and the checksum were not known before the data
	zipStrong    = 1 << 6
	zipMasked    = 1 << 13 // the central directory is encrypted
)

// zipPasswords opens the encrypted entries of a zip archive, from any number of goroutines.
type zipPasswords struct {
	passwords []string
	fitted    atomic.Int64 // index of the one that fitted last, which is tried first
}

// zipDecompress opens the decompressor of a method.
type zipDecompress func(method uint16, r io.Reader) (io.ReadCloser, error)

// isZipEncrypted says whether an entry needs a password.
func isZipEncrypted(file *zip.File) bool {
	return file.Flags&zipEncrypted != 0 || file.Method == methodAES
}

// decrypt calls read for each password that may be the one of the entry, until one is: until read has read what open opens
// to its end, where size and checksum are compared. That alone is proof, for of all wrong passwords one in 256 looks right
// at the beginning (one in 65,536 with AES). What a failed call of read has written is to be thrown away. An error of read
// that is none of the contents, such as that of a full disk, is returned as it is, and nothing more is tried.
func (z *zipPasswords) decrypt(
	file *zip.File, decompress zipDecompress, read func(open func() (io.ReadCloser, error)) error,
) error {
	lock, err := zipLockOf(file)
	if err != nil {
		return err
	}
	first, failure := int(z.fitted.Load()), error(nil)
	for i := range z.passwords {
		at := (first + i) % len(z.passwords)
		plain, err := lock.open(z.passwords[at])
		if errors.Is(err, errWrongPassword) {
			continue
		}
		if err != nil {
			return err
		}
		content := &zipContent{file: file, lock: lock, plain: plain, decompress: decompress}
		err = read(content.open)
		if err == nil {
			z.fitted.Store(int64(at))
			return nil
		}
		if !content.failed {
			return err
		}
		failure = err
	}
	return z.refusal(lock, failure)
}

// refusal is what is to be said if no password opened an entry.
func (z *zipPasswords) refusal(lock zipLock, failure error) error {
	switch {
	case failure != nil && lock.authentic:
		return failure
	case failure != nil:
		reason, detail := reasonOf(failure)
		return fault(reason, "%s, or no configured password fits", detail)
	case len(z.passwords) == 0:
		return fault(ReasonEncrypted, "a password is needed")
	}
	return fault(ReasonEncrypted, "no configured password fits")
}

var errWrongPassword = fault(ReasonEncrypted, "the password is wrong")

// zipLock is the encryption of one entry.
type zipLock struct {
	method    uint16                                   // that the plain data are compressed with
	open      func(password string) (io.Reader, error) // the plain, still compressed data; errWrongPassword
	authentic bool                                     // damage and wrong passwords can be told apart
	unsummed  bool                                     // no checksum of the content is stored
}

func zipLockOf(file *zip.File) (zipLock, error) {
	switch {
	case file.Flags&(zipStrong|zipMasked) != 0:
		return zipLock{}, fault(ReasonUnsupportedMethod, "strong encryption (APPNOTE.TXT 7), which nothing here decrypts")
	case file.Method == methodAES:
		return newZipAES(file)
	}
	return newZipCrypto(file), nil
}

// zipContent is the content of an encrypted entry, with all checks at its end.
type zipContent struct {
	file       *zip.File
	lock       zipLock
	plain      io.Reader
	decompress zipDecompress

	decoder io.ReadCloser
	sum     hash.Hash32
	size    uint64
	failed  bool // by what the archive contains, a panic of the decoder included
}

func (c *zipContent) open() (_ io.ReadCloser, err error) {
	c.failed = true
	if c.decoder, err = c.decompress(c.lock.method, c.plain); err != nil {
		return nil, err
	}
	c.failed, c.sum = false, crc32.NewIEEE()
	return c, nil
}

// Read implements io.Reader.
func (c *zipContent) Read(p []byte) (int, error) {
	c.failed = true
	n, err := c.decoder.Read(p)
	if c.size += uint64(n); c.size > c.file.UncompressedSize64 {
		return 0, fault(ReasonCorrupt, "more data than the directory of the archive says")
	}
	c.sum.Write(p[:n])
	if err == io.EOF {
		err = c.check()
	}
	c.failed = err != nil && err != io.EOF
	return n, err
}

// check returns io.EOF if the content is whole and right. What the decoder did not need of its data is read first, for
// the authentication code stands behind it.
func (c *zipContent) check() error {
	if _, err := io.Copy(io.Discard, c.plain); err != nil {
		return err
	}
	if c.size < c.file.UncompressedSize64 {
		return io.ErrUnexpectedEOF
	}
	if !c.lock.unsummed && c.sum.Sum32() != c.file.CRC32 {
		return zip.ErrChecksum
	}
	return io.EOF
}

// Close implements io.Closer.
func (c *zipContent) Close() error { return c.decoder.Close() }
