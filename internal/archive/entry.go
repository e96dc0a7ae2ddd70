package archive

import (
	"context"
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

// copyChunk is how many bytes are copied between two looks at the context and the limits.
const copyChunk = 128 << 10

// take writes one entry, or refuses it. An error ends the layer: a limit, or what ends the whole extraction.
func (x *extraction) take(ctx context.Context, n *layer, e entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.text == "" {
		e.text = x.names.decode(e.name)
	}
	if e.kind == directory && isRoot(e.text) {
		return nil
	}
	n.entries++
	err := x.budget.entry(n.entries)
	if err == nil {
		err = x.write(ctx, n, e)
	}
	x.budget.tell(1)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil || isDestination(err) {
		return err
	}
	x.refuse(n, e, err)
	if isLimit(err) {
		return err
	}
	return nil
}

func (x *extraction) write(ctx context.Context, n *layer, e entry) error {
	rel, err := clean(e.text)
	if err != nil {
		return err
	}
	if len(path.Join(n.base, rel)) > pathname.MaxPath {
		return fault(ReasonUnsafeName, "the path would be longer than %d bytes", pathname.MaxPath)
	}
	switch e.kind {
	case directory:
		_, err := x.directory(n, rel)
		return err
	case special:
		return fault(ReasonSkippedSpecial, "neither a file nor a directory")
	case link:
		e.open = func() (io.ReadCloser, error) { return x.linked(n, e.target) }
	}
	if e.refuse != nil {
		return e.refuse
	}
	draft, err := x.read(ctx, e.open)
	if err != nil {
		return err
	}
	return x.place(n, e, rel, draft)
}

// linked opens the entry that a hard link means: links become copies, for nothing in the destination is to depend on
// anything else in it.
func (x *extraction) linked(n *layer, target string) (io.ReadCloser, error) {
	rel, err := clean(x.names.decode(target))
	placed, ok := n.placed[rel]
	if err != nil || !ok {
		return nil, fault(ReasonSkippedSpecial, "a link to %q, which did not come before it in the archive", printable(target))
	}
	file, err := x.out.root.Open(placed)
	if err != nil {
		return nil, destinationError(err)
	}
	return file, nil
}

// read writes what open delivers into a draft, until its end, where the decoders check their checksums.
func (x *extraction) read(ctx context.Context, open func() (io.ReadCloser, error)) (_ *draft, err error) {
	defer shield(&err)
	opened, err := open()
	if err != nil {
		return nil, err
	}
	r := shielded{opened}
	defer r.Close()
	d, err := x.out.create()
	if err != nil {
		return nil, err
	}
	if err := x.fill(ctx, d, r); err != nil {
		d.discard()
		return nil, err
	}
	return d, nil
}

func (x *extraction) fill(ctx context.Context, d *draft, r io.Reader) error {
	for idle := 0; idle < 100; {
		if err := ctx.Err(); err != nil {
			return err
		}
		count, err := r.Read(x.buffer)
		idle++
		if count > 0 {
			idle = 0
			if err := x.budget.write(d.size, int64(count)); err != nil {
				return err
			}
			if _, err := d.Write(x.buffer[:count]); err != nil {
				return err
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// place gives a draft its path; rel is the clean name of the entry.
func (x *extraction) place(n *layer, e entry, rel string, d *draft) error {
	dir, err := x.directory(n, path.Dir(rel))
	if err != nil {
		d.discard()
		return err
	}
	file, err := d.commit(path.Join(dir, path.Base(rel)), sensibleTime(e.modTime, n.modTime))
	if err != nil {
		return err
	}
	file.Layer = n.key
	if inside := n.inside(file.Path); e.name != inside {
		file.RawName = []byte(e.name)
	}
	if n.placed == nil {
		n.placed = map[string]string{}
	}
	n.placed[rel] = file.Path
	n.files = append(n.files, file)
	return nil
}

// refuse reports an entry that was not written.
func (x *extraction) refuse(n *layer, e entry, err error) {
	refusal := Refusal{Layer: n.key, Name: printable(e.text)}
	refusal.Reason, refusal.Detail = reasonOf(err)
	if refusal.Name != e.name {
		refusal.RawName = []byte(e.name)
	}
	if n.refusals == 0 {
		n.refusedFor = refusal.Reason
	}
	n.mixed = n.mixed || refusal.Reason != n.refusedFor
	n.refusals++
	x.report.Refused = append(x.report.Refused, refusal)
}
