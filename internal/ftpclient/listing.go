package ftpclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/textproto"
	"strings"
	"time"
)

const unsendable = "\r\n\x00"

// ListQuery says what to list.
type ListQuery struct {
	Dir       string // raw bytes; a relative one ("" too) starts at the directory after login
	Recursive bool
	// MaxDepth is how many levels below Dir are entered (0 is DefaultMaxDepth): a link that leads back up ends there.
	// MaxEntries caps files and directories together (0 is DefaultMaxEntries).
	MaxDepth, MaxEntries int
}

// List reads a directory, or a tree of them, with MLSD where the server offers it and LIST elsewhere. Errors concern Dir
// itself or the connection: ErrNotFound, ErrDenied, ErrTooMany, ErrUnreachable, ErrProtocol, or the context's. A
// directory below Dir that the server does not open is an Entry (Special "unreadable"), not an error. Symbolic links are
// not followed.
func (c *Conn) List(ctx context.Context, q ListQuery) (Listing, error) {
	var tree *walk
	read := func() error {
		tree = c.newWalk(q)
		return tree.run()
	}
	err := c.call(ctx, q.Dir, read)
	if c.lacksMLSD(err) {
		if err = c.redialWithoutMLSD(ctx); err == nil {
			err = c.call(ctx, q.Dir, read)
		}
	}
	if err != nil {
		return Listing{}, err
	}
	return tree.out, nil
}

// lacksMLSD recognises a server that announces MLSD but refuses the command.
func (c *Conn) lacksMLSD(err error) bool {
	var f *failure
	if !errors.As(err, &f) || f.command != "MLSD" {
		return false
	}
	return f.code == codeUnknownCommand || f.code == codeNotImplemented || f.code == codeBadParameter
}

// redialWithoutMLSD replaces the session, since the library decides for MLSD or LIST at login.
func (c *Conn) redialWithoutMLSD(ctx context.Context) error {
	fresh, err := dial(ctx, c.opt, true)
	if err != nil {
		return err
	}
	fresh.lent, fresh.delivered = c.lent, c.delivered
	*c = *fresh
	return nil
}

// walk is one List call.
type walk struct {
	c       *Conn
	q       ListQuery
	now     time.Time
	out     Listing
	pending []directory
	seen    map[string]bool // raw paths of files and directories
}

type directory struct {
	rawPath, line string
	depth         int
}

func (c *Conn) newWalk(q ListQuery) *walk {
	q.MaxDepth = cmp.Or(q.MaxDepth, DefaultMaxDepth)
	q.MaxEntries = cmp.Or(q.MaxEntries, DefaultMaxEntries)
	return &walk{c: c, q: q, now: time.Now(), seen: map[string]bool{}}
}

func (w *walk) run() error {
	root, err := w.c.absolute(w.q.Dir)
	if err != nil {
		return err
	}
	text, err := w.c.readDir(root)
	if err != nil {
		return err
	}
	for at := (directory{rawPath: root}); ; {
		if err := w.lines(at, text); err != nil {
			return err
		}
		if at, text, err = w.next(); err != nil || at.rawPath == "" {
			return err
		}
	}
}

// next reads the next directory that can be read; none is left if its path is empty.
func (w *walk) next() (directory, string, error) {
	for len(w.pending) > 0 {
		at := w.pending[0]
		w.pending = w.pending[1:]
		text, err := w.c.readDir(at.rawPath)
		switch {
		case err == nil:
			w.out.Noise++
			return at, text, nil
		case isRefusedDirectory(err):
			w.add(at.rawPath, item{line: at.line}, "unreadable")
		default:
			return directory{}, "", err
		}
	}
	return directory{}, "", nil
}

func (w *walk) lines(at directory, text string) error {
	parse := parseList
	if w.c.lib.IsTimePreciseInList() {
		parse = parseMLSD
	}
	if text == "" {
		return nil
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		w.out.Lines++
		line = strings.TrimSuffix(line, "\r")
		if it, ok := w.understand(parse, line); ok {
			w.take(at, it)
		} else if len(w.out.Unparsed) < MaxUnparsed {
			w.out.Unparsed = append(w.out.Unparsed, line)
		}
		if len(w.seen) > w.q.MaxEntries {
			return &failure{
				server: w.c.opt.Name, command: w.c.said.command, subject: w.c.printable(at.rawPath), kind: ErrTooMany,
				words: fmt.Sprintf("more than %d entries", w.q.MaxEntries),
			}
		}
	}
	return nil
}

func (w *walk) understand(parse parser, line string) (item, bool) {
	if isHeading(w.c.names.decode(line)) {
		return item{kind: kindNoise}, true
	}
	it, ok := parse(line, w.now)
	it.line = line
	return it, ok
}

// take files an understood line under what it is.
func (w *walk) take(at directory, it item) {
	if it.kind == kindNoise || it.name == "." || it.name == ".." {
		w.out.Noise++
		return
	}
	name := strings.TrimPrefix(it.name, strings.TrimSuffix(at.rawPath, "/")+"/")
	rawPath := join(at.rawPath, name)
	if w.seen[rawPath] {
		w.out.Duplicates++
		return
	}
	w.seen[rawPath] = true
	switch {
	case name == "" || strings.ContainsAny(name, "/"+unsendable):
		w.add(rawPath, it, "unsafe_name")
	case it.kind != kindDir:
		w.add(rawPath, it, it.kind.special())
	case !w.q.Recursive:
		w.out.Noise++
	case at.depth >= w.q.MaxDepth:
		w.add(rawPath, it, "too_deep")
	default:
		w.pending = append(w.pending, directory{rawPath: rawPath, line: it.line, depth: at.depth + 1})
	}
}

func (w *walk) add(rawPath string, it item, special string) {
	w.out.Entries = append(w.out.Entries, Entry{
		RawPath: rawPath, Path: w.c.names.decode(rawPath), Size: it.size, ModTime: it.modified, Precision: it.precision,
		Line: it.line, Special: special,
	})
}

// readDir returns the raw text of one directory. It goes there first: LIST with a path takes blanks and a leading "-" for
// options, and many servers answer it with an empty success when the directory is missing.
func (c *Conn) readDir(rawPath string) (string, error) {
	if err := c.enter(rawPath); err != nil {
		return "", c.describe(rawPath, err)
	}
	var listed capture
	c.wire.capturing = &listed
	err := guard(func() error { _, err := c.lib.List(""); return err })
	c.wire.capturing = nil
	if listed.complete {
		err = accept(err)
	}
	said := c.said.reply()
	switch {
	case err == nil && said != nil && strings.Contains(strings.ToLower(said.Msg), "failed to open"):
		// vsftpd: "226 Transfer done (but failed to open directory)." is a success that hides every file.
		unopened := c.describe(rawPath, said)
		unopened.kind = ErrDenied
		return "", unopened
	case err != nil && isEmptyDirectory(err):
		return "", nil
	case err != nil:
		return "", c.describe(rawPath, err)
	case !listed.complete:
		return "", c.describe(rawPath, errors.New("the listing was not read to its end"))
	}
	return listed.text.String(), nil
}

// isRefusedDirectory recognises an answer that concerns one directory and leaves the connection in order.
func isRefusedDirectory(err error) bool {
	var f *failure
	return errors.As(err, &f) && (f.kind == ErrNotFound || f.kind == ErrDenied || //nolint:errorlint // kind is a sentinel
		f.code == codeBusyFile || f.code == codeLocalError)
}

// isEmptyDirectory recognises a refusal that only says there is nothing to list.
func isEmptyDirectory(err error) bool {
	var reply *textproto.Error
	return errors.As(err, &reply) && (reply.Code == codeNoFile || reply.Code == codeBusyFile) &&
		strings.Contains(strings.ToLower(reply.Msg), "no files")
}

// absolute resolves the directory of a query. A relative one costs a PWD, which tells the directory after login only as
// long as nothing else was entered; a later one asks for a fresh connection.
func (c *Conn) absolute(dir string) (string, error) {
	if strings.ContainsAny(dir, unsendable) {
		return "", errors.New("the path contains CR, LF or NUL")
	}
	if strings.HasPrefix(dir, "/") {
		return "/" + strings.Trim(dir, "/"), nil
	}
	if c.home == "" {
		if c.moved {
			return "", &failure{
				server: c.opt.Name, subject: c.printable(dir), kind: ErrUnreachable,
				words: "this connection has left the directory after login",
			}
		}
		var home string
		err := guard(func() (err error) { home, err = c.lib.CurrentDir(); return err })
		if err != nil {
			return "", err
		}
		c.home = "/" + strings.Trim(strings.ReplaceAll(home, `""`, `"`), "/") // RFC 959 appendix II doubles quotes
	}
	if dir = strings.Trim(strings.TrimPrefix(dir, "./"), "/"); dir == "" || dir == "." {
		return c.home, nil
	}
	return join(c.home, dir), nil
}

func join(dir, name string) string {
	return strings.TrimSuffix(dir, "/") + "/" + name
}
