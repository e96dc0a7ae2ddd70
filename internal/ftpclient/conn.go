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
	"golang.org/x/time/rate"
)

const (
	quitTimeout = time.Second
	bufferSize  = 64 << 10
)

var (
	errSpent    = errors.New("the connection was closed after an earlier error")
	errNoStatus = errors.New("the answer tells no status of the file")
)

// Conn is one session, logged in and switched to binary. It serves one call at a time. Its first error is its last: a
// reply that came late would be taken for the answer to the next command, so no call is made after one.
type Conn struct {
	opt      Options
	lib      *ftp.ServerConn
	wire     *wire
	memory   *memory
	said     *transcript
	names    charset
	buf      []byte // of transfers; made by the first
	loggedIn bool

	moved bool   // the working directory is no longer the one after login
	home  string // the directory after login; "" until it is asked for

	spent     bool // an error has happened, or Close
	delivered int64

	lent      bool      // Pool: handed out
	reused    bool      // Pool: has been idle before
	worked    bool      // a call has succeeded since it was handed out
	idleSince time.Time // Pool
}

// Dial connects, logs in and switches to binary, all within Options.ConnectTimeout. Errors: ErrUnreachable, ErrBusy,
// ErrLoginRefused, ErrUntrusted, ErrNoTLS, ErrProtocol, or the context's.
func Dial(ctx context.Context, opt Options) (*Conn, error) {
	return dial(ctx, opt, &memory{}, nil)
}

// dial is Dial with what is known of the server. A server that ends the login over OPTS UTF8, which is optional, gets
// another login without it.
func dial(ctx context.Context, opt Options, memory *memory, limits []*rate.Limiter) (*Conn, error) {
	opt = opt.withDefaults()
	names, err := newCharset(opt.Encoding)
	if err != nil {
		return nil, fmt.Errorf("server %s: %w", opt.Name, err)
	}
	c := &Conn{opt: opt, memory: memory, names: names}
	err = c.connect(ctx, limits)
	if c.said.command == "OPTS" && refused(err) {
		memory.learn(func(b *Behaviour) { b.NoUTF8 = true })
		err = c.connect(ctx, limits)
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

// refused reports whether err is a server's reply to the command, and not one that ends the session whatever was asked.
func refused(err error) bool {
	var f *failure
	return errors.As(err, &f) && f.code != 0 && f.code != codeUnavailable
}

func (c *Conn) connect(ctx context.Context, limits []*rate.Limiter) error {
	c.wire, c.said, c.spent, c.loggedIn = newWire(c.opt, c.memory, limits), &transcript{}, false, false
	timed, cancel := context.WithTimeout(ctx, c.opt.ConnectTimeout)
	defer cancel()
	stop := c.wire.watch(timed)
	err := guard(c.login)
	if !stop() {
		err = fmt.Errorf("not logged in within %v: %w", c.opt.ConnectTimeout, cmp.Or(err, error(net.ErrClosed)))
	}
	if err != nil {
		c.abandon()
		return c.explain(ctx, "", err)
	}
	c.loggedIn = true
	return nil
}

func (c *Conn) login() error {
	lib, err := ftp.Dial(net.JoinHostPort(c.opt.Host, strconv.Itoa(c.opt.Port)), c.dialOptions()...)
	if err != nil {
		return err
	}
	c.lib = lib
	software := c.printable(c.said.greeting())
	c.memory.learn(func(b *Behaviour) { b.Software = software })
	return lib.Login(c.opt.User, c.opt.Password)
}

func (c *Conn) dialOptions() []ftp.DialOption {
	known := c.memory.recall()
	options := []ftp.DialOption{
		ftp.DialWithDialFunc(c.wire.dial),
		ftp.DialWithDebugOutput(c.said),
		ftp.DialWithTrustPasvIP(c.opt.TrustDataHost),
		ftp.DialWithDisabledUTF8(!c.names.utf8() || known.NoUTF8),
		ftp.DialWithDisabledMLSD(cmp.Or(c.opt.Listing, known.Listing) == ListingLIST),
		ftp.DialWithDisabledEPSV(cmp.Or(c.opt.Passive, known.Passive) == PassivePASV),
	}
	switch c.opt.TLS {
	case TLSExplicit:
		options = append(options, ftp.DialWithExplicitTLS(c.wire.tls))
	case TLSImplicit:
		options = append(options, ftp.DialWithTLS(c.wire.tls))
	}
	return options
}

// adapting is call, and once more on a new session if the server turned out not to support what was tried first: what it
// does support is learned, and the library decides for it at login.
func (c *Conn) adapting(ctx context.Context, subject string, operation func() error) error {
	err := c.call(ctx, subject, operation)
	if !c.adapt(err) {
		return err
	}
	fresh, err := dial(ctx, c.opt, c.memory, c.wire.limits)
	if err != nil {
		return err
	}
	fresh.lent, fresh.delivered = c.lent, c.delivered
	*c = *fresh
	return c.call(ctx, subject, operation)
}

// adapt learns from a failure what the server does not support, and reports whether there is another way.
func (c *Conn) adapt(err error) bool {
	var f *failure
	var unreachable *dataDialError
	if !errors.As(err, &f) {
		return false
	}
	switch {
	case f.command == "MLSD" && f.kind == ErrProtocol && (f.code != 0 || f.cause == errUnintelligible) && //nolint:errorlint // sentinels
		c.opt.Listing == ListingAuto:
		c.memory.learn(func(b *Behaviour) { b.Listing = ListingLIST })
		return true
	case f.command == "EPSV" && errors.As(f.cause, &unreachable) && c.opt.Passive == PassiveAuto:
		// A firewall that reads PASV replies opens no port for EPSV's (https://github.com/jlaffaye/ftp/issues/133).
		c.memory.learn(func(b *Behaviour) { b.Passive = PassivePASV })
		return true
	case f.command == "PASV": // it may have been the better way once
		c.memory.learn(func(b *Behaviour) { b.Passive = PassiveAuto })
	}
	return false
}

// learnPassive notes that the server answered PASV, but not EPSV, so that the next session need not ask.
func (c *Conn) learnPassive() {
	if c.opt.Passive == PassiveAuto && c.said.heardPASV {
		c.memory.learn(func(b *Behaviour) { b.Passive = PassivePASV })
	}
}

// Behaviour is what is known about the server by now.
func (c *Conn) Behaviour() Behaviour { return c.memory.recall() }

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
			server: c.opt.Name, subject: c.printable(subject), kind: ErrBroken, words: errSpent.Error(),
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
	c.learnPassive()
	return nil
}

// explain is describe, except that what failed under a finished context failed because of it.
func (c *Conn) explain(ctx context.Context, subject string, err error) error {
	cause := ctx.Err()
	if cause == nil && errors.Is(err, errTooLate) {
		cause = err
	}
	if cause != nil {
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
		if c.enter(rawPath) == nil {
			return nil
		}
		if refused.Code == codeNoFile && vague(c.names.decode(refused.Msg)) && c.enter(path.Dir(rawPath)) == nil {
			first.kind = ErrDenied // there is a place for it
		}
		return first
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

// LearnZone compares the times that files were just listed with and MDTM, to learn the zone of the server's listings
// (Behaviour). All must agree, since a file may have been written in between. It learns nothing where the listing is in UTC
// as it should be, or where the server does not tell. modified holds what MDTM says of each file, zero where it says nothing.
func (c *Conn) LearnZone(ctx context.Context, listed []Entry) (modified []time.Time, err error) {
	modified = make([]time.Time, len(listed))
	if !c.lib.IsGetTimeSupported() {
		return modified, nil
	}
	zones := map[int]bool{}
	for i, e := range listed {
		err := c.onPath(ctx, e.RawPath, func() (err error) {
			modified[i], err = c.modified(e.RawPath)
			if c.answered() {
				return nil
			}
			return err
		})
		if err != nil {
			return modified, err
		}
		minutes, ok := zoneOf(e.ModTime, e.Precision, modified[i])
		if e.ModTime.IsZero() || modified[i].IsZero() || !ok || e.Zoned && minutes == 0 {
			return modified, nil
		}
		zones[minutes] = true
	}
	for minutes := range zones {
		if len(zones) == 1 {
			c.memory.learn(func(b *Behaviour) { b.ZoneKnown, b.ZoneMinutes = true, minutes })
		}
	}
	return modified, nil
}

// Features is what the server listed in its reply to FEAT (RFC 2389).
func (c *Conn) Features() []string { return c.said.featureList() }

// TLS is how the control connection is encrypted: the version (tls.VersionTLS12, …) and when the server's certificate expires.
// Both are zero without TLS.
func (c *Conn) TLS() (version uint16, expires time.Time) {
	if certificates := c.wire.peer.PeerCertificates; len(certificates) > 0 {
		expires = certificates[0].NotAfter
	}
	return c.wire.peer.Version, expires
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

// size asks SIZE.
func (c *Conn) size(rawPath string) (int64, error) {
	said, err := c.fileStatus(func() error { _, err := c.lib.FileSize(rawPath); return err })
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(said, 10, 64)
}

// modified asks MDTM. With an error the time is zero.
func (c *Conn) modified(rawPath string) (time.Time, error) {
	said, err := c.fileStatus(func() error { _, err := c.lib.GetTime(rawPath); return err })
	if err != nil {
		return time.Time{}, err
	}
	return time.Parse(timeLayout, said)
}

// fileStatus is what a 213 reply says. It is taken from the transcript: the library stumbles over a blank at its end, and takes
// the half of a line at which the connection broke for a whole one, as textproto does, and with it half a number.
func (c *Conn) fileStatus(ask func() error) (string, error) {
	err := guard(ask)
	said := c.said.reply()
	switch {
	case c.wire.control.err != nil:
		return "", c.wire.control.err
	case said == nil || said.Code != ftp.StatusFile:
		return "", cmp.Or(err, errNoStatus)
	}
	return said.Msg, nil
}

// answered tells that the server replied to the last command, whatever it said, so that the connection is in order.
func (c *Conn) answered() bool { return c.said.reply() != nil && c.wire.control.err == nil }

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
