package ftpclient

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

const (
	unsendable = "\r\n\x00"
	// maxHeld bounds the bytes of names and lines that wait: for their directory to be entered, or for SIZE.
	maxHeld = 64 << 20
	// maxAsked is for how many files of one listing SIZE is asked: each costs a round trip.
	maxAsked = 10_000
)

// errUnintelligible: what a server calls MLSD is something else; LIST may be better.
var errUnintelligible = errors.New("no line of the listing can be understood")

// ListQuery says what to list.
type ListQuery struct {
	Dir       string // raw bytes; a relative one ("" too) starts at the directory after login
	Recursive bool
	// MaxDepth is how many levels below Dir are entered (0 is DefaultMaxDepth): a link that leads back up ends there.
	MaxDepth int
	// MaxEntries caps files and directories together, MaxDirectories the directories among them, which each cost several
	// round trips: two links that lead back up double their number with every level. 0 is the default.
	MaxEntries, MaxDirectories int
}

// List reads a directory, or a tree of them, with MLSD where the server offers it and LIST elsewhere. It holds no more of
// it than one line, the directories still to be entered and a digest of 16 bytes for each path.
//
// visit is called for each Entry while its line is received, so it must be quick: the server waits. The order is the
// server's, directory by directory, except that files without a size and directories that cannot be read come when that
// is known. An error of visit ends the listing and is returned as it is, wrapped.
//
// Errors concern Dir itself, the caps or the connection: ErrNotFound, ErrDenied, ErrTooMany, ErrBroken, ErrProtocol,
// or the context's. Whether a listing is whole is known only at its end, by the final reply: after an error what visit was
// given is a part of unknown size, to be thrown away. A directory below Dir that the server does not open, or whose
// listing it ends with a refusal, is an Entry (Special "unreadable"), not an error; what it listed until then exists and
// has been visited. Symbolic links are not followed.
func (c *Conn) List(ctx context.Context, q ListQuery, visit func(Entry) error) (Summary, error) {
	var tree *walk
	var failed error
	err := c.adapting(ctx, q.Dir, func() error {
		if tree != nil && tree.sum.Entries > 0 {
			return failed // nothing is visited twice
		}
		tree = c.newWalk(q, visit)
		failed = tree.run()
		return failed
	})
	if err != nil {
		return Summary{}, err
	}
	return tree.sum, nil
}

// walk is one List call.
type walk struct {
	c     *Conn
	q     ListQuery
	visit func(Entry) error
	now   time.Time
	parse parser
	// read hands on the lines of one directory.
	read func(rawPath string, line func(string) error) error
	sum  Summary

	pending  []directory // still to be entered
	sizeless []item      // files of the current directory for which SIZE is asked at its end
	asked    int         // files for which SIZE was or will be asked
	noSize   bool        // the server does not know SIZE
	held     int         // bytes in pending and sizeless
	found    int         // directories

	seen map[digest]struct{} // raw paths of files and directories
	path []byte              // scratch space of digests
}

// digest stands for a path: half of a SHA-256, which nobody can make collide (a birthday attack takes 2^64 steps).
type digest [sha256.Size / 2]byte

type directory struct {
	rawPath, line string
	depth         int
}

func (d directory) bytes() int { return len(d.rawPath) + len(d.line) }

func (c *Conn) newWalk(q ListQuery, visit func(Entry) error) *walk {
	q.MaxDepth = cmp.Or(q.MaxDepth, DefaultMaxDepth)
	q.MaxEntries = cmp.Or(q.MaxEntries, DefaultMaxEntries)
	q.MaxDirectories = cmp.Or(q.MaxDirectories, DefaultMaxDirectories)
	return &walk{c: c, q: q, visit: visit, now: time.Now(), seen: map[digest]struct{}{}}
}

func (w *walk) run() error {
	w.parse, w.sum.Command = parseList, "LIST"
	if w.c.lib.IsTimePreciseInList() {
		w.parse, w.sum.Command = parseMLSD, "MLSD"
	}
	root, err := w.c.absolute(w.q.Dir)
	if err != nil {
		return err
	}
	w.read = w.c.directoryReader()
	return w.tree(root)
}

func (w *walk) tree(root string) error {
	if err := w.directory(directory{rawPath: root}); err != nil {
		return err
	}
	if w.sum.Command == "MLSD" && w.unintelligible() {
		return w.c.describe(root, errUnintelligible)
	}
	for len(w.pending) > 0 {
		at := w.pending[0]
		w.pending[0] = directory{} // what is behind the slice is not collected
		w.pending = w.pending[1:]
		w.held -= at.bytes()
		switch err := w.directory(at); {
		case err == nil:
			w.sum.Noise++
		case isRefusedDirectory(err):
			if err := w.add(at.rawPath, item{line: at.line}, "unreadable"); err != nil {
				return err
			}
		default:
			return err
		}
	}
	return nil
}

// unintelligible reports whether lines were received, and none that says anything.
func (w *walk) unintelligible() bool {
	return w.sum.UnparsedLines > 0 && w.sum.UnparsedLines == w.sum.Lines
}

// directory reads one directory. Lines that came before it was refused count like any other.
func (w *walk) directory(at directory) error {
	err := w.read(at.rawPath, func(line string) error { return w.line(at, line) })
	if err != nil && !isRefusedDirectory(err) {
		return err
	}
	if sizeErr := w.askSizes(at); sizeErr != nil {
		return sizeErr
	}
	if err == nil {
		w.sum.Directories++
	}
	return err
}

// line counts a line as what it is.
func (w *walk) line(at directory, line string) error {
	w.sum.Lines++
	line = strings.TrimSuffix(line, "\r")
	if isHeading(w.c.names.decode(line)) {
		w.sum.Noise++
		return nil
	}
	it, ok := w.parse(line, w.now)
	if !ok {
		w.sum.UnparsedLines++
		if len(w.sum.Unparsed) < MaxUnparsed {
			w.sum.Unparsed = append(w.sum.Unparsed, strings.Clone(line[:min(len(line), MaxUnparsedBytes)]))
		}
		return nil
	}
	it.line = line
	return w.take(at, it)
}

// take files an understood line under what it is.
func (w *walk) take(at directory, it item) error {
	if it.kind == kindNoise || it.name == "." || it.name == ".." {
		w.sum.Noise++
		return nil
	}
	it.name = strings.TrimPrefix(it.name, strings.TrimSuffix(at.rawPath, "/")+"/")
	rawPath := join(at.rawPath, it.name)
	if !w.isNew(rawPath) {
		w.sum.Duplicates++
		return nil
	}
	if len(w.seen) > w.q.MaxEntries {
		return w.tooMany(at, fmt.Sprintf("more than %d entries", w.q.MaxEntries))
	}
	switch {
	case it.name == "" || strings.ContainsAny(it.name, "/"+unsendable):
		return w.add(rawPath, it, "unsafe_name")
	case it.kind == kindFile && it.size < 0:
		return w.postpone(rawPath, it)
	case it.kind != kindDir:
		return w.add(rawPath, it, it.kind.special())
	case !w.q.Recursive:
		w.sum.Noise++
		return nil
	case at.depth >= w.q.MaxDepth:
		return w.add(rawPath, it, "too_deep")
	}
	return w.enterLater(at, directory{rawPath: rawPath, line: it.line, depth: at.depth + 1})
}

// isNew notes a path and reports whether it was not listed before.
func (w *walk) isNew(rawPath string) bool {
	w.path = append(w.path[:0], rawPath...)
	sum := sha256.Sum256(w.path)
	before := len(w.seen)
	w.seen[digest(sum[:])] = struct{}{}
	return len(w.seen) > before
}

func (w *walk) enterLater(at, dir directory) error {
	w.found++
	w.held += dir.bytes()
	switch {
	case w.found > w.q.MaxDirectories:
		return w.tooMany(at, fmt.Sprintf("more than %d directories", w.q.MaxDirectories))
	case w.held > maxHeld:
		return w.tooMany(at, fmt.Sprintf("the names of directories take more than %d MiB", maxHeld>>20))
	}
	w.pending = append(w.pending, dir)
	return nil
}

func (w *walk) tooMany(at directory, words string) error {
	return &failure{
		server: w.c.opt.Name, command: w.c.said.command, subject: w.c.printable(at.rawPath), kind: ErrTooMany, words: words,
	}
}

// postpone keeps a file without a size until its directory has been read: no command can be sent before.
func (w *walk) postpone(rawPath string, it item) error {
	held := w.held + len(it.line) + len(it.name)
	if w.noSize || w.asked >= maxAsked || held > maxHeld {
		return w.add(rawPath, it, "no_size")
	}
	w.asked++
	w.held = held
	w.sizeless = append(w.sizeless, it)
	return nil
}

// askSizes visits the files of a directory that were listed without a size.
func (w *walk) askSizes(at directory) error {
	for i, it := range w.sizeless {
		w.sizeless[i] = item{}
		w.held -= len(it.line) + len(it.name)
		rawPath, special := join(at.rawPath, it.name), ""
		size, err := w.size(rawPath)
		if err != nil {
			return err
		}
		if it.size = size; size < 0 {
			special = "no_size"
		}
		if err := w.add(rawPath, it, special); err != nil {
			return err
		}
	}
	w.sizeless = w.sizeless[:0]
	return nil
}

// size is what the server says to SIZE, or -1 if it refuses or talks nonsense.
func (w *walk) size(rawPath string) (int64, error) {
	if w.noSize {
		return -1, nil
	}
	size, err := w.c.size(rawPath)
	var reply *textproto.Error
	switch {
	case err == nil:
		return max(size, -1), nil
	case errors.Is(err, strconv.ErrSyntax) || errors.Is(err, strconv.ErrRange):
		return -1, nil
	case !errors.As(err, &reply) || reply.Code == codeUnavailable || reply.Code == codeNotLoggedIn:
		return 0, w.c.describe(rawPath, err)
	}
	w.noSize = reply.Code == codeUnknownCommand || reply.Code == codeNotImplemented
	return -1, nil
}

func (w *walk) add(rawPath string, it item, special string) error {
	w.sum.Entries++
	if special != "no_size" {
		it.size = max(it.size, 0)
	}
	err := w.visit(Entry{
		RawPath: rawPath, Path: w.c.names.decode(rawPath), Size: it.size, ModTime: it.modified, Zoned: it.zoned,
		Precision: it.precision, Line: it.line, Special: special,
	})
	if err != nil {
		return &localError{err}
	}
	return nil
}

// directoryReader returns a walk's read over this connection.
func (c *Conn) directoryReader() func(string, func(string) error) error {
	reader := bufio.NewReaderSize(nil, maxLine)
	return func(rawPath string, line func(string) error) error {
		return c.readDir(rawPath, &capture{reader: reader, line: line, abort: c.wire.close})
	}
}

// readDir hands the lines of one directory to listed. It goes there first: LIST with a path takes blanks and a leading
// "-" for options, and many servers answer it with an empty success when the directory is missing.
func (c *Conn) readDir(rawPath string, listed *capture) error {
	if err := c.enter(rawPath); err != nil {
		return c.describe(rawPath, err)
	}
	c.wire.capturing = listed
	err := guard(func() error { _, err := c.lib.List(""); return err })
	c.wire.capturing = nil
	if listed.err != nil {
		return c.gaveUp(rawPath, listed.err)
	}
	if listed.complete {
		err = accept(err)
	}
	said := c.said.reply()
	switch {
	case err == nil && said != nil && strings.Contains(strings.ToLower(said.Msg), "failed to open"):
		// vsftpd: "226 Transfer done (but failed to open directory)." is a success that hides every file.
		unopened := c.describe(rawPath, said)
		unopened.kind = ErrDenied
		return unopened
	case err != nil && isEmptyDirectory(err):
		return nil
	case err != nil:
		return c.describe(rawPath, err)
	case !listed.complete:
		return c.describe(rawPath, errors.New("the listing was not read to its end"))
	case listed.rest != "" && c.wire.cutOff():
		cut := c.describe(rawPath, errCutLine)
		cut.kind = ErrBroken
		return cut
	case listed.rest != "":
		return listed.line(listed.rest)
	}
	return nil
}

// gaveUp says why a listing was not read to its end.
func (c *Conn) gaveUp(rawPath string, cause error) error {
	var local *localError
	if errors.As(cause, &local) {
		return cause
	}
	failed := c.describe(rawPath, cause)
	if errors.Is(cause, errLongLine) || errors.Is(cause, errLongListing) {
		failed.kind = ErrTooMany
	}
	return failed
}

// isRefusedDirectory recognises an answer that concerns one directory and leaves the connection in order. By the time it
// is entered a directory may have become a file, or be gone, or be locked; servers have many codes for that.
func isRefusedDirectory(err error) bool {
	var f *failure
	if !errors.As(err, &f) || f.command != "CWD" && f.command != "LIST" && f.command != "MLSD" {
		return false
	}
	switch f.kind { //nolint:errorlint // kind is a sentinel
	case ErrNotFound, ErrDenied:
		return true
	case ErrProtocol:
		return f.code >= 500
	}
	return f.code == codeBusyFile || f.code == codeLocalError || f.code == codeNoSpace
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
				server: c.opt.Name, subject: c.printable(dir), kind: ErrBroken,
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
