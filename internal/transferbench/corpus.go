package transferbench

import (
	"archive/zip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/klauspost/compress/flate"

	"talon/internal/archive"
	"talon/internal/contest"
)

// corpus is what a case transfers.
type corpus struct {
	archives string       // directory of NAME.zip
	trees    string       // directory of what is in them, in NAME
	reports  string       // directory of the engine's reports, in NAME.json
	count    int          // of archives
	bytes    int64        // of all archives
	tree     contest.Tree // what is in trees
}

// makeCorpus writes the files of a case, packs them, and extracts them again, which the transfers are then spared.
func makeCorpus(ctx context.Context, dir string, c benchCase, scale Scale, limits archive.Limits) (corpus, error) {
	made := corpus{archives: filepath.Join(dir, "archives"), trees: filepath.Join(dir, "trees"), reports: filepath.Join(dir, "reports")}
	sources := filepath.Join(dir, "sources")
	for _, each := range []string{made.archives, made.trees, made.reports, sources} {
		if err := os.MkdirAll(each, 0o755); err != nil {
			return made, err
		}
	}
	if err := errors.Join(c.generate(scale, sources), contest.Date(sources)); err != nil {
		return made, err
	}
	generated, err := os.ReadDir(sources)
	if err != nil {
		return made, err
	}
	for _, source := range generated {
		if err := made.add(ctx, filepath.Join(sources, source.Name()), c.stored, limits); err != nil {
			return made, fmt.Errorf("%s: %w", source.Name(), err)
		}
	}
	return made, made.compare(sources)
}

// add makes an archive of a directory, and extracts it.
func (c *corpus) add(ctx context.Context, source string, stored bool, limits archive.Limits) error {
	name := filepath.Base(source)
	packed := filepath.Join(c.archives, name+archiveExt)
	if err := pack(packed, os.DirFS(source), stored); err != nil {
		return err
	}
	info, err := os.Stat(packed)
	if err != nil {
		return err
	}
	c.count++
	c.bytes += info.Size()
	tree := filepath.Join(c.trees, name)
	if err := os.Mkdir(tree, 0o755); err != nil {
		return err
	}
	report, err := archive.Extract(ctx, archive.Request{Archive: packed, Name: name + archiveExt, Dest: tree, Limits: limits})
	if err != nil {
		return err
	}
	if report.Result != 0 {
		return fmt.Errorf("it cannot be extracted: %s %s", report.Reason, report.Detail)
	}
	text, err := json.Marshal(report)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(c.reports, name+reportExt), text, 0o644)
}

// compare finds that what was extracted is what was packed, and removes the latter.
func (c *corpus) compare(sources string) (err error) {
	if c.tree, err = contest.ReadTree(sources); err != nil {
		return err
	}
	extracted, err := contest.ReadTree(c.trees)
	if err != nil {
		return err
	}
	if difference := c.tree.Difference(extracted); difference != "" {
		return errors.New(difference)
	}
	return os.RemoveAll(sources)
}

// pack makes a zip archive.
func pack(name string, files fs.FS, stored bool) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packed := newZip(file)
	err = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return packFile(packed, files, path, stored)
	})
	return errors.Join(err, packed.Close())
}

// newZip compresses faster than the standard library.
func newZip(w io.Writer) *zip.Writer {
	packed := zip.NewWriter(w)
	packed.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	return packed
}

func packFile(packed *zip.Writer, files fs.FS, path string, stored bool) error {
	file, err := files.Open(path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := &zip.FileHeader{Name: path, Method: zip.Deflate, Modified: info.ModTime()}
	if stored {
		header.Method = zip.Store
	}
	entry, err := packed.CreateHeader(header)
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, file)
	return err
}
