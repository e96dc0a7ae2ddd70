package objectstore

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/minio/minio-go/v7"
)

// Headers of S3's checksums (https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html).
const (
	headerCRC32C       = "x-amz-checksum-crc32c"
	headerChecksumType = "x-amz-checksum-type"
	headerAlgorithm    = "x-amz-checksum-algorithm"
	fullObject         = "FULL_OBJECT"
)

const lookFirst = 1 << 20 // bytes of an object that is not sent again without a look

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Put stores the first size bytes of r under a key that is free: in one piece up to 5 GiB, above that in parts. What the endpoint
// stores has the CRC-32C of what was read, else it is sent again, twice: ErrDamaged then. If the key holds these very bytes
// already, from an attempt whose reply was lost, that is success; other bytes are ErrExists.
//
// The bytes are read twice, the first time for the checksum; r must not change. What was uploaded in parts before a failure is
// removed there if the key allows it; else, as after the death of this process, it stays in the bucket's .sgwtmp/multipart until
// tiger sweeps it.
//
// progress (may be nil) hears how many bytes have been handed to the network, each time some have; fewer than before when it
// begins anew. It is called by other goroutines, one at a time, and not any more when Put has returned.
func (s *Store) Put(ctx context.Context, object Object, r io.ReaderAt, size int64, progress func(total int64)) error {
	if size < 0 {
		return fmt.Errorf("object store: put %s: the size is %d", object, size)
	}
	if progress == nil {
		progress = func(int64) {}
	}
	if size > s.opt.maxPut {
		return s.putParts(ctx, object, r, size, progress)
	}
	sum := "" // until the first attempt
	return s.persist(ctx, call{verb: "put", object: object, sends: size, stores: size}, func(a *attempt) (err error) {
		if sum == "" {
			if sum, err = checksum(ctx, r, 0, size); err != nil {
				return err
			}
		}
		return a.put(r, size, sum, progress)
	})
}

// put makes one attempt to store an object in one piece. After a failure it looks first whether a large one is there, for it may
// be only the reply that got lost, and a proxy that loses replies may lose the one that says so, too.
func (a *attempt) put(r io.ReaderAt, size int64, sum string, progress func(int64)) error {
	if a.tries > 0 && size >= lookFirst {
		if there := a.compare(size, sum, true); !a.isAbsent(there) {
			return there
		}
	}
	body := newBody(r, 0, size, progress)
	defer func() { a.moved = body.stop() }()
	opts := minio.PutObjectOptions{DisableContentSha256: true, UserMetadata: map[string]string{headerCRC32C: sum}}
	opts.SetMatchETagExcept("*")
	info, err := a.access.core.PutObject(a.ctx, a.object.Bucket, a.object.Key, body, size, "", "", opts)
	switch {
	case body.failed() != nil:
		return &localError{body.failed()}
	case isCode(err, codePrecondition):
		return a.compare(size, sum, a.tries > 0)
	case err != nil:
		return err
	}
	return a.confirm(info.ETag, info.ChecksumCRC32C, sum)
}

// confirm makes sure that an answer which says 200 is the endpoint's, and about these bytes.
func (a *attempt) confirm(etag, got, sum string) error {
	switch {
	case etag == "":
		return a.fail(verdict{kind: ErrUnavailable, again: true, advice: adviceS3},
			"the answer does not confirm the upload: it has no ETag")
	case got != "" && got != sum:
		return a.fail(verdict{kind: ErrDamaged, again: true, advice: adviceBytes},
			fmt.Sprintf("the endpoint stored bytes of CRC-32C %s, sent were %s", got, sum))
	}
	return nil
}

// compare decides whether the object that has the key already is the one to be stored. An endpoint that keeps no checksums is
// believed if it is likely from us, and of the right size.
func (a *attempt) compare(size int64, sum string, likely bool) error {
	info, err := a.head()
	switch got := info.ChecksumCRC32C; {
	case err != nil:
		return err
	case info.Size != size:
		return a.fail(verdict{kind: ErrExists}, fmt.Sprintf("there is an object of %d bytes, to be stored were %d", info.Size, size))
	case got != sum && (got != "" || !likely):
		return a.fail(verdict{kind: ErrExists},
			fmt.Sprintf("there is an object of this size with the CRC-32C %q, to be stored was %q", got, sum))
	}
	return nil
}

// checksum is the CRC-32C of a part of a file as S3 writes it.
func checksum(ctx context.Context, r io.ReaderAt, from, size int64) (string, error) {
	buffer := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buffer)
	sum, section := uint32(0), io.NewSectionReader(r, from, size)
	for left := size; left > 0; {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		n, err := section.Read(buffer[:min(left, int64(len(buffer)))])
		if err != nil && n == 0 {
			return "", &localError{short(err, size-left, size)}
		}
		sum = crc32.Update(sum, castagnoli, buffer[:n])
		left -= int64(n)
	}
	var raw [4]byte
	binary.BigEndian.PutUint32(raw[:], sum)
	return base64.StdEncoding.EncodeToString(raw[:]), nil
}

func short(err error, got, size int64) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the file ends after %d of %d bytes: %w", got, size, io.ErrUnexpectedEOF)
	}
	return err
}

// body is what an upload sends. net/http may go on reading it for a moment when the request has ended already.
type body struct {
	progress func(int64)

	mu      sync.Mutex
	section *io.SectionReader
	sent    int64
	size    int64
	err     error
	stopped bool
}

func newBody(r io.ReaderAt, from, size int64, progress func(int64)) *body {
	return &body{section: io.NewSectionReader(r, from, size), size: size, progress: progress}
}

var errStopped = errors.New("the request has ended")

// Read implements io.Reader.
func (b *body) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stopped {
		return 0, errStopped
	}
	n, err := b.section.Read(p)
	b.sent += int64(n)
	if n > 0 {
		b.progress(b.sent)
	}
	if err != nil && b.sent < b.size {
		b.err = short(err, b.sent, b.size)
		return n, b.err
	}
	return n, err
}

// stop ends the reading and returns how many bytes were read.
func (b *body) stop() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.stopped = true
	return b.sent
}

// failed is what reading the file failed with.
func (b *body) failed() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.err
}
