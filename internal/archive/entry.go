package archive

import (
	"context"
	"errors"
	"io"
	"path"
	"time"

	"talon/internal/pathname"
)

// kind is what an archive says that an entry is.
type kind int

const (
	regular   kind = iota
	directory      // an empty one counts, so they are made
	link           // to the contents of an entry that came before it
	special        // symbolic link, device, FIFO, socket
)

// entry is one member of an archive, as the reader of the format presents it.
type entry struct {
	name    string // as stored
	text    string // the name decoded, where the format knows; "" = by the charsets
	kind    kind
	target  string // of a link, a name in the same archive as stored
	modTime time.Time
	refuse  error // known before reading
	open    func() (io.ReadCloser, error)
}

// member is an entry that was counted: a file that has its path, or a refusal. Until its layer is settled it belongs to
// the goroutine that reads or writes it.
type member struct {
	file      File
	name      string // printable
	raw       string
	candidate bool  // it is an archive itself
	refused   error // why it is not there
}

// take writes one entry, or refuses it. An error ends the layer: a limit, or what ends the whole extraction.
func (x *extraction) take(ctx context.Context, n *layer, e entry) error {
	m, err := x.admit(ctx, n, e)
	if m == nil || err != nil {
		return err
	}
	return x.keep(ctx, m, x.receive(ctx, m, x.opener(n, e), x.later(n)))
}

// admit counts an entry and gives it its path. There is no member for what needs no reading: a directory, or an entry that
// is refused at once.
func (x *extraction) admit(ctx context.Context, n *layer, e entry) (*member, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if e.text == "" {
		e.text = x.decodeName(n, e.name)
	}
	if e.kind == directory && isRoot(e.text) {
		return nil, nil
	}
	m := &member{name: printable(e.text), raw: e.name}
	n.entries++
	err := x.budget.entry(n.entries)
	if err == nil {
		err = x.locate(n, e, m)
	}
	if e.kind != directory || err != nil {
		n.members = append(n.members, m)
	}
	if e.kind == directory || err != nil {
		return nil, x.keep(ctx, m, err)
	}
	return m, nil
}

func (x *extraction) decodeName(n *layer, raw string) string {
	if n.names == nil {
		return x.names.decode(raw)
	}
	return n.names.decode(raw)
}

// keep notes in the member why it could not be had, unless that is no matter of the member alone, and returns what ends
// the layer.
func (x *extraction) keep(ctx context.Context, m *member, err error) error {
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil || isDestination(err):
		return err // no fault of the member: what ended the layer is why it is not there
	}
	m.refused = err
	if isLimit(err) {
		return err
	}
	return nil
}

// locate gives an entry its path, or says why it is refused.
func (x *extraction) locate(n *layer, e entry, m *member) error {
	rel, err := clean(e.text)
	if err != nil {
		return err
	}
	if _, err := beneath(n.base, rel); err != nil { // before directories are made for nothing
		return err
	}
	switch {
	case e.kind == directory:
		_, err := x.directory(n, rel)
		return err
	case e.kind == special:
		return fault(ReasonSkippedSpecial, "neither a file nor a directory")
	case e.refuse != nil:
		return e.refuse
	}
	dir, err := x.directory(n, path.Dir(rel))
	if err != nil {
		return err
	}
	at, err := beneath(dir, path.Base(rel))
	if err != nil {
		return err
	}
	x.place(n, m, at, e.modTime)
	if n.placed == nil {
		n.placed = map[string]*member{}
	}
	n.placed[rel] = m
	return nil
}

// beneath returns the path of a name in a directory of the destination, which may be longer than in the archive: each
// directory on the way may have a version mark (see output.claim).
func beneath(dir, name string) (string, error) {
	joined := path.Join(dir, name)
	if len(joined) > pathname.MaxPath {
		return "", fault(ReasonUnsafeName, "the path would be longer than %d bytes", pathname.MaxPath)
	}
	return joined, nil
}

// place gives a member the first free version of a path.
func (x *extraction) place(n *layer, m *member, at string, modTime time.Time) {
	m.file = File{Path: x.out.claim(at), Layer: n.key, ModTime: sensibleTime(modTime, n.modTime)}
	if m.raw != n.inside(m.file.Path) {
		m.file.RawName = []byte(m.raw)
	}
}

// opener returns how the content of an entry is opened.
func (x *extraction) opener(n *layer, e entry) func() (io.ReadCloser, error) {
	if e.kind == link {
		return func() (io.ReadCloser, error) { return x.linked(n, e.target) }
	}
	return e.open
}

// linked opens the entry that a hard link means: links become copies, for nothing in the destination is to depend on
// anything else in it.
func (x *extraction) linked(n *layer, target string) (io.ReadCloser, error) {
	n.writing.Wait()
	rel, err := clean(x.decodeName(n, target))
	placed, ok := n.placed[rel]
	if err != nil || !ok || placed.refused != nil || placed.file.SHA256 == "" {
		return nil, fault(ReasonSkippedSpecial, "a link to %q, which did not come before it in the archive", printable(target))
	}
	file, err := x.out.root.Open(placed.file.Path)
	if err != nil {
		return nil, destinationError(err)
	}
	return file, nil
}

// receive reads the content of an entry to its end, where the decoders check their checksums, and hands it on: what fits
// into one buffer to put, more than that to a goroutine which writes while this one reads.
func (x *extraction) receive(ctx context.Context, m *member, open func() (io.ReadCloser, error), put putter) (err error) {
	defer shield(&err)
	opened, err := open()
	if err != nil {
		return err
	}
	r := shielded{opened}
	defer r.Close()
	m.file.Size = 0 // unless this is the first password that is tried
	buffer := x.buffers.get()
	count, err := x.fill(ctx, m, buffer, r)
	switch {
	case errors.Is(err, io.EOF):
		return put(m, buffer, count)
	case err == nil:
		return x.stream(ctx, m, r, buffer)
	default:
		x.buffers.put(buffer)
		return err
	}
}

// fill reads until the buffer is full, or to the end: io.EOF. What it returns has been counted.
func (x *extraction) fill(ctx context.Context, m *member, buffer []byte, r io.Reader) (int, error) {
	const patience = 100 // reads that bring nothing
	count := 0
	for idle := 0; idle < patience; idle++ {
		if err := ctx.Err(); err != nil {
			return count, err
		}
		got, err := r.Read(buffer[count:])
		if got > 0 {
			idle = 0
			count += got
			if err := x.budget.write(m.file.Size, int64(got)); err != nil {
				return count, err
			}
			m.file.Size += int64(got)
		}
		if err != nil || count == len(buffer) {
			return count, err
		}
	}
	return count, io.ErrNoProgress
}
