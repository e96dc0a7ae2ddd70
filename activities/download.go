package activities

import (
	"context"
	"errors"
	"fmt"
	"path"

	"go.temporal.io/sdk/activity"

	"talon/internal/catalog"
	"talon/internal/ftpclient"
	"talon/internal/warehouse"
)

// resumeFrom is how many bytes of a file must be there for the next attempt to go on with them: for less it is quicker to begin anew.
const resumeFrom = 256 << 10

// DownloadFile fetches one file into the stage. Its result is not visible and not yet safe: CommitServer makes it so. What an attempt has when its
// connection breaks, or its worker dies, the next one continues (REST), if it can prove that it is the same file.
func (t *Tiger) DownloadFile(ctx context.Context, in DownloadInput) (Download, error) {
	_, options, err := t.server(in.Server)
	if err != nil {
		return Download{}, err
	}
	entry, err := t.Catalog.Entry(ctx, in.ID)
	if err != nil {
		return Download{}, Classify(err)
	}
	if err := t.meet(ctx, visit(in.Run, in.Try), in.Server); err != nil {
		return Download{}, Classify(err)
	}
	beat := startProgress(ctx, lastCheckpoint(ctx))
	defer beat.stop()
	f := &fetching{tiger: t, options: options, entry: entry, beat: beat}
	var download Download
	err = timed(t.Meter, StepDownload, func() (err error) {
		download, err = f.run(ctx)
		return err
	})
	if err != nil {
		f.beat.report(ctx) // so that the next attempt knows what this one leaves
	}
	return download, Classify(err)
}

// fetching is one attempt of DownloadFile.
type fetching struct {
	tiger   *Tiger
	options ftpclient.Options
	entry   catalog.Entry
	beat    *progress
}

// run fetches the file. Where the server contradicts itself, it is fetched once more: two transfers that agree with each other prove what one
// alone does not.
func (f *fetching) run(ctx context.Context) (Download, error) {
	want := ftpclient.Want{RawPath: f.entry.RawPath, Size: f.entry.Size, ModTime: f.entry.ModTime, Precision: f.entry.Precision}
	download, err := f.attempt(ctx, want)
	if errors.Is(err, ftpclient.ErrNoResume) {
		download, err = f.attempt(ctx, want)
	}
	if actual, ok := ftpclient.ActualSize(err); ok {
		return f.believe(ctx, want, actual, err)
	}
	if errors.Is(err, ftpclient.ErrUnconfirmed) {
		return f.again(ctx, want, download, err)
	}
	return download, err
}

// believe fetches a file once more that is listed with another size than SIZE and a transfer agree on, unless a second listing shows that it was
// only being written.
func (f *fetching) believe(ctx context.Context, want ftpclient.Want, actual int64, mislisted error) (Download, error) {
	same := false
	err := f.tiger.Pool.Do(ctx, f.options, func(conn *ftpclient.Conn) error {
		same = false
		_, err := conn.List(ctx, ftpclient.ListQuery{Dir: path.Dir(want.RawPath)}, func(entry ftpclient.Entry) error {
			same = same || entry.RawPath == want.RawPath && entry.Size == want.Size && entry.ModTime.Equal(want.ModTime)
			return nil
		})
		return err
	})
	if err != nil {
		return Download{}, err
	}
	if !same {
		return Download{}, fmt.Errorf("%w: %w", ftpclient.ErrChanged, mislisted)
	}
	want.Size = actual
	download, err := f.attempt(ctx, want)
	download.Note = fmt.Sprintf("listed with %d bytes, twice; SIZE and two transfers agree on %d", f.entry.Size, actual)
	return download, err
}

// again reads a file of which all bytes came, but no final reply, a second time: the same bytes again are believed.
func (f *fetching) again(ctx context.Context, want ftpclient.Want, first Download, unconfirmed error) (Download, error) {
	if err := f.discard(first.Staged); err != nil {
		return Download{}, err
	}
	second, err := f.attempt(ctx, want)
	if !errors.Is(err, ftpclient.ErrUnconfirmed) {
		return second, err
	}
	if second.SHA256 != first.SHA256 {
		return Download{}, errors.Join(unconfirmed, f.discard(second.Staged))
	}
	second.Note = "the server never confirms its transfers; two of them brought the same bytes"
	return second, nil
}

// attempt is one transfer. A connection that died while it lay idle in the pool is not the file's fault: the pool then runs the function again, on a
// staged file of its own. After ErrUnconfirmed the download is returned with the error.
func (f *fetching) attempt(ctx context.Context, want ftpclient.Want) (Download, error) {
	var download Download
	err := f.tiger.Pool.Do(ctx, f.options, func(conn *ftpclient.Conn) error {
		name := attemptName(ctx, f.entry.ID)
		staged, err := f.stage(name)
		if err != nil {
			return err
		}
		want.Offset = staged.Mark().Size
		if want.Tail, err = staged.Tail(ftpclient.MaxTail); err != nil {
			return errors.Join(err, staged.Discard())
		}
		f.beat.watch(staged)
		_, err = conn.Retrieve(ctx, want, &countingWriter{to: staged, beat: f.beat, written: want.Offset})
		if err != nil && !errors.Is(err, ftpclient.ErrUnconfirmed) {
			return errors.Join(err, f.leave(ctx, want, staged, err))
		}
		f.beat.watch(nil)
		written, closing := staged.Close()
		if closing != nil {
			return errors.Join(closing, staged.Discard())
		}
		download = Download{Staged: name, SHA256: written.SHA256, Size: written.Size}
		return err
	})
	return download, err
}

// stage creates the file to write into, with what an earlier attempt left if that can be proven to be there.
func (f *fetching) stage(name string) (*warehouse.StagedFile, error) {
	rel := path.Join(serverStage(f.entry.Run, f.entry.Server), name)
	if mark := f.beat.takeOver(); mark != nil && mark.Size >= resumeFrom {
		staged, err := f.tiger.Warehouse.ContinueStaged(rel, *mark)
		if !errors.Is(err, warehouse.ErrLost) {
			return staged, err
		}
	}
	return f.tiger.Warehouse.CreateStaged(rel)
}

// leave ends a failed transfer: what can be continued stays for the next attempt, as long as it has one that is told of it.
func (f *fetching) leave(ctx context.Context, want ftpclient.Want, staged *warehouse.StagedFile, err error) error {
	mark := staged.Mark()
	if activity.GetInfo(ctx).IsLocalActivity || mark.Size < resumeFrom || mark.Size >= want.Size || !isResumable(ctx, err) {
		f.beat.watch(nil)
		return staged.Discard()
	}
	return staged.Keep()
}

// isResumable tells whether a failure says nothing against the bytes that came before it.
func isResumable(ctx context.Context, err error) bool {
	for _, harmless := range []error{
		ftpclient.ErrBroken, ftpclient.ErrStalled, ftpclient.ErrTruncated, ftpclient.ErrFileBusy, ftpclient.ErrBusy, context.DeadlineExceeded,
	} {
		if errors.Is(err, harmless) {
			return true
		}
	}
	return ctx.Err() != nil
}

func (f *fetching) discard(name string) error {
	_, err := f.tiger.Warehouse.RemoveStaged(path.Join(serverStage(f.entry.Run, f.entry.Server), name))
	return err
}
