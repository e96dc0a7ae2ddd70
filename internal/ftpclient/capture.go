package ftpclient

import (
	"bufio"
	"errors"
	"io"
	"net"
)

const (
	// maxLine bounds one line of a listing, its line end included. The longest name that common file systems know has 255
	// bytes; a line of this length is no line but a stream of something else.
	maxLine = 64 << 10
	// maxListing bounds the text of one directory: DefaultMaxEntries lines of 256 bytes, as MLSD with all its facts has them.
	maxListing = 256 << 20
)

var (
	errLongLine    = errors.New("a line of the directory listing is longer than 64 KiB")
	errLongListing = errors.New("directory listing is longer than 256 MiB")
	errCutLine     = errors.New("the listing ends within a line, cut off without TLS's close_notify")
)

// capture takes a listing off the data connection, line by line, so that no more of it than one line is ever held.
type capture struct {
	reader *bufio.Reader      // of maxLine bytes, used for one directory after the other
	line   func(string) error // is given each line without its "\n"
	abort  func()             // closes the session when there is no point in waiting for the final reply

	// rest is what follows the last "\n". It may be half a name: only a successful final reply makes a line of it.
	rest     string
	complete bool  // the data connection was read to its end
	err      error // why it was given up, if it was
}

// read returns io.EOF once everything has been handed on.
func (c *capture) read(data io.Reader) error {
	c.reader.Reset(data)
	for received := 0; ; {
		line, err := c.reader.ReadSlice('\n')
		if received += len(line); received > maxListing {
			return c.giveUp(errLongListing)
		}
		var network net.Error
		switch {
		case err == nil:
			if err := c.line(string(line[:len(line)-1])); err != nil {
				return c.giveUp(err)
			}
		case errors.Is(err, bufio.ErrBufferFull):
			return c.giveUp(errLongLine)
		case err == io.EOF: //nolint:errorlint // io.Reader promises io.EOF itself; a wrapped one is a failure
			c.rest, c.complete = string(line), true
			return io.EOF
		case errors.As(err, &network) && network.Timeout():
			return c.giveUp(err)
		default:
			return err // after a reset the server may still say why
		}
	}
}

// giveUp ends the session as well: the library would wait for the final reply of a transfer that nobody reads.
func (c *capture) giveUp(err error) error {
	c.err = err
	c.abort()
	return err
}

// dataConn carries one file or listing. A listing goes into its capture and the library sees an empty one: it would drop
// every line it cannot parse.
type dataConn struct {
	net.Conn
	capture *capture
}

func (d *dataConn) Read(p []byte) (int, error) {
	if d.capture == nil {
		return d.Conn.Read(p)
	}
	return 0, d.capture.read(d.Conn)
}

// Close never fails: whether a transfer succeeded is said by the bytes and by the final reply, and the library would mix
// an error from here into that reply.
func (d *dataConn) Close() error {
	_ = d.Conn.Close() // see above
	return nil
}
