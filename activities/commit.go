package activities

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/pathname"
	"talon/internal/warehouse"
)

// CommitServer makes a page's downloads visible and durable, in this order: sync, rename without replacing, sync the directories, one
// catalog transaction, then what is to be done on the server. Every step may be repeated after a crash. With Close it also closes the server's
// books for this run, unless data got lost that must be fetched again first.
func (t *Tiger) CommitServer(ctx context.Context, in CommitInput) (CommitResult, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	server, options, err := t.server(in.Server)
	if err != nil {
		return CommitResult{}, err
	}
	if err := t.meet(ctx, visit(in.Run, in.Try), in.Server); err != nil {
		return CommitResult{}, Classify(err)
	}
	var result CommitResult
	if len(in.Files) > 0 {
		err := timed(t.Meter, StepCommit, func() (err error) {
			result, err = t.commitPage(ctx, in, server)
			return err
		})
		if err != nil {
			return CommitResult{}, Classify(err)
		}
	}
	if in.Close == nil || in.Close.Reason == "" { // else the server is gone, or nobody wants to wait for it
		t.actRemotely(ctx, server, options)
	}
	if in.Close != nil && len(result.Lost) == 0 {
		row, err := t.closeServer(ctx, in)
		if err != nil {
			return CommitResult{}, Classify(err)
		}
		result.Row = &row
	}
	return result, nil
}

// commitPage syncs, publishes and records a page.
func (t *Tiger) commitPage(ctx context.Context, in CommitInput, server config.Server) (CommitResult, error) {
	var result CommitResult
	if err := t.Warehouse.Sync(ctx); err != nil && !errors.Is(err, warehouse.ErrSync) {
		return result, err // after ErrSync the warehouse itself refuses what was staged before: it is fetched again
	}
	tree, err := t.Warehouse.Visible(in.ZipDir)
	if err != nil {
		return result, err
	}
	defer tree.Close()
	publication := tree.NewPublication()
	page := catalog.Page{
		Run: in.Run, Server: in.Server, ZipDir: in.ZipDir, UnzipDir: in.UnzipDir, Decompression: in.Decompression,
		RemoteAction: remoteAction(server),
	}
	for _, file := range in.Files {
		settled, err := t.settle(ctx, in, file, publication)
		if errors.Is(err, warehouse.ErrLost) || errors.Is(err, warehouse.ErrSync) {
			result.Lost = append(result.Lost, file.ID)
			continue
		}
		if err != nil {
			return result, err
		}
		page.Files = append(page.Files, settled)
	}
	if err := publication.Sync(); err != nil {
		return result, err
	}
	if err := gatherVolumes(&page); err != nil {
		return result, err
	}
	archives, err := t.Catalog.Settle(ctx, page)
	result.Archives = len(archives)
	return result, err
}

func remoteAction(server config.Server) string {
	if server.After.Action == config.AfterKeep {
		return ""
	}
	return string(server.After.Action)
}

// settle publishes one download, or passes on why there is none. ErrLost and ErrSync mean that its staged data cannot be had or trusted.
func (t *Tiger) settle(ctx context.Context, in CommitInput, file FileOutcome, publication *warehouse.Publication) (catalog.Settled, error) {
	settled := catalog.Settled{EntryID: file.ID, State: catalog.State(file.State), Reason: file.Reason, Detail: file.Detail}
	if file.Download == nil {
		return settled, nil
	}
	entry, err := t.Catalog.Entry(ctx, file.ID)
	if err != nil {
		return settled, err
	}
	name, err := pathname.Clean(entry.Path)
	if err != nil {
		return settled, err
	}
	staged := path.Join(serverStage(in.Run, in.Server), file.Download.Staged)
	want := warehouse.Identity{Size: file.Download.Size, SHA256: file.Download.SHA256}
	published, err := publication.File(staged, path.Join(in.Server, name), want, func(candidate string) (bool, error) {
		return t.Catalog.LocalPathTaken(ctx, in.ZipDir, candidate, file.ID, want.SHA256)
	})
	if err != nil {
		return settled, fmt.Errorf("publish %s of %s: %w", entry.Path, in.Server, err)
	}
	settled.State, settled.SHA256, settled.Size, settled.LocalPath = catalog.StateCollected, want.SHA256, want.Size, published
	settled.Detail = file.Download.Note
	settled.Archive, _, err = inspect(path.Join(in.ZipDir, published))
	return settled, err
}

// closeServer closes the server's books: what is still pending failed for the run's reason, the row is written, the stage is empty, the idle
// connections are logged out.
func (t *Tiger) closeServer(ctx context.Context, in CommitInput) (ServerResult, error) {
	if err := t.Catalog.SettlePending(ctx, in.Run, in.Server, in.Close.Reason, in.Close.Detail); err != nil {
		return ServerResult{}, err
	}
	books, err := t.Catalog.Books(ctx, in.Run, in.Server)
	if err != nil {
		return ServerResult{}, err
	}
	row := catalog.ServerRow{
		Run: in.Run, Server: in.Server, Reason: in.Close.Reason, Detail: in.Close.Detail, Books: books,
		BufferPath: path.Join(in.ZipDir, in.Server), Leftovers: in.Close.Leftovers, Start: in.Close.Start, End: time.Now(),
	}
	row.Result = serverCode(row.Reason, books)
	switch {
	case row.Result != Success && row.Reason == "":
		row.Reason = ReasonIncomplete
		row.Detail = missingText(books)
	case row.Result == Success && in.Close.Shrank != "":
		row.Result, row.Reason, row.Detail = Partial, ReasonShrank, in.Close.Shrank
	}
	if row.Warnings, err = t.warnings(ctx, in); err != nil {
		return ServerResult{}, err
	}
	if err := t.Catalog.SaveServer(ctx, row); err != nil {
		return ServerResult{}, err
	}
	t.remember(ctx, in.Server)
	t.Pool.CloseServer(in.Server)
	if _, err := t.Warehouse.RemoveStaged(serverStage(in.Run, in.Server)); err != nil {
		return ServerResult{}, err
	}
	result := ServerResult{
		Server: row.Server, Result: row.Result, Reason: row.Reason, Detail: row.Detail, Books: books, Start: row.Start, End: row.End,
		Warnings: row.Warnings,
	}
	return result, t.tell(ctx, in.Run, result)
}

// tell has the meter count a server whose row was just written.
func (t *Tiger) tell(ctx context.Context, run string, row ServerResult) error {
	if t.Meter == nil {
		return nil
	}
	outcomes, err := t.Catalog.Outcomes(ctx, run, row.Server)
	if err != nil {
		return err
	}
	if row.Books.Unchanged > 0 {
		outcomes = append(outcomes, Outcome{State: stateUnchanged, Files: row.Books.Unchanged})
	}
	t.Meter.Server(row, outcomes)
	return nil
}

// warnings are what the run has met, and remote actions that do not succeed.
func (t *Tiger) warnings(ctx context.Context, in CommitInput) ([]string, error) {
	warnings := in.Close.Warnings
	if in.Close.Shrank != "" {
		warnings = append(warnings, in.Close.Shrank)
	}
	failed, sample, err := t.Catalog.RemoteBacklog(ctx, in.Server)
	if failed > 0 {
		warnings = append(warnings, fmt.Sprintf("%d collected files could not be deleted, moved or renamed on the server; every run tries again: %s",
			failed, sample))
	}
	return warnings, err
}

// serverCode is a server's result: partly as soon as something is there and something is missing.
func serverCode(reason string, books Books) int {
	missing := reason != "" || books.Failed > 0 || books.Refused > 0
	there := books.Collected > 0 || books.Unchanged > 0
	switch {
	case !missing:
		return Success
	case there:
		return Partial
	default:
		return Failed
	}
}

// missingText counts what of a server did not arrive.
func missingText(books Books) string {
	var parts []string
	for _, part := range []struct {
		n    int
		what string
	}{{books.Failed, "failed"}, {books.Refused, "refused"}} {
		switch part.n {
		case 0:
		case 1:
			parts = append(parts, "1 file "+part.what)
		default:
			parts = append(parts, fmt.Sprintf("%d files %s", part.n, part.what))
		}
	}
	return strings.Join(parts, ", ")
}
