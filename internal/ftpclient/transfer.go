package ftpclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"

	"github.com/jlaffaye/ftp"
)

// maxExcess is how much is read beyond the listed size before a file is taken for one that never ends.
const maxExcess = 1 << 20

var errEndless = errors.New("far more bytes arrive than were listed")

// Retrieve copies the file to w and returns how many bytes w was given, never more than size. It succeeds only if exactly
// size bytes came and the final reply was a success; neither alone proves anything, since servers close a broken transfer
// with 226 and others a whole one with 250. When they disagree the server is asked for the size again: ErrChanged if it is
// another one or the file is gone, else ErrTruncated. An error of w is returned as it is, wrapped.
func (c *Conn) Retrieve(ctx context.Context, rawPath string, size int64, w io.Writer) (int64, error) {
	var n int64
	err := c.onPath(ctx, rawPath, func() (err error) {
		n, err = c.transfer(rawPath, size, w)
		return err
	})
	return n, err
}

func (c *Conn) transfer(rawPath string, size int64, w io.Writer) (int64, error) {
	var body *ftp.Response
	err := guard(func() (err error) { body, err = c.lib.Retr(rawPath); return err })
	if err != nil {
		return 0, c.refine(rawPath, err, func() error { return c.find(rawPath) })
	}
	written, received, err := c.copyBody(w, body, size)
	if err != nil {
		return written, c.interrupted(rawPath, size, received, err, body)
	}
	final := command(body.Close)
	if final == nil && received == size {
		return written, nil
	}
	return written, c.verdict(rawPath, size, received, final)
}

// copyBody reads to the end of the data connection, and hands on at most size bytes.
func (c *Conn) copyBody(w io.Writer, body io.Reader, size int64) (written, received int64, err error) {
	if c.buf == nil {
		c.buf = make([]byte, bufferSize) // kept for the next file
	}
	for {
		n, readErr := body.Read(c.buf)
		received += int64(n)
		if wanted := min(int64(n), size-written); wanted > 0 {
			k, err := w.Write(c.buf[:wanted])
			written, c.delivered = written+int64(k), c.delivered+int64(k)
			if err != nil {
				return written, received, &localError{err}
			}
		}
		switch {
		case readErr == io.EOF: //nolint:errorlint // io.Reader promises io.EOF itself; a wrapped one is a failure
			return written, received, nil
		case readErr != nil:
			return written, received, readErr
		case received > size+maxExcess:
			return written, received, errEndless
		}
	}
}

// interrupted deals with a transfer whose data did not come to an end. After a reset the server may still say why; after
// a timeout, a failed writer or an endless file nobody waits for it.
func (c *Conn) interrupted(rawPath string, size, received int64, cause error, body *ftp.Response) error {
	var local *localError
	var network net.Error
	switch {
	case errors.As(cause, &local):
		return cause
	case errors.Is(cause, errEndless):
		failed := c.describe(rawPath, cause)
		failed.kind = ErrChanged
		return failed
	case errors.As(cause, &network) && network.Timeout():
		return cause
	}
	final := guard(body.Close)
	if final != nil && c.replyIn(final) == nil {
		return cause
	}
	return c.verdict(rawPath, size, received, accept(final))
}

// verdict says why a transfer that ended is not a whole file. final is nil if the server called it a success.
func (c *Conn) verdict(rawPath string, size, received int64, final error) error {
	var reply *textproto.Error
	if final != nil && (!errors.As(final, &reply) || reply.Code == codeUnavailable) {
		return final
	}
	failed := &failure{
		server: c.opt.Name, command: c.said.command, subject: c.printable(rawPath), kind: ErrTruncated,
		words: fmt.Sprintf("%d bytes of %d listed", received, size),
	}
	if reply != nil {
		failed.code = reply.Code
		failed.words += c.printable(fmt.Sprintf(", %d %s", reply.Code, reply.Msg))
	}
	now, err := c.size(rawPath)
	switch {
	case err == nil && now != size:
		failed.kind = ErrChanged
		failed.words += fmt.Sprintf(", now it has %d", now)
	case err != nil && errors.Is(c.describe(rawPath, err), ErrNotFound):
		failed.kind = ErrChanged
		failed.words += ", now it is gone"
	}
	return failed
}
