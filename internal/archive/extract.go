package archive

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"sync"
	"syscall"
	"time"

	"talon/internal/pathname"
)

// Extract opens the archive and everything inside it (recursively) below req.Dest. What is wrong with the contents is in
// the Report; an error is returned only when the context is done, for ErrDestination, for ErrSource and for a request
// that makes no sense. Nothing temporary remains in req.Dest, whatever the outcome.
//
// A decoder that meets hostile contents may take all memory or never return: see package sandbox, which runs this function
// in processes of its own.
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
	files, err := openFiles(&req)
	defer closeAll(files)
	if err != nil {
		return report, fmt.Errorf("%w: %w", ErrSource, err)
	}
	src, err := newSource(ctx, files...)
	if err != nil {
		return report, fmt.Errorf("%w: %w", ErrSource, err)
	}
	out, err := newOutput(req.Dest)
	if err != nil {
		return report, err
	}
	defer out.close()
	x := newExtraction(req, names, src, out, &report)
	defer x.begin()()
	if free, err := out.free(x.limits.FreeSpace); err != nil || free < 0 {
		// Nothing was begun yet, so this is no matter of the archive: another attempt may find more space.
		return report, destinationError(cmp.Or(err, fmt.Errorf("%w: less is free than must remain", syscall.ENOSPC)))
	}
	top := &layer{key: req.Name, name: topName(req.Name), depth: 1, size: src.size, modTime: sensibleTime(src.modTime, src.modTime)}
	if top.set = volumeSet([]string{top.name}); len(files) > 1 {
		top.set = volumeSet(baseNames(req.Volumes))
	}
	_, err = x.descend(ctx, top, src)
	report.finish()
	return report, err
}

// openFiles opens what the archive is made of.
func openFiles(req *Request) (files []*os.File, err error) {
	open := req.Open
	if open == nil {
		open = os.Open
	}
	if len(req.Volumes) == 0 {
		if req.Volumes, err = Volumes(req.Archive); err != nil {
			return nil, err
		}
	}
	for _, volume := range req.Volumes {
		file, err := open(volume)
		if err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

func closeAll(files []*os.File) {
	for _, file := range files {
		_ = file.Close()
	}
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
	request Request
	limits  Limits
	names   charsets
	topSum  func() (string, error) // SHA-256 of the top-level archive
	out     *output
	budget  *budget
	buffers buffers
	heavy   sync.Mutex    // held by decoders that may take much memory: one at a time
	slots   chan struct{} // free places for more goroutines that decode
	writers

	mu     sync.Mutex // of report
	report *Report
}

func newExtraction(req Request, names charsets, src *source, out *output, report *Report) *extraction {
	limits := req.Limits.WithDefaults()
	parallel := req.Parallel
	if parallel <= 0 {
		parallel = runtime.GOMAXPROCS(0)
	}
	x := &extraction{
		request: req, limits: limits, names: names, out: out, report: report,
		topSum: sync.OnceValues(func() (string, error) { return digest(src.reader()) }),
		budget: &budget{
			limits: limits, input: src.size, progress: req.Progress, end: time.Now().Add(limits.TreeTime),
			freeSpace: func() (int64, error) { return out.free(limits.FreeSpace) },
		},
		buffers: newBuffers(parallel),
		slots:   make(chan struct{}, parallel-1),
	}
	x.writers.start(parallel)
	return x
}

// begin starts what runs beside the decoding, and returns the function that ends it.
func (x *extraction) begin() (end func()) {
	stop := make(chan struct{})
	var told sync.WaitGroup
	if x.request.Watch != nil {
		told.Go(func() { x.tellWatcher(stop) })
	}
	return func() {
		close(stop)
		told.Wait()
		x.writers.stop()
	}
}

// tellEvery is how often a watcher hears of progress.
const tellEvery = 250 * time.Millisecond

func (x *extraction) tellWatcher(stop <-chan struct{}) {
	ticker := time.NewTicker(tellEvery)
	defer ticker.Stop()
	for {
		select {
		case <-stop:
			return
		case <-ticker.C:
			x.request.Watch.Progress(x.budget.soFar())
		}
	}
}

// descend opens an archive, unless something speaks against it.
func (x *extraction) descend(ctx context.Context, n *layer, src *source) (Layer, error) {
	row, avoided := x.request.Avoid[n.key]
	if !avoided {
		obstacle, err := x.obstacle(n)
		if err != nil {
			return Layer{}, err
		}
		if obstacle == nil {
			return x.open(ctx, n, src)
		}
		row.Result = 1
		row.Reason, row.Detail = reasonOf(obstacle)
	}
	x.enter(n.key, row)
	return row, nil
}

// enter writes a layer's row into the report.
func (x *extraction) enter(key string, row Layer) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.report.Layers[key] = row
}

// open reads one layer, then the archives that lay in it: a plain file never loses its name to something out of a nested
// archive. The error is one that ends the whole extraction.
func (x *extraction) open(ctx context.Context, n *layer, src *source) (Layer, error) {
	err := x.decode(ctx, n, src)
	if fatal := x.fatal(ctx, n, src, err); fatal != nil {
		return Layer{}, fatal
	}
	if err = n.set.explain(err); err != nil {
		n.reason, n.detail = reasonOf(err)
	}
	x.settle(n, err)
	if n.ownsBase && n.had == 0 && n.missing() {
		if err := x.out.removeEmptyDir(n.base); err != nil {
			return Layer{}, err
		}
	}
	if err := x.nested(ctx, n); err != nil {
		return Layer{}, err
	}
	row := n.account()
	x.enter(n.key, row)
	return row, nil
}

// decode unpacks a layer within its time, and returns when all of it is written.
func (x *extraction) decode(ctx context.Context, n *layer, src *source) error {
	if x.request.Watch != nil {
		x.request.Watch.Opened(n.key)
		defer x.request.Watch.Closed(n.key)
	}
	deadline := time.Now().Add(x.limits.LayerTime)
	if x.budget.end.Before(deadline) {
		deadline = x.budget.end
	}
	timed, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	src.use(timed, &x.budget.steps)
	defer src.use(ctx, &x.budget.steps)
	err := x.unpack(timed, n, src)
	n.writing.Wait()
	x.budget.tell()
	if timed.Err() != nil && ctx.Err() == nil && err != nil {
		return x.budget.late()
	}
	return err
}

// unpack hands the layer to the reader of its format. The error says why the layer could not be read to its end.
func (x *extraction) unpack(ctx context.Context, n *layer, src *source) (err error) {
	defer shield(&err)
	format, offset, ok := Recognise(n.name, src, src.size)
	if first, number, isVolume := VolumeOf(n.name); !ok && isVolume && number > 1 {
		return fault(ReasonMissingVolume, "the volume %q is missing", printable(path.Base(first)))
	}
	if !ok {
		return fault(ReasonUnrecognised, "the content is in no format known here")
	}
	if err := format.refusal(); err != nil {
		return err
	}
	switch format {
	case Zip:
		return x.readZip(ctx, n, src)
	case Tar:
		return x.readTarFile(ctx, n, src)
	case SevenZip:
		return x.readSevenZip(ctx, n, src.from(offset))
	case Rar:
		return x.readRar(ctx, n, src.from(offset))
	default:
		return x.readStream(ctx, n, src, format)
	}
}

// settle divides the members of a layer that was decoded into files and refusals. What ended the layer is also the reason of
// those that it did not come to.
func (x *extraction) settle(n *layer, end error) {
	var refused []Refusal
	for _, m := range n.members {
		if m.refused == nil && m.file.SHA256 == "" {
			m.refused = end
		}
		if m.refused != nil {
			refused = append(refused, n.refuse(m))
			continue
		}
		n.had++
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.report.Refused = append(x.report.Refused, refused...)
}

// obstacle says why an archive is not opened, if something forbids it.
func (x *extraction) obstacle(n *layer) (obstacle, err error) {
	if spent := x.budget.exhausted(); spent != nil {
		return spent, nil
	}
	if n.depth > x.limits.Depth {
		return &limitError{ReasonLimitDepth, fmt.Sprintf("more than %d layers", x.limits.Depth)}, nil
	}
	for up := n.parent; up != nil; up = up.parent {
		if up.size != n.size {
			continue
		}
		sum := up.sum
		if up.parent == nil { // nothing else was not hashed as it was written
			if sum, err = x.topSum(); err != nil {
				return nil, fmt.Errorf("%w: %w", ErrSource, err)
			}
		}
		if sum != "" && sum == n.sum {
			return fault(ReasonSelfContaining, "the same content as the archive %q that it lies in", printable(up.key)), nil
		}
	}
	return nil, nil
}

// digest returns the lower-case hex SHA-256 of a reader's content.
func digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// fatal returns the error that ends the whole extraction, if one of these is what really happened: the context is done,
// the destination failed, or the storage that the archive lies on did. Then err, which the decoder made of it, counts for
// nothing.
func (x *extraction) fatal(ctx context.Context, n *layer, src *source, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case x.broken() != nil:
		return x.broken()
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
