package ftpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/jlaffaye/ftp"
)

const (
	quitTimeout = time.Second
	bufferSize  = 64 << 10
)

var errSpent = errors.New("the connection was closed after an earlier error")

// Conn is one session, logged in and switched to binary. It serves one call at a time. Its first error is its last: a
// reply that came late would be taken for the answer to the next command, so no call is made after one.
type Conn struct {
	opt   Options
	lib   *ftp.ServerConn
	wire  *wire
	said  *transcript
	names charset
	buf   []byte // of transfers; made by the first

	moved  bool   // the working directory is no longer the one after login
	home   string // the directory after login; "" until it is asked for
	noMLSD bool   // the server offers MLSD but does not know it

	spent     bool // an error has happened, or Close
	delivered int64

	lent      bool      // Pool: handed out
	reused    bool      // Pool: has been idle before
	worked    bool      // a call has succeeded since it was handed out
	idleSince time.Time // Pool
}

// Dial connects, logs in and switches to binary, all within Options.ConnectTimeout. Errors: ErrUnreachable, ErrBusy,
// ErrLoginRefused, ErrUntrusted, ErrProtocol, or the context's.
func Dial(ctx context.Context, opt Options) (*Conn, error) {
	return dial(ctx, opt, false)
}

func dial(ctx context.Context, opt Options, noMLSD bool) (*Conn, error) {
	opt = opt.withDefaults()
	names, err := newCharset(opt.Encoding)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", opt.Name, err)
	}
	c := &Conn{opt: opt, wire: newWire(opt), said: &transcript{}, names: names, noMLSD: noMLSD}
	timed, cancel := context.WithTimeout(ctx, opt.ConnectTimeout)
	defer cancel()
	stop := c.wire.watch(timed)
	err = guard(c.login)
	if !stop() {
		err = fmt.Errorf("not logged in within %v: %w", opt.ConnectTimeout, cmp.Or(err, error(net.ErrClosed)))
	}
	if err != nil {
		c.abandon()
		return nil, c.explain(ctx, "", err)
	}
	return c, nil
}

func (c *Conn) login() error {
	lib, err := ftp.Dial(net.JoinHostPort(c.opt.Host, strconv.Itoa(c.opt.Port)), c.dialOptions()...)
	if err != nil {
		return err
	}
	c.lib = lib
	return lib.Login(c.opt.User, c.opt.Password)
}

func (c *Conn) dialOptions() []ftp.DialOption {
	options := []ftp.DialOption{
		ftp.DialWithDialFunc(c.wire.dial),
		ftp.DialWithDebugOutput(c.said),
		ftp.DialWithTrustPasvIP(false),
		ftp.DialWithDisabledUTF8(!c.names.utf8()),
		ftp.DialWithDisabledMLSD(c.noMLSD),
	}
	switch c.opt.TLS {
	case TLSExplicit:
		options = append(options, ftp.DialWithExplicitTLS(c.wire.tls))
	case TLSImplicit:
		options = append(options, ftp.DialWithTLS(c.wire.tls))
	}
	return options
}

// Usable reports whether further calls may succeed: no error has happened and Close was not called.
func (c *Conn) Usable() bool { return !c.spent }

// Delivered is how many bytes Retrieve has handed to writers since the connection was made or taken from its pool.
func (c *Conn) Delivered() int64 { return c.delivered }

// Close says goodbye if the connection is in order, waits for nothing, and closes the sockets.
func (c *Conn) Close() error {
	if c.spent {
		return nil
	}
	c.wire.hurry(quitTimeout)
	err := guard(c.lib.Quit)
	c.abandon()
	if err != nil {
		return c.describe("", err)
	}
	return nil
}

// abandon closes the sockets without a word.
func (c *Conn) abandon() {
	c.spent = true
	c.wire.close()
}

// call runs one operation: under ctx, on a usable connection only, and for the last time if it fails in any way.
func (c *Conn) call(ctx context.Context, subject string, operation func() error) error {
	if c.spent {
		return &failure{
			server: c.opt.Name, subject: c.printable(subject), kind: ErrUnreachable, words: errSpent.Error(),
		}
	}
	if err := ctx.Err(); err != nil { // nothing was sent, so the connection stays in order
		return fmt.Errorf("server %s: %s: %w", c.opt.Name, c.printable(subject), err)
	}
	stop := c.wire.watch(ctx)
	finished := false
	defer func() {
		if !stop() || !finished {
			c.abandon()
		}
	}()
	if err := operation(); err != nil {
		return c.explain(ctx, subject, err)
	}
	finished, c.worked = true, true
	return nil
}

// explain is describe, except that what failed under a finished context failed because of it.
func (c *Conn) explain(ctx context.Context, subject string, err error) error {
	if cause := ctx.Err(); cause != nil {
		return fmt.Errorf("server %s: %s %s: %w", c.opt.Name, c.said.command, c.printable(subject), cause)
	}
	return c.describe(subject, err)
}

// checkPath refuses what no command can carry, and relative paths: they would depend on where the connection was before.
func (c *Conn) checkPath(rawPath string) error {
	if strings.HasPrefix(rawPath, "/") && !strings.ContainsAny(rawPath, unsendable) {
		return nil
	}
	return &failure{
		server: c.opt.Name, subject: c.printable(rawPath), kind: ErrProtocol,
		words: "the path is not absolute or contains CR, LF or NUL",
	}
}

// onPath is call for operations on an absolute path.
func (c *Conn) onPath(ctx context.Context, rawPath string, operation func() error) error {
	if err := c.checkPath(rawPath); err != nil {
		return err
	}
	return c.call(ctx, rawPath, operation)
}

// Delete removes a file. ErrNotFound says that it is not there.
func (c *Conn) Delete(ctx context.Context, rawPath string) error {
	return c.onPath(ctx, rawPath, func() error {
		err := command(func() error { return c.lib.Delete(rawPath) })
		return c.refine(rawPath, err, func() error { return c.find(rawPath) })
	})
}

// Rename moves a file; it creates no directory. What it does to an existing file of the new name is up to the server:
// most overwrite it. ErrNotFound stands for the file as well as for the directory of its new name.
func (c *Conn) Rename(ctx context.Context, from, to string) error {
	if err := errors.Join(c.checkPath(from), c.checkPath(to)); err != nil {
		return err
	}
	subject := from + " -> " + to
	return c.call(ctx, subject, func() error {
		err := guard(func() error { return c.lib.Rename(from, to) })
		if c.said.command == "RNFR" {
			return c.refine(subject, err, func() error { return c.find(from) })
		}
		return c.refine(subject, accept(err), func() error { return c.enter(path.Dir(to)) })
	})
}

// MakeDir creates one directory; one that exists already is as good.
func (c *Conn) MakeDir(ctx context.Context, rawPath string) error {
	return c.onPath(ctx, rawPath, func() error {
		err := command(func() error { return c.lib.MakeDir(rawPath) })
		var refused *textproto.Error
		if !errors.As(err, &refused) {
			return err
		}
		first := c.describe(rawPath, err)
		if c.enter(rawPath) != nil {
			return first
		}
		return nil
	})
}

// Stat asks for a file's size and modification time (RFC 3659 sections 3 and 4). The time is UTC, and zero if the server
// does not offer MDTM.
func (c *Conn) Stat(ctx context.Context, rawPath string) (size int64, modified time.Time, err error) {
	err = c.onPath(ctx, rawPath, func() (err error) {
		if size, err = c.size(rawPath); err != nil || !c.lib.IsGetTimeSupported() {
			return err
		}
		modified, err = c.modified(rawPath)
		return err
	})
	return size, modified, err
}

// Exists tells whether there is a file of that name. A server that says no has answered: the connection stays usable.
func (c *Conn) Exists(ctx context.Context, rawPath string) (exists bool, err error) {
	err = c.onPath(ctx, rawPath, func() error {
		_, err := c.size(rawPath)
		exists = err == nil
		if err != nil && errors.Is(c.describe(rawPath, err), ErrNotFound) {
			return nil
		}
		return err
	})
	return exists, err
}

// size asks SIZE. The reply is parsed here: the library stumbles over a blank at its end.
func (c *Conn) size(rawPath string) (int64, error) {
	size, err := int64(0), guard(func() error { _, err := c.lib.FileSize(rawPath); return err })
	if said := c.said.reply(); said != nil && said.Code == ftp.StatusFile {
		size, err = strconv.ParseInt(said.Msg, 10, 64)
	}
	return size, err
}

// modified asks MDTM, parsed here for the same reason as size.
func (c *Conn) modified(rawPath string) (time.Time, error) {
	var when time.Time
	err := guard(func() error { _, err := c.lib.GetTime(rawPath); return err })
	if said := c.said.reply(); said != nil && said.Code == ftp.StatusFile {
		when, err = time.Parse(timeLayout, said.Msg)
	}
	return when, err
}

// enter makes rawPath the working directory.
func (c *Conn) enter(rawPath string) error {
	c.moved = true
	return command(func() error { return c.lib.ChangeDir(rawPath) })
}

// find is nil if SIZE finds the file.
func (c *Conn) find(rawPath string) error {
	_, err := c.size(rawPath)
	return err
}

// refine looks twice at a refusal that gives no reason: only if a look at the file or directory in question finds nothing
// either, it is missing, else it was denied. To take it for missing would let a failed deletion look like one that
// happened before.
func (c *Conn) refine(subject string, err error, look func() error) error {
	var reply *textproto.Error
	if !errors.As(err, &reply) || reply.Code != codeNoFile || !vague(c.names.decode(reply.Msg)) {
		return err
	}
	refused := c.describe(subject, err)
	err = look()
	switch answered := errors.As(err, &reply); {
	case err != nil && !answered:
		return err
	case err == nil || reply.Code != codeNoFile:
		refused.kind = ErrDenied
	}
	return refused
}
