package activities

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"
	"unicode/utf8"

	"talon/internal/archive"
	"talon/internal/catalog"
)

// planArchives bounds a page of batches, and pageNameBytes the paths in it, which may be long.
const planArchives = 500

// PlanExtraction returns a page of batches of the archives that wait for this decompression. With Scan it looks for archives in the
// zip directory first and notes them in the catalog; a directory that is not there or cannot be used is refused.
func (t *Tiger) PlanExtraction(ctx context.Context, in ExtractionInput) (ExtractionPlan, error) {
	beat := startProgress(ctx, Checkpoint{})
	defer beat.stop()
	plan := ExtractionPlan{Deadline: t.Config.Extract.Deadline, SearchAttributes: t.SearchAttributes}
	if in.Scan {
		if err := t.beginDecompression(ctx, in); err != nil {
			return plan, Classify(err)
		}
	}
	archives, err := t.Catalog.PendingArchives(ctx, in.Decompression, in.After, planArchives+1)
	if err != nil {
		return plan, Classify(err)
	}
	refs, err := refsOf(archives)
	if err != nil {
		return plan, Classify(err)
	}
	if fitting := firstPage(refs); fitting < len(refs) {
		refs = refs[:fitting]
		plan.Next = refs[fitting-1].ID
	}
	plan.Batches = t.batches(refs)
	plan.ZipKey = t.zipKey(in.ZipDir)
	plan.Total, _, _, _, _, err = t.Catalog.DecompressionTotals(ctx, in.Decompression)
	return plan, Classify(err)
}

// firstPage returns how many of the archives fit into a page, at least one if there is one.
func firstPage(archives []ArchiveRef) int {
	names := 0
	for i, a := range archives {
		names += len(a.Path)
		for _, volume := range a.Volumes {
			names += len(volume.Name)
		}
		if i == planArchives || i > 0 && names > pageNameBytes {
			return i
		}
	}
	return len(archives)
}

func refsOf(archives []catalog.Archive) (refs []ArchiveRef, err error) {
	for _, a := range archives {
		ref, err := refOf(a)
		if err != nil {
			return nil, err
		}
		refs = append(refs, ref)
	}
	return refs, nil
}

// refOf is what eagle needs to know of an archive, with the volumes of its set if it stands for one.
func refOf(a catalog.Archive) (ArchiveRef, error) {
	ref := ArchiveRef{ID: a.ID, Path: a.Path, Size: a.Size, SHA256: a.SHA256}
	volumes, err := archive.Volumes(filepath.Join(a.ZipDir, filepath.FromSlash(a.Path)))
	if errors.Is(err, fs.ErrNotExist) { // eagle reports it
		return ref, nil
	}
	if err != nil {
		return ref, err
	}
	for _, volume := range volumes {
		name := filepath.Base(volume)
		if name == path.Base(a.Path) || !utf8.ValidString(name) { // no payload can carry it
			continue
		}
		info, err := os.Stat(volume)
		if err != nil {
			return ref, err
		}
		ref.Volumes = append(ref.Volumes, VolumeRef{Name: name, Size: info.Size()})
	}
	return ref, nil
}

// zipKey is the place of a directory in the zip warehouse, "" for one outside of it.
func (t *Tiger) zipKey(dir string) string {
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	root, err := filepath.EvalSymlinks(t.Warehouse.ZipDir())
	if err != nil {
		return ""
	}
	key, err := filepath.Rel(root, dir)
	if err != nil || !filepath.IsLocal(key) {
		return ""
	}
	return filepath.ToSlash(key)
}

func (t *Tiger) beginDecompression(ctx context.Context, in ExtractionInput) error {
	if info, err := os.Stat(in.ZipDir); err != nil || !info.IsDir() {
		return refuse(DirectoryMissing, fmt.Sprintf("there is no directory %s on tiger's host", in.ZipDir))
	}
	tree, err := t.Warehouse.Visible(in.UnzipDir)
	if err != nil {
		return err
	}
	defer tree.Close()
	found, err := scan(in)
	if err != nil {
		return err
	}
	if err := t.Catalog.AddArchives(ctx, found); err != nil {
		return err
	}
	return t.Catalog.SaveRun(ctx, catalog.RunRow{ID: in.Decompression, Kind: catalog.KindDecompress, Start: time.Now()})
}

// scan finds the archives of a directory, in lexical order. Only regular files count; links in it are not followed.
func scan(in ExtractionInput) ([]catalog.Archive, error) {
	root, err := filepath.EvalSymlinks(in.ZipDir) // the directory itself may be a link, which WalkDir would take for an empty one
	if err != nil {
		return nil, err
	}
	var found []catalog.Archive
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && file != root && !in.Recursive:
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		candidate, size, err := inspect(file)
		if err != nil || !candidate {
			return err
		}
		relative, err := filepath.Rel(root, file)
		found = append(found, catalog.Archive{
			Decompression: in.Decompression, Run: in.Decompression, ZipDir: in.ZipDir, UnzipDir: in.UnzipDir, Path: relative, Size: size,
		})
		return err
	})
	return withoutFurtherVolumes(found), err
}

// inspect tells whether a file is to be extracted, and its size.
func inspect(file string) (candidate bool, size int64, err error) {
	f, err := os.Open(file)
	if err != nil {
		return false, 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return false, 0, err
	}
	return archive.IsCandidate(filepath.Base(file), f, info.Size()), info.Size(), nil
}

// batches groups archives for eagle: small ones travel together, a large one alone.
func (t *Tiger) batches(archives []ArchiveRef) []Batch {
	var batches []Batch
	var current Batch
	limit := int64(t.Config.Extract.BatchBytes)
	for _, a := range archives {
		full := len(current.Archives) == t.Config.Extract.BatchArchives || current.Size()+a.TotalSize() > limit
		if len(current.Archives) > 0 && full {
			batches = append(batches, current)
			current = Batch{}
		}
		current.Archives = append(current.Archives, a)
	}
	if len(current.Archives) > 0 {
		batches = append(batches, current)
	}
	return batches
}

// CloseDecompression removes the decompression's stage and, for one of its own, writes the run's outcome.
func (t *Tiger) CloseDecompression(ctx context.Context, in CloseDecompressionInput) error {
	for _, dir := range []string{decompressionStage(in.Decompression), path.Join(bundleStage, bundleKey(in.Decompression))} {
		if _, err := t.Warehouse.RemoveStaged(dir); err != nil {
			return Classify(err)
		}
	}
	if in.Reason != "" { // nobody will come back to them
		if err := t.Catalog.SettleArchives(ctx, in.Decompression, in.Reason, in.Detail, time.Now()); err != nil {
			return Classify(err)
		}
	}
	if !in.Own {
		return nil
	}
	return t.saveRun(ctx, catalog.RunRow{
		ID: in.Decompression, Kind: catalog.KindDecompress, Result: in.Result, Reason: in.Reason, Detail: in.Detail, Start: in.Start, End: time.Now(),
	})
}
