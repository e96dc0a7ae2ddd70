package ftpclient

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"time"
)

// SetClock replaces the pool's clock.
func (p *Pool) SetClock(now func() time.Time) { p.now = now }

// MaxDialing is the number of logins in progress per address.
const MaxDialing = maxDialing

// Understood is what a parser made of a line.
type Understood struct {
	Name, Kind string
	Size       int64
	Modified   time.Time
	Precision  time.Duration
	Zoned      bool
}

// ParseMLSD and ParseList run the parsers.
func ParseMLSD(line string, now time.Time) (Understood, bool) {
	return understood(parseMLSD(line, now))
}

// ParseList see ParseMLSD.
func ParseList(line string, now time.Time) (Understood, bool) {
	return understood(parseList(line, now))
}

func understood(it item, ok bool) (Understood, bool) {
	names := map[kind]string{kindFile: "file", kindDir: "dir", kindLink: "link", kindSpecial: "special", kindNoise: "noise"}
	return Understood{
		Name: it.name, Kind: names[it.kind], Size: it.size, Modified: it.modified, Precision: it.precision, Zoned: it.zoned,
	}, ok
}

// IsHeading reports whether a line is about the listing itself.
func IsHeading(line string) bool { return isHeading(line) }

// Classify names the sentinel of a reply.
func Classify(command string, code int, text string) error { return classify(command, code, text) }

// Listing is a whole listing, for tests that look at it at leisure.
type Listing struct {
	Summary
	Entries []Entry
}

// ListAll collects what List visits.
func (c *Conn) ListAll(ctx context.Context, q ListQuery) (Listing, error) {
	var l Listing
	var err error
	l.Summary, err = c.List(ctx, q, func(e Entry) error {
		l.Entries = append(l.Entries, e)
		return nil
	})
	if err != nil {
		return Listing{}, err
	}
	if counted := len(l.Entries) + l.Noise + l.Duplicates + l.UnparsedLines; counted != l.Lines || l.Summary.Entries != len(l.Entries) {
		return l, fmt.Errorf("the listing does not add up: %+v", l.Summary)
	}
	return l, nil
}

// MaxAsked is for how many files SIZE is asked.
const MaxAsked = maxAsked

// Walk lists a tree in which every directory has the same text, except that each second one below the root cannot be entered.
func Walk(text func() io.Reader, mlsd bool, q ListQuery) (Listing, error) {
	c := &Conn{opt: Options{Name: "walk"}, said: &transcript{command: "LIST"}}
	var l Listing
	w := c.newWalk(q, func(e Entry) error {
		l.Entries = append(l.Entries, e)
		return nil
	})
	w.parse, w.sum.Command, w.noSize = parseList, "LIST", true
	if mlsd {
		w.parse, w.sum.Command = parseMLSD, "MLSD"
	}
	reads := 0
	w.read = func(rawPath string, line func(string) error) error {
		if reads++; reads%2 == 0 {
			return &failure{command: "CWD", kind: ErrNotFound}
		}
		listed := &capture{reader: bufio.NewReaderSize(nil, maxLine), line: line, abort: func() {}}
		if err := listed.read(text()); listed.err != nil {
			return c.gaveUp(rawPath, err)
		}
		if listed.rest != "" {
			return line(listed.rest)
		}
		return nil
	}
	err := w.tree(q.Dir)
	l.Summary = w.sum
	return l, err
}

// SetTimer replaces time.AfterFunc for the pool's waits; after is called under the pool's lock.
func (p *Pool) SetTimer(after func(time.Duration, func())) { p.after = after }

// What bounds the tries at a server, for tests that count them.
const (
	MaxFailures = maxFailures
	GrowAfter   = growAfter
	LongestWait = longestWait
	BufferSize  = bufferSize
)
