package ftpclient

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"time"

	"github.com/jlaffaye/ftp"
)

const (
	// maxExcess is how much is read beyond the listed size before a file is taken for one that never ends.
	maxExcess = 1 << 20
	// MaxTail is how much of what is there already is fetched again to prove that a resumed transfer continues the same file.
	MaxTail = 64 << 10
)

var (
	errEndless = errors.New("far more bytes arrive than were listed")
	errPrefix  = errors.New("the server sends other bytes than those that are here already: REST is ignored, or the file is another one")
)

// Want is one version of a remote file, as it was listed, and how much of it is here already.
type Want struct {
	RawPath string
	Size    int64
	// ModTime and Precision are those of the listing (Entry): the file must still have this time after the transfer, as far
	// as the server tells. A zero ModTime is not compared.
	ModTime   time.Time
	Precision time.Duration
	// Offset is the number of bytes that are here, and Tail the last of them (at most MaxTail), which are fetched once more
	// for comparison. Without a Tail the file is fetched from its beginning.
	Offset int64
	Tail   []byte
}

// Received is what a transfer brought.
type Received struct {
	Bytes   int64 // handed to the writer: without those that were here already
	Resumed bool  // the bytes continue Want.Offset
}

// Retrieve copies the file, or what is missing of it, to w, never more than makes up the wanted size. It succeeds only if
// exactly the listed size came, the final reply was a success, and the file still has the time (MDTM) or at least the size
// (SIZE) that was listed: none of them proves anything alone, since servers close a broken transfer with 226 and others a
// whole one with 250. Errors: ErrTruncated, ErrUnconfirmed, ErrMislisted, ErrNoResume, ErrChanged, ErrStalled, ErrBroken,
// ErrFileBusy, ErrNotFound, ErrDenied, ErrProtocol; an error of w is returned as it is, wrapped.
func (c *Conn) Retrieve(ctx context.Context, want Want, w io.Writer) (Received, error) {
	if err := c.checkPath(want.RawPath); err != nil {
		return Received{}, err
	}
	var t *transfer
	err := c.adapting(ctx, want.RawPath, func() error {
		t = &transfer{c: c, want: want, w: w, tail: want.Tail}
		return t.run()
	})
	if t == nil {
		return Received{}, err
	}
	return Received{Bytes: t.written, Resumed: t.resumed}, err
}

// transfer is one RETR in progress.
type transfer struct {
	c    *Conn
	want Want
	w    io.Writer

	from     int64  // where it began (REST)
	tail     []byte // what is still to be compared
	resumed  bool
	received int64 // position in the file
	written  int64
	lines    int64 // line feeds received
	pace     pace
}

func (t *transfer) run() error {
	t.received = t.want.Offset - int64(len(t.tail))
	if len(t.tail) == 0 {
		t.received = 0
	}
	t.pace = pace{floor: t.c.opt.MinRate, window: t.c.opt.IdleTimeout}
	body, err := t.open(t.received)
	if err != nil {
		return err
	}
	if err := t.copy(body); err != nil {
		return t.interrupted(err, body)
	}
	final := command(body.Close)
	if final == nil && t.received == t.want.Size {
		return t.confirm()
	}
	return t.verdict(final)
}

// open sends RETR, after REST where offset is not 0.
func (t *transfer) open(offset int64) (*ftp.Response, error) {
	var body *ftp.Response
	t.from = offset
	err := guard(func() (err error) { body, err = t.c.lib.RetrFrom(t.want.RawPath, uint64(offset)); return err })
	if err != nil {
		return nil, t.refused(err)
	}
	return body, nil
}

// refused deals with a transfer that did not begin.
func (t *transfer) refused(err error) error {
	c := t.c
	reply := c.replyIn(err)
	switch {
	case reply == nil || reply.Code == codeUnavailable:
		return err
	case c.said.command == "REST":
		t.learnResume(No)
	case reply.Code != codeBadOffset || t.from == 0:
		return c.refine(t.want.RawPath, err, func() error { return c.find(t.want.RawPath) })
	}
	failed := c.describe(t.want.RawPath, err)
	failed.kind = ErrNoResume
	return failed
}

// learnResume notes what came of REST, if it was used at all.
func (t *transfer) learnResume(answer Answer) {
	if t.from > 0 {
		t.c.memory.learn(func(b *Behaviour) { b.Resume = answer })
	}
}

// copy reads to the end of the data connection, and hands on what is missing of the wanted size.
func (t *transfer) copy(body io.Reader) error {
	c := t.c
	if c.buf == nil {
		c.buf = make([]byte, bufferSize) // kept for the next file
	}
	for {
		began := time.Now()
		n, readErr := body.Read(c.buf)
		slow := t.pace.moved(n, time.Since(began))
		if err := t.take(c.buf[:n]); err != nil {
			return err
		}
		switch {
		case readErr == io.EOF: //nolint:errorlint // io.Reader promises io.EOF itself; a wrapped one is a failure
			return t.ended()
		case readErr != nil:
			return readErr
		case slow != nil:
			return slow
		case t.received > t.want.Size+maxExcess:
			return errEndless
		}
		if err := c.wire.throttle(n); err != nil {
			return err
		}
	}
}

// ended: a resumed transfer that ends within the overlap has proven nothing.
func (t *transfer) ended() error {
	if len(t.tail) > 0 {
		return errPrefix
	}
	return nil
}

// take compares what repeats the end of what is here, and hands on the rest.
func (t *transfer) take(p []byte) error {
	t.received += int64(len(p))
	if n := min(len(p), len(t.tail)); n > 0 {
		if !bytes.Equal(p[:n], t.tail[:n]) {
			return errPrefix
		}
		p, t.tail = p[n:], t.tail[n:]
		t.resumed = len(t.tail) == 0
	}
	t.lines += int64(bytes.Count(p, []byte("\n")))
	have := t.written
	if t.resumed {
		have += t.want.Offset
	}
	if missing := t.want.Size - have; int64(len(p)) > missing {
		p = p[:max(missing, 0)]
	}
	if len(p) == 0 {
		return nil
	}
	n, err := t.w.Write(p)
	t.written, t.c.delivered = t.written+int64(n), t.c.delivered+int64(n)
	if err != nil {
		return &localError{err}
	}
	return nil
}

// interrupted deals with a transfer whose data did not come to an end. After a reset the server may still say why; after
// a timeout, a failed writer or an endless file nobody waits for it.
func (t *transfer) interrupted(cause error, body *ftp.Response) error {
	c := t.c
	var local *localError
	var network net.Error
	switch {
	case errors.As(cause, &local), c.wire.ctx.Err() != nil, errors.Is(cause, errTooLate), isForeign(cause):
		return cause
	case errors.Is(cause, errPrefix):
		t.learnResume(No)
		return t.failed(ErrNoResume, cause.Error())
	case errors.Is(cause, errEndless):
		return t.failed(ErrChanged, cause.Error())
	case errors.Is(cause, errSlow):
		return t.failed(ErrStalled, cause.Error())
	case errors.As(cause, &network) && network.Timeout():
		return t.failed(ErrStalled, fmt.Sprintf("no byte in %v, after %d of %d", c.opt.IdleTimeout, t.received, t.want.Size))
	}
	final := guard(body.Close)
	if final != nil && c.replyIn(final) == nil {
		return cause
	}
	return t.verdict(accept(final))
}

// verdict says why a transfer that ended is not a whole file. final is nil if the server called it a success.
func (t *transfer) verdict(final error) error {
	c := t.c
	var reply *textproto.Error
	if final != nil && !errors.As(final, &reply) {
		if t.received == t.want.Size {
			return t.failed(ErrUnconfirmed, "all bytes arrived, but not the server's final reply: "+final.Error())
		}
		return final
	}
	if reply != nil && (reply.Code == codeUnavailable || isUnprotected(reply.Code)) {
		return final
	}
	failed := t.failed(ErrTruncated, t.shortfall())
	if reply != nil {
		failed.code = reply.Code
		failed.words += c.printable(fmt.Sprintf(", %d %s", reply.Code, reply.Msg))
	} else {
		failed.words += ", though the server calls it complete"
	}
	if t.resumed && t.received > t.want.Size {
		failed.kind = ErrNoResume // too much after REST: it may have begun elsewhere
		return failed
	}
	now, err := c.size(t.want.RawPath)
	switch {
	case err != nil && errors.Is(c.describe(t.want.RawPath, err), ErrNotFound):
		failed.kind = ErrChanged
		failed.words += ", now it is gone"
	case err == nil && now != t.want.Size:
		failed.kind = ErrChanged
		failed.words += fmt.Sprintf(", now it has %d", now)
		if now == t.received && reply == nil && t.sameTime() {
			failed.kind, failed.actual = ErrMislisted, now
		}
	}
	return failed
}

// shortfall says what is wrong with the number of bytes, and names the likely cause.
func (t *transfer) shortfall() string {
	words := fmt.Sprintf("%d bytes of %d listed", t.received, t.want.Size)
	apart := max(t.received-t.want.Size, t.want.Size-t.received)
	switch {
	case apart == 0:
		return words
	case t.c.wire.cutOff():
		words += ", cut off without TLS's close_notify"
	case apart == t.lines && !t.resumed:
		words += ", one for each line: the server changes line ends (ASCII mode)"
	}
	return words
}

// confirm asks whether the file still is the one that was listed: it may have been written while it was read. A server that
// does not answer the question has none; one on which the file is gone by now has sent it before.
func (t *transfer) confirm() error {
	c := t.c
	if t.resumed && t.want.Offset > int64(len(t.want.Tail)) {
		t.learnResume(Yes)
	}
	if c.lib.IsGetTimeSupported() && !t.want.ModTime.IsZero() {
		modified, err := c.modified(t.want.RawPath)
		switch {
		case err == nil && !c.memory.recall().SameTime(t.want.ModTime, t.want.Precision, modified):
			return t.failed(ErrChanged, fmt.Sprintf("it was written again while it was read: listed with %s, now with %s (UTC)",
				t.want.ModTime.Format(time.DateTime), modified.Format(time.DateTime)))
		case err == nil || !c.answered():
			return err
		}
	}
	now, err := c.size(t.want.RawPath)
	switch {
	case err == nil && now != t.want.Size:
		return t.failed(ErrChanged, fmt.Sprintf("it was written again while it was read: listed with %d bytes, now %d", t.want.Size, now))
	case err != nil && !c.answered():
		return err
	}
	return nil
}

// sameTime tells that the file has the listed time still. Where nobody can tell it may be one that is being written.
func (t *transfer) sameTime() bool {
	if !t.c.lib.IsGetTimeSupported() || t.want.ModTime.IsZero() {
		return false
	}
	modified, err := t.c.modified(t.want.RawPath)
	return err == nil && t.c.memory.recall().SameTime(t.want.ModTime, t.want.Precision, modified)
}

func (t *transfer) failed(kind error, words string) *failure {
	c := t.c
	return &failure{
		server: c.opt.Name, command: "RETR", subject: c.printable(t.want.RawPath), kind: kind, words: c.printable(words),
	}
}

// pace finds out transfers that drip: each window of waiting must bring its share of bytes. Time spent on this side (a slow
// disk, a bandwidth limit) does not count.
type pace struct {
	floor  int64 // bytes per second; 0: any pace will do
	window time.Duration
	waited time.Duration
	bytes  int64
}

var errSlow = errors.New("slower than the least acceptable rate")

func (p *pace) moved(n int, waited time.Duration) error {
	p.bytes, p.waited = p.bytes+int64(n), p.waited+waited
	if p.floor == 0 || p.waited < p.window {
		return nil
	}
	rate := float64(p.bytes) / p.waited.Seconds()
	p.bytes, p.waited = 0, 0
	if rate < float64(p.floor) {
		return fmt.Errorf("%.0f bytes per second, at least %d are wanted (min_rate): %w", rate, p.floor, errSlow)
	}
	return nil
}
