package activities

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path"
	"strconv"
	"strings"
	"time"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
	"talon/internal/pathname"
)

// Reason codes of listed files that are not fetched.
const (
	reasonTooYoung            = "too_young"
	reasonUnsafeName          = "unsafe_name"
	reasonNotRegular          = "not_regular"
	reasonUnreadableDirectory = "unreadable_directory"
	reasonTooDeep             = "too_deep"
	reasonNoSize              = "no_size"
	reasonUnparsedLine        = "unparsed_line"
)

// specials are the reasons for what cannot be fetched, by ftpclient.Entry.Special.
var specials = map[string]struct{ reason, detail string }{
	"symlink":     {reasonNotRegular, "a symbolic link, not a regular file"},
	"special":     {reasonNotRegular, "a device, pipe or socket, not a regular file"},
	"unsafe_name": {reasonUnsafeName, "the name holds bytes that cannot be sent to an FTP server"},
	"unreadable":  {reasonUnreadableDirectory, "a directory that the server does not open: what is in it is unknown"},
	"too_deep":    {reasonTooDeep, "a directory below the deepest level that is listed: what is in it is unknown"},
	"no_size":     {reasonNoSize, "neither the listing nor SIZE tells its size: what is fetched could not be checked"},
}

// pageNameBytes bounds the file names of a page, which travel in payloads.
const pageNameBytes = 64 << 10

// ListServer returns a page of the files that are new or changed. The first page lists the server and writes the whole account of the
// listing into the catalog; later pages read on from there, so that the books of a run speak of one listing.
func (t *Tiger) ListServer(ctx context.Context, in ListInput) (FilePage, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	var page FilePage
	if in.After == 0 {
		leftovers, err := t.removeLeftovers(in.Run, in.Server)
		if err != nil {
			return page, Classify(err)
		}
		page.Leftovers = leftovers
		if err := t.planServer(ctx, in); err != nil {
			return page, Classify(err)
		}
	}
	if err := t.fillPage(ctx, in, &page); err != nil {
		return page, Classify(err)
	}
	return page, nil
}

// removeLeftovers removes what earlier runs left in the server's stage. The server is this run's alone, so no running attempt can own it.
func (t *Tiger) removeLeftovers(run, server string) (int, error) {
	return t.Warehouse.RemoveStagedExcept(path.Join(collectStage, server), slug(run))
}

// planServer lists the server and notes in the catalog what is to become of every line.
func (t *Tiger) planServer(ctx context.Context, in ListInput) error {
	server, options, err := t.server(in.Server)
	if err != nil {
		return err
	}
	var found listing
	dir, err := options.Encode(server.Path)
	if err != nil {
		return err
	}
	err = t.Pool.Do(ctx, options, func(conn *ftpclient.Conn) error {
		found = listing{}
		found.Summary, err = conn.List(ctx, ftpclient.ListQuery{Dir: dir, Recursive: server.Recursive}, func(entry ftpclient.Entry) error {
			found.entries = append(found.entries, entry)
			return nil
		})
		return err
	})
	if errors.Is(err, ftpclient.ErrNotFound) {
		return refuse(DirectoryMissing, fmt.Sprintf("%s: directory %s is not there", in.Server, server.Path))
	}
	if err != nil {
		return err
	}
	listed, excluded := judge(server, found, time.Now())
	_, err = t.Catalog.PlanListing(ctx, in.Run, in.Server, inOrder(listed), catalog.PlanOptions{Excluded: func() int { return excluded }})
	return err
}

// inOrder reads lines that are in memory as a listing that cannot fail.
func inOrder(listed []catalog.Listed) iter.Seq2[catalog.Listed, error] {
	return func(yield func(catalog.Listed, error) bool) {
		for _, line := range listed {
			if !yield(line, nil) {
				return
			}
		}
	}
}

// listing is all that a server's directory holds.
type listing struct {
	ftpclient.Summary
	entries []ftpclient.Entry
}

// judge decides for every line of a listing whether it is wanted, left for later or refused. Lines that nobody understood are refused with the line
// itself: a listing never gets shorter in silence.
func judge(server config.Server, found listing, now time.Time) (listed []catalog.Listed, excluded int) {
	for _, entry := range found.entries {
		relative := relativePath(server.Path, entry.Path)
		if !wanted(server, entry, relative) {
			excluded++
			continue
		}
		line := catalog.Listed{
			RawPath: entry.RawPath, Path: relative, Size: entry.Size, ModTime: entry.ModTime, Precision: entry.Precision, Line: entry.Line,
		}
		clean, unsafe := pathname.Clean(relative)
		if unsafe == nil {
			line.Path = clean // names that differ only in bytes of no charset still differ in it
		}
		line.State, line.Reason, line.Detail = verdict(server, entry, unsafe, now)
		listed = append(listed, line)
	}
	return append(listed, unparsed(found)...), excluded
}

// wanted tells whether a line is part of the collection. A directory that could not be listed is, unless it is excluded as a whole: wanted files
// may be in it.
func wanted(server config.Server, entry ftpclient.Entry, relative string) bool {
	if reason := specials[entry.Special].reason; reason == reasonUnreadableDirectory || reason == reasonTooDeep {
		server.Include = []string{"*"}
		relative += "/file"
	}
	return server.Wants(relative)
}

// unparsed accounts for the lines that nobody understood. Of very many the engine keeps the first; the others get one row together.
func unparsed(found listing) []catalog.Listed {
	var lines []catalog.Listed
	for i, line := range found.Unparsed {
		lines = append(lines, catalog.Listed{
			RawPath: "unparsed line " + strconv.Itoa(i+1) + ": " + line, Path: printable(line), Line: line, State: catalog.StateRefused,
			Reason: reasonUnparsedLine, Detail: "this line of the listing could not be understood",
		})
	}
	if more := found.UnparsedLines - len(found.Unparsed); more > 0 {
		text := fmt.Sprintf("%d more unparsed lines", more)
		lines = append(lines, catalog.Listed{
			RawPath: text, Path: text, State: catalog.StateRefused, Reason: reasonUnparsedLine,
			Detail: fmt.Sprintf("the listing has %d further lines that could not be understood", more),
		})
	}
	return lines
}

func verdict(server config.Server, entry ftpclient.Entry, unsafe error, now time.Time) (catalog.State, string, string) {
	if entry.Special != "" {
		return catalog.StateRefused, specials[entry.Special].reason, specials[entry.Special].detail
	}
	if unsafe != nil {
		return catalog.StateRefused, reasonUnsafeName, unsafe.Error()
	}
	// Without a minimum the age is nobody's business: by a clock that is ahead, or one of another zone in LIST, every file is younger than 0s.
	if age := now.Sub(entry.ModTime); server.MinAge > 0 && age < server.MinAge {
		return catalog.StateDeferred, reasonTooYoung, fmt.Sprintf("younger than %s: left for the next run", server.MinAge)
	}
	return catalog.StatePending, "", ""
}

// relativePath is a file's path below the directory that is collected.
func relativePath(dir, file string) string {
	prefix := strings.TrimSuffix(dir, "/") + "/"
	return strings.TrimPrefix(strings.TrimPrefix(file, prefix), "/")
}

func printable(line string) string {
	const longEnough = 500
	if len(line) > longEnough {
		line = line[:longEnough]
	}
	quoted := strconv.Quote(line)
	return quoted[1 : len(quoted)-1]
}

// fillPage reads the next pending entries, as many as fit into a page.
func (t *Tiger) fillPage(ctx context.Context, in ListInput, page *FilePage) error {
	entries, err := t.Catalog.NextEntries(ctx, in.Run, in.Server, in.After, in.PageFiles+1)
	if err != nil {
		return err
	}
	names := 0
	for _, entry := range entries {
		names += len(entry.Path)
		if len(page.Files) > 0 && (len(page.Files) == in.PageFiles || names > pageNameBytes) {
			page.More = true
			break
		}
		page.Files = append(page.Files, FileRef{ID: entry.ID, Name: strings.ToValidUTF8(entry.Path, "�"), Size: entry.Size})
	}
	page.Books, err = t.Catalog.Books(ctx, in.Run, in.Server)
	return err
}
