package objectstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"

	"github.com/minio/minio-go/v7"
)

// buffers are what downloads read into and checksums read through.
var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// Fetch downloads an object of a known size into file, from its beginning, whatever it held. It returns the SHA-256 (hex) of what
// arrived, and if sum is not "", what arrived has that sum. A download that breaks off is continued, unless it shows that the
// object is another one by now. One that turns out wrong is begun anew, twice: ErrDamaged then. After an error the contents of
// file are undefined. The file is not synced.
//
// progress (may be nil) hears how many bytes are there, each time some have arrived; fewer than before if it begins anew.
func (s *Store) Fetch(
	ctx context.Context, object Object, size int64, sum string, file *os.File, progress func(total int64),
) (sha256Hex string, err error) {
	d := &download{size: size, sum: strings.ToLower(sum), file: file, progress: progress, hash: sha256.New()}
	if d.progress == nil {
		d.progress = func(int64) {}
	}
	err = s.persist(ctx, call{verb: "fetch", object: object, resumes: true}, d.advance)
	if err != nil {
		return "", err
	}
	return d.result(), nil
}

// download is how far a Fetch has come.
type download struct {
	size     int64
	sum      string
	file     *os.File
	progress func(int64)

	begun   bool
	version version
	total   int64 // bytes that are in the file and in the hash
	hash    hash.Hash
}

// version tells one content of a key from another. Files that nobody uploaded have no ETag with versitygw, unless it is told to
// give all of them the same, so the time counts as well.
type version struct{ etag, modified string }

func (d *download) result() string { return hex.EncodeToString(d.hash.Sum(nil)) }

// restart forgets what has arrived.
func (d *download) restart() error {
	d.begun, d.total, d.version = true, 0, version{}
	d.hash.Reset()
	if err := d.file.Truncate(0); err != nil {
		return &localError{err}
	}
	return nil
}

// advance fetches what is missing.
func (d *download) advance(a *attempt) error {
	if !d.begun {
		if err := d.restart(); err != nil {
			return err
		}
	}
	body, err := d.open(a)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // what arrived is checked
	if err := d.receive(a, body); err != nil {
		return err
	}
	if d.sum != "" && d.result() != d.sum {
		return d.wrong(a, fmt.Sprintf("SHA-256 %s, promised was %s", d.result(), d.sum))
	}
	return nil
}

// wrong begins anew after a transfer that cannot be trusted.
func (d *download) wrong(a *attempt, words string) error {
	if err := d.restart(); err != nil {
		return err
	}
	return a.fail(verdict{kind: ErrDamaged, again: true, advice: adviceBytes + ", if the object is right there"}, words)
}

// open asks for the rest of the object and makes sure that it is the rest of this one.
func (d *download) open(a *attempt) (io.ReadCloser, error) {
	var opts minio.GetObjectOptions
	if d.total > 0 {
		if err := opts.SetRange(d.total, 0); err != nil {
			return nil, err
		}
		if d.version.etag != "" {
			opts.Set("If-Match", d.version.etag)
		}
	}
	body, _, header, err := a.access.core.GetObject(a.ctx, a.object.Bucket, a.object.Key, opts)
	if d.total > 0 && (isCode(err, codePrecondition) || isCode(err, codeRange)) {
		return nil, d.wrong(a, "the object was replaced during the transfer")
	}
	if err != nil {
		return nil, err
	}
	if err := d.place(a, header); err != nil {
		return nil, errors.Join(err, body.Close())
	}
	return body, nil
}

// place finds out where in the object an answer begins.
func (d *download) place(a *attempt, header http.Header) error {
	got := version{etag: header.Get("ETag"), modified: header.Get("Last-Modified")}
	begins, total, err := span(a.seen.status, header)
	switch {
	case err != nil:
		return d.wrong(a, err.Error())
	case total < 0 && header.Get("Content-Encoding") != "": // else it is the object itself that is encoded
		return d.wrong(a, "it came with Content-Encoding "+header.Get("Content-Encoding")+" and no length: does a proxy re-encode it?")
	case total >= 0 && total != d.size:
		return d.wrong(a, fmt.Sprintf("the object has %d bytes, promised were %d", total, d.size))
	case begins == 0 && d.total > 0: // an endpoint or a proxy that does not know ranges
		if err := d.restart(); err != nil {
			return err
		}
	case begins != d.total:
		return d.wrong(a, fmt.Sprintf("bytes from %d on came instead of those from %d on", begins, d.total))
	case d.total > 0 && got != d.version:
		return d.wrong(a, "the object was replaced during the transfer")
	}
	d.version = got
	return nil
}

// span returns where an answer begins, and how long the whole object is: -1 if it does not say.
func span(status int, header http.Header) (begins, total int64, err error) {
	total = -1
	if status != http.StatusPartialContent {
		if length := header.Get("Content-Length"); length != "" {
			_, err = fmt.Sscanf(length, "%d", &total)
		}
		return 0, total, err
	}
	var last int64 // RFC 9110 section 14.4
	text := header.Get("Content-Range")
	if _, err := fmt.Sscanf(text, "bytes %d-%d/%d", &begins, &last, &total); err != nil {
		return 0, 0, fmt.Errorf("the answer to a range has the Content-Range %q", text)
	}
	return begins, total, nil
}

// receive appends a body to the file. A body that ends early is no error of its kind: the next attempt asks for the rest.
func (d *download) receive(a *attempt, body io.Reader) error {
	buffer := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buffer)
	for {
		n, err := body.Read(buffer[:])
		if d.total+int64(n) > d.size {
			return d.wrong(a, fmt.Sprintf("more than the promised %d bytes came", d.size))
		}
		if n > 0 {
			if _, err := d.file.WriteAt(buffer[:n], d.total); err != nil {
				return &localError{err}
			}
			d.hash.Write(buffer[:n])
			d.total += int64(n)
			a.moved += int64(n)
			d.progress(d.total)
		}
		switch {
		case err == io.EOF && d.total < d.size:
			return fmt.Errorf("the connection ended after %d of %d bytes: %w", d.total, d.size, io.ErrUnexpectedEOF)
		case err == io.EOF, err != nil && d.total == d.size && d.size > 0: // all is there, but a chunked body's end got lost
			return nil
		case err != nil:
			return err
		}
	}
}
