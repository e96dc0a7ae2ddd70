package objectstore

import (
	"errors"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7"
)

// head asks for an object's size, ETag and checksum.
func (a *attempt) head() (minio.ObjectInfo, error) {
	info, err := a.access.core.StatObject(a.ctx, a.object.Bucket, a.object.Key, minio.StatObjectOptions{Checksum: true})
	if status := a.seen.status; err == nil || status < http.StatusBadRequest || status >= http.StatusInternalServerError {
		return info, err
	}
	// The answer to HEAD has no body, so it does not tell a missing object from a missing bucket or an unknown key, for example.
	if why := a.probe(); why != nil {
		return info, why
	}
	return info, a.fail(verdict{kind: ErrUnavailable, again: true}, "HEAD says that there is no object, GET that there is")
}

// probe asks for the first byte of an object. It succeeds if there is an object, empty or not.
func (a *attempt) probe() error {
	var opts minio.GetObjectOptions
	if err := opts.SetRange(0, 0); err != nil {
		return err
	}
	body, _, _, err := a.access.core.GetObject(a.ctx, a.object.Bucket, a.object.Key, opts)
	if err != nil {
		if a.judge(err).code == codeRange {
			return nil
		}
		return err
	}
	defer body.Close() //nolint:errcheck // nothing is lost with it
	if a.seen.status != http.StatusPartialContent {
		return a.fail(verdict{kind: ErrUnavailable, again: true, advice: adviceS3},
			"a whole answer came to the request for one byte")
	}
	_, err = io.CopyN(io.Discard, body, 1)
	return err
}

// isAbsent reports whether S3 itself says that there is no such object.
func (a *attempt) isAbsent(err error) bool {
	return err != nil && a.judge(err).code == codeNoKey
}

// fail is an error that this package finds by itself.
func (a *attempt) fail(v verdict, words string) error {
	return &failure{endpoint: a.store.Endpoint(), call: a.call, verdict: v, words: words}
}

// isCode reports whether err is an answer with that code of S3.
func isCode(err error, code string) bool {
	var answer minio.ErrorResponse
	return errors.As(err, &answer) && answer.Code == code
}
