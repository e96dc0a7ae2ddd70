package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	maxUploads = 3               // of one object, if the endpoint loses them
	abortLimit = 5 * time.Second // for a Put that has failed already
)

// errGone: the endpoint does not know the upload any more, or never finishes it. It is begun anew.
var errGone = fmt.Errorf("the upload in parts got lost there: %w", ErrUnavailable)

// upload is an object on its way in parts.
type upload struct {
	store    *Store
	object   Object
	file     io.ReaderAt
	size     int64
	progress func(int64)

	id    string
	parts []minio.ObjectPart
	done  bool // the endpoint has made the object of these parts, and keeps them no longer
}

// putParts stores an object that is too large for one request. versitygw copies the parts together in the end, so it takes
// twice the space and the writing: this is not for objects that fit in one request.
func (s *Store) putParts(ctx context.Context, object Object, r io.ReaderAt, size int64, progress func(int64)) error {
	if size > maxParts*maxPut {
		return &failure{
			endpoint: s.Endpoint(), call: call{verb: "put", object: object}, verdict: verdict{kind: ErrRejected},
			words: fmt.Sprintf("%d bytes are more than S3 takes: split it", size),
		}
	}
	for tries := 1; ; tries++ {
		u := &upload{store: s, object: object, file: r, size: size, progress: progress}
		err := u.run(ctx)
		if err == nil || !errors.Is(err, errGone) || tries == maxUploads {
			return err
		}
		s.log.Warn("object store: uploading anew", "error", err.Error())
	}
}

func (u *upload) run(ctx context.Context) error {
	if err := u.begin(ctx); err != nil {
		return err
	}
	defer func() {
		if !u.done {
			u.abort(ctx)
		}
	}()
	size := max(u.store.opt.partSize, (u.size+maxParts-1)/maxParts)
	for from := int64(0); from < u.size; from += size {
		if err := u.part(ctx, from, min(size, u.size-from)); err != nil {
			return err
		}
	}
	return u.complete(ctx)
}

func (u *upload) call() call { return call{verb: "put", object: u.object} }

func (u *upload) begin(ctx context.Context) error {
	return u.store.persist(ctx, u.call(), func(a *attempt) (err error) {
		opts := minio.PutObjectOptions{UserMetadata: map[string]string{
			headerAlgorithm: "CRC32C", headerChecksumType: fullObject,
		}}
		u.id, err = a.access.core.NewMultipartUpload(a.ctx, u.object.Bucket, u.object.Key, opts)
		if err == nil && u.id == "" {
			err = errors.New("the answer names no upload")
		}
		return err
	})
}

// part stores the next part.
func (u *upload) part(ctx context.Context, from, size int64) error {
	sum, number := "", len(u.parts)+1
	c := u.call()
	c.sends, c.stores = size, size
	return u.store.persist(ctx, c, func(a *attempt) (err error) {
		if sum == "" {
			if sum, err = checksum(ctx, u.file, from, size); err != nil {
				return err
			}
		}
		body := newBody(u.file, from, size, func(sent int64) { u.progress(from + sent) })
		defer func() { a.moved = body.stop() }()
		part, err := a.access.core.PutObjectPart(a.ctx, u.object.Bucket, u.object.Key, u.id, number, body, size,
			minio.PutObjectPartOptions{DisableContentSha256: true, CustomHeader: http.Header{http.CanonicalHeaderKey(headerCRC32C): {sum}}})
		switch {
		case body.failed() != nil:
			return &localError{body.failed()}
		case isCode(err, codeNoUpload):
			return a.fail(verdict{kind: errGone}, err.Error())
		case err != nil:
			return err
		}
		if err := a.confirm(part.ETag, part.ChecksumCRC32C, sum); err != nil {
			return err
		}
		part.ChecksumCRC32C, part.Size = sum, size
		u.parts = append(u.parts, part)
		return nil
	})
}

// complete has the endpoint make one object of the parts, and looks at it: versitygw v1.8.0 answers 200 when another request,
// such as one whose reply was lost, is at work on the same upload, or was when versitygw was killed, and then when there is any
// object of that name (backend/posix/posix.go, CompleteMultipartUploadWithCopy).
func (u *upload) complete(ctx context.Context) error {
	sum, err := minio.ChecksumFullObjectCRC32C.FullObjectChecksum(u.parts)
	if err != nil {
		return fmt.Errorf("object store: put %s: %w", u.object, err)
	}
	c := u.call()
	c.stores, c.waits = u.size, seconds(u.size, storeRate)
	return u.store.persist(ctx, c, func(a *attempt) error {
		answered := u.finish(a, sum.Encoded())
		there := a.compare(u.size, sum.Encoded(), answered == nil)
		switch {
		case there == nil: // if answered is not nil, another upload of these bytes may have been faster
			u.done = answered == nil
			return nil
		case answered != nil && !isCode(answered, codePrecondition):
			return answered
		case a.isAbsent(there):
			return a.fail(verdict{kind: errGone, again: true}, "the endpoint says that it has made an object of the parts, but there is none")
		}
		return there
	})
}

func (u *upload) finish(a *attempt, sum string) error {
	parts := make([]minio.CompletePart, len(u.parts))
	for i, part := range u.parts {
		parts[i] = minio.CompletePart{PartNumber: part.PartNumber, ETag: part.ETag, ChecksumCRC32C: part.ChecksumCRC32C}
	}
	opts := minio.PutObjectOptions{UserMetadata: map[string]string{headerCRC32C: sum, headerChecksumType: fullObject}}
	opts.SetMatchETagExcept("*")
	_, err := a.access.core.CompleteMultipartUpload(a.ctx, u.object.Bucket, u.object.Key, u.id, parts, opts)
	if isCode(err, codeNoUpload) {
		return a.fail(verdict{kind: errGone}, err.Error())
	}
	return err
}

// abort removes the parts, also when ctx has ended. versitygw fails to while it is still busy with a part that was cut off.
func (u *upload) abort(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortLimit)
	defer cancel()
	err := u.store.persist(ctx, call{verb: "take back", object: u.object}, func(a *attempt) error {
		err := a.access.core.AbortMultipartUpload(a.ctx, u.object.Bucket, u.object.Key, u.id)
		if isCode(err, codeNoUpload) {
			return nil
		}
		return err
	})
	if err != nil {
		u.store.log.Warn("object store: parts of an upload stay in .sgwtmp/multipart of the bucket until they are swept",
			"object", u.object.String(), "upload", u.id, "error", err.Error())
	}
}
