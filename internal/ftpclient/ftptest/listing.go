package ftptest

import (
	"fmt"
	"io"
	"iter"
	"path"
	"strings"
	"time"
)

// timeVal is the time format of MDTM and of the modify fact (RFC 3659 section 2.3), always UTC.
const timeVal = "20060102150405"

// ListFormat makes a line of LIST. The modification time and now are in Options.Location.
type ListFormat func(i Info, now time.Time) string

// Unix is ls -l as vsftpd and ProFTPD print it: the time of day only of the last six months, else the year.
func Unix(i Info, now time.Time) string {
	stamp := i.Modified.Format("Jan _2 15:04")
	if age := now.Sub(i.Modified); age > 182*24*time.Hour || age < 0 {
		stamp = i.Modified.Format("Jan _2  2006")
	}
	return fmt.Sprintf("%s    1 ftp      ftp      %12d %s %s", i.permissions(), i.Size, stamp, i.shown())
}

// DOS is the format of Windows servers: minutes, and a year of two digits.
func DOS(i Info, _ time.Time) string {
	what := fmt.Sprintf("%20d", i.Size)
	switch {
	case i.Dir:
		what = "      <DIR>         "
	case i.Target != "":
		what = "      <SYMLINK>     "
	}
	return i.Modified.Format("01-02-06  03:04PM") + " " + what + " " + i.Name
}

// MLSD is a line of MLSD (RFC 3659 section 7). Times are UTC.
func MLSD(i Info) string {
	return fmt.Sprintf("type=%s;size=%d;modify=%s; %s", i.kind(), i.Size, i.Modified.UTC().Format(timeVal), i.Name)
}

// format makes the line that the command being answered needs.
func (s *Session) format(i Info) string {
	switch s.Command() {
	case "MLSD", "MLST":
		return MLSD(i)
	case "NLST":
		return i.Name
	}
	o := &s.server.opt
	i.Modified = i.Modified.In(o.Location)
	return o.Listing(i, o.Now().In(o.Location))
}

// listed is the directory a listing command means: its argument without options of ls, or the current one.
func (s *Session) listed(arg string) string {
	if command := s.Command(); command == "LIST" || command == "NLST" {
		for strings.HasPrefix(arg, "-") {
			_, arg, _ = strings.Cut(arg, " ")
		}
	}
	return s.Resolve(arg)
}

// Listing is the lines, without their ends, with which MLSD, LIST or NLST answers properly. It is nil if there is no
// such directory. A file is listed alone.
func (s *Session) Listing(arg string) iter.Seq[string] {
	dir, t := s.listed(arg), s.server.tree
	n := t.look(dir)
	if n == nil {
		return nil
	}
	infos := []Info{n.info(path.Base(dir))}
	if n.children != nil {
		infos = t.children(dir, n, s.server.opt.FollowLinks)
	}
	return s.lines(func(yield func(Info) bool) {
		for _, i := range infos {
			if !yield(i) {
				return
			}
		}
	})
}

func (s *Session) lines(infos iter.Seq[Info]) iter.Seq[string] {
	return func(yield func(string) bool) {
		for i := range infos {
			if !yield(s.format(i)) {
				return
			}
		}
	}
}

// lineReader turns lines into a stream, so that the text of a million of them is never held.
type lineReader struct {
	next func() (string, bool)
	stop func()
	rest string
}

func newLineReader(lines iter.Seq[string]) *lineReader {
	next, stop := iter.Pull(lines)
	return &lineReader{next: next, stop: stop}
}

// Read implements io.Reader.
func (l *lineReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if l.rest == "" {
			line, more := l.next()
			if !more {
				break
			}
			l.rest = line + "\r\n"
		}
		k := copy(p[n:], l.rest)
		n, l.rest = n+k, l.rest[k:]
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Close implements io.Closer.
func (l *lineReader) Close() error {
	l.stop()
	return nil
}
