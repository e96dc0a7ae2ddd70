package archive

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"

	"talon/internal/pathname"
)

// Extract opens the archive and everything inside it (recursively) below req.Dest. What is wrong with the contents is in
// the Report; an error is returned only when the context is done, for ErrDestination, for ErrSource and for a request
// that makes no sense. Nothing temporary remains in req.Dest, whatever the outcome.
func Extract(ctx context.Context, req Request) (Report, error) {
	if req.Archive == "" || req.Dest == "" {
		return newReport(req.Name), errors.New("an archive and a destination are needed")
	}
	if req.Name == "" {
		req.Name = path.Base(req.Archive)
	}
	report := newReport(req.Name)
	names, err := newCharsets(req.Encodings)
	if err != nil {
		return report, err
	}
	file, err := os.Open(req.Archive)
	if err != nil {
		return report, fmt.Errorf("%w: %w", ErrSource, err)
	}
	defer file.Close()
	src, err := newSource(ctx, file)
	if err != nil {
		return report, fmt.Errorf("%w: %w", ErrSource, err)
	}
	out, err := newOutput(req.Dest)
	if err != nil {
		return report, err
	}
	defer out.close()

	limits := req.Limits.WithDefaults()
	x := &extraction{
		limits: limits, passwords: req.Passwords, names: names, top: src, out: out, report: &report,
		budget: budget{limits: limits, input: src.size, progress: req.Progress},
		buffer: make([]byte, copyChunk),
	}
	top := &layer{key: req.Name, name: topName(req.Name), depth: 1, size: src.size, modTime: sensibleTime(src.modTime, src.modTime)}
	_, err = x.open(ctx, top, src)
	report.finish()
	return report, err
}

// topName is the safe base name of the top-level archive, from which the name of a single compressed file comes.
func topName(name string) string {
	safe, err := pathname.Clean(path.Base(name))
	if err != nil {
		return "content"
	}
	return safe
}

// extraction is one call of Extract.
type extraction struct {
	limits    Limits
	passwords []string
	names     charsets
	top       *source
	out       *output
	budget    budget
	report    *Report
	buffer    []byte
}

// open reads one layer, then the archives that lay in it: one decoder is at work at a time, and a plain file never loses
// its name to something out of a nested archive. The error is one that ends the whole extraction.
func (x *extraction) open(ctx context.Context, n *layer, src *source) (Layer, error) {
	err := x.unpack(ctx, n, src)
	if fatal := fatal(ctx, n, src, err); fatal != nil {
		return Layer{}, fatal
	}
	if err != nil {
		n.reason, n.detail = reasonOf(err)
	}
	if n.reason == ReasonTruncated && isFirstVolume(n.name) {
		n.reason = ReasonMissingVolume
	}
	if n.ownsBase && len(n.files) == 0 && n.missing() {
		if err := x.out.remove(n.base); err != nil {
			return Layer{}, err
		}
	}
	for _, file := range n.files {
		if err := x.visit(ctx, n, file); err != nil {
			return Layer{}, err
		}
	}
	row := n.account()
	x.report.Layers[n.key] = row
	return row, nil
}

// unpack hands the layer to the reader of its format. The error says why the layer could not be read to its end.
func (x *extraction) unpack(ctx context.Context, n *layer, src *source) (err error) {
	defer shield(&err)
	format, ok := Recognise(n.name, src, src.size)
	if !ok {
		return fault(ReasonUnrecognised, "the content is in no format known here")
	}
	switch format {
	case Zip:
		return x.readZip(ctx, n, src)
	case Tar:
		return x.readTarFile(ctx, n, src)
	case SevenZip:
		return x.readSevenZip(ctx, n, src)
	case Rar:
		return x.readRar(ctx, n, src)
	default:
		return x.readStream(ctx, n, src, format)
	}
}

// visit decides what a file of the layer n is, and opens it if it is an archive. An archive that was had to its last
// entry is not kept.
func (x *extraction) visit(ctx context.Context, n *layer, file File) error {
	opened, err := x.out.root.Open(file.Path)
	if err != nil {
		return destinationError(err)
	}
	defer opened.Close()
	src, err := newSource(ctx, opened)
	if err != nil {
		return destinationError(err)
	}
	child := n.child(file)
	candidate := IsCandidate(child.name, src, src.size)
	if fatal := fatal(ctx, child, src, nil); fatal != nil {
		return fatal
	}
	if !candidate {
		n.plain++
		x.report.Files = append(x.report.Files, file)
		return nil
	}
	n.archives++
	row, err := x.descend(ctx, child, src)
	if err != nil {
		return err
	}
	n.nestedFailed = n.nestedFailed || row.Result != 0
	if row.Result == 0 || row.Reason == ReasonNestedFailed {
		return x.out.remove(file.Path)
	}
	x.report.Files = append(x.report.Files, file)
	return nil
}

// descend opens a nested archive, unless something speaks against it.
func (x *extraction) descend(ctx context.Context, n *layer, src *source) (Layer, error) {
	obstacle, err := x.obstacle(n)
	if err != nil {
		return Layer{}, err
	}
	if obstacle == nil {
		return x.open(ctx, n, src)
	}
	row := Layer{Result: 1}
	row.Reason, row.Detail = reasonOf(obstacle)
	x.report.Layers[n.key] = row
	return row, nil
}

// obstacle says why a nested archive is not opened, if something forbids it.
func (x *extraction) obstacle(n *layer) (obstacle, err error) {
	if x.budget.spent != nil {
		return x.budget.spent, nil
	}
	if n.depth > x.limits.Depth {
		return &limitError{ReasonLimitDepth, fmt.Sprintf("more than %d layers", x.limits.Depth)}, nil
	}
	for up := n.parent; up != nil; up = up.parent {
		if up.size != n.size {
			continue
		}
		if up.sum == "" { // the top-level archive: nothing else was not hashed as it was written
			if up.sum, err = digest(x.top.reader()); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSource, err)
			}
		}
		if up.sum == n.sum {
			return fault(ReasonSelfContaining, "the same content as the archive %q that it lies in", printable(up.key)), nil
		}
	}
	return nil, nil
}

// fatal returns the error that ends the whole extraction, if one of these is what really happened: the context is done,
// the destination failed, or the storage that the archive lies on did. Then err, which the decoder made of it, counts for
// nothing.
func fatal(ctx context.Context, n *layer, src *source, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, ErrDestination):
		return err
	case src.err() == nil:
		return nil
	case n.parent == nil:
		return fmt.Errorf("%w: %w", ErrSource, src.err())
	default:
		return destinationError(src.err())
	}
}
