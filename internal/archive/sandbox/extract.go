package sandbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"syscall"
	"time"

	"talon/internal/archive"
)

// mostDeaths is how many children one archive may cost before it is given up as a whole.
const mostDeaths = 4

// Extract is archive.Extract in a child process, with the same results. A layer that the child dies of, or hangs at, is
// reported (ReasonCrashed, ReasonTimeout, ReasonLimitMemory) and stays the file it is; everything else is extracted without
// it. req.Dest is empty until all is there. An error is also returned when the pool is closed or cannot start a child.
func (p *Pool) Extract(ctx context.Context, req archive.Request) (archive.Report, error) {
	if req.Name == "" {
		req.Name = path.Base(req.Archive)
	}
	inner, leave, err := p.enter(ctx)
	if err != nil {
		return lost(req.Name, archive.Layer{Result: 1}), err
	}
	defer leave()
	report, err := p.extract(inner, req)
	if err == nil {
		return report, nil
	}
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case inner.Err() != nil:
		err = ErrClosed
	}
	return lost(req.Name, archive.Layer{Result: 1}), err
}

func (p *Pool) extract(ctx context.Context, req archive.Request) (report archive.Report, err error) {
	files, err := openAll(&req)
	defer func() {
		for _, file := range files {
			_ = file.Close()
		}
	}()
	if err != nil {
		return report, err
	}
	if err := p.checkDest(req.Dest); err != nil {
		return report, err
	}
	release, err := p.wait(ctx)
	if err != nil {
		return report, err
	}
	defer release()
	limits := req.Limits.WithDefaults()
	x := &extraction{pool: p, request: req, limits: limits, files: files, deadline: time.Now().Add(limits.TreeTime)}
	return x.run(ctx)
}

// openAll finds and opens what the archive is made of: a child can do neither.
func openAll(req *archive.Request) (files []*os.File, err error) {
	if req.Archive == "" || req.Dest == "" {
		return nil, errors.New("an archive and a destination are needed")
	}
	if len(req.Volumes) == 0 {
		if req.Volumes, err = archive.Volumes(req.Archive); err != nil {
			return nil, sourceError(err)
		}
	}
	if len(req.Volumes) > maxFiles {
		return nil, sourceError(fmt.Errorf("more than %d volumes", maxFiles))
	}
	for _, name := range req.Volumes {
		file, err := openRegular(name, req.Open)
		if err != nil {
			return files, sourceError(err)
		}
		files = append(files, file)
	}
	return files, nil
}

func sourceError(err error) error { return fmt.Errorf("%w: %w", archive.ErrSource, err) }

func openRegular(name string, open func(string) (*os.File, error)) (*os.File, error) {
	if open == nil {
		open = func(name string) (*os.File, error) {
			return os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // not even a FIFO makes it wait
		}
	}
	file, err := open(name)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", info.Name())
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// extraction is one call of Extract.
type extraction struct {
	pool     *Pool
	request  archive.Request
	limits   archive.Limits
	files    []*os.File
	deadline time.Time
	deaths   int
	careful  bool // in a new child, one layer at a time: what it dies of then is to blame
	avoid    map[string]archive.Layer
}

// run extracts until a child survives it.
func (x *extraction) run(ctx context.Context) (archive.Report, error) {
	x.avoid = maps.Clone(x.request.Avoid)
	for {
		report, err := x.attempt(ctx)
		var d *death
		if !errors.As(err, &d) {
			return report, err
		}
		x.deaths++
		layer := x.blame(d)
		x.pool.options.Log.Warn("an extraction child did not survive an archive",
			"archive", x.request.Name, "layer", layer, "reason", d.reason, "detail", d.detail)
		row := archive.Layer{Result: 1, Reason: d.reason, Detail: d.detail}
		if d.final || x.deaths >= mostDeaths || !time.Now().Before(x.deadline) {
			return lost(x.request.Name, row), nil
		}
		if layer == "" {
			x.careful = true
			continue
		}
		if x.avoid == nil {
			x.avoid = map[string]archive.Layer{}
		}
		x.avoid[layer] = row
	}
}

// blame returns the layer that a child died of, or "" where that is not sure and one more try will tell. What no layer is
// to blame for, the archive is.
func (x *extraction) blame(d *death) string {
	switch {
	case !d.sure:
		return ""
	case len(d.open) == 0:
		return x.request.Name
	default:
		return d.open[len(d.open)-1]
	}
}

// attempt extracts in one child. The error is a *death if the child did not survive.
func (x *extraction) attempt(ctx context.Context) (report archive.Report, err error) {
	c, err := x.pool.take(ctx, setupFor(x.limits), x.careful || x.deaths > 0)
	if err != nil {
		return report, err
	}
	if err := os.Mkdir(c.tree(), 0o750); err != nil {
		return report, errors.Join(destinationError(err), c.end())
	}
	report, err = x.converse(ctx, c)
	if err != nil {
		if failed := new(failure); errors.As(err, &failed) { // the child is well
			return report, errors.Join(failed, removeTree(c.tree()), x.pool.give(c))
		}
		return report, errors.Join(err, c.end())
	}
	if err := deliver(c.tree(), x.request.Dest); err != nil {
		return report, errors.Join(err, c.end())
	}
	return report, x.pool.give(c)
}

// lost is the report about an archive of which nothing was had.
func lost(name string, row archive.Layer) archive.Report {
	return archive.Report{
		Archive: name, Result: row.Result, Reason: row.Reason, Detail: row.Detail,
		Layers: map[string]archive.Layer{name: row}, Files: []archive.File{}, Refused: []archive.Refusal{},
	}
}
