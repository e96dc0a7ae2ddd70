package main

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/archive/sandbox"
)

// isolated extracts in child processes that it starts when the first archive comes. Their directory is a hidden one beside
// dest, or in it where that is another file system or nobody may write beside it.
type isolated struct {
	dest    string // exists when the first archive comes
	options sandbox.Options
	once    sync.Once
	pool    *sandbox.Pool
	err     error
}

func newIsolated(dest string, limits archive.Limits, children int, stderr io.Writer) *isolated {
	log := slog.New(slog.NewTextHandler(stderr, nil))
	return &isolated{dest: dest, options: sandbox.Options{Limits: limits, Children: children, Log: log}}
}

// Extract implements activities.Extractor.
func (i *isolated) Extract(ctx context.Context, request archive.Request) (archive.Report, error) {
	i.once.Do(func() {
		if i.options.Scratch, i.err = scratchFor(i.dest); i.err == nil {
			i.pool, i.err = sandbox.NewPool(i.options)
		}
	})
	if i.err != nil {
		return archive.Report{}, i.err
	}
	return i.pool.Extract(ctx, request)
}

// close ends the children and removes their directory.
func (i *isolated) close() error {
	i.once.Do(func() {})
	var errs []error
	if i.pool != nil {
		errs = append(errs, i.pool.Close())
	}
	if i.options.Scratch != "" {
		errs = append(errs, os.Remove(i.options.Scratch))
	}
	return errors.Join(errs...)
}

func scratchFor(dest string) (string, error) {
	const pattern = ".talon-extract-*"
	dest, err := filepath.Abs(dest)
	if err != nil {
		return "", err
	}
	if parent := filepath.Dir(dest); isOneMount(parent, dest) {
		if scratch, err := os.MkdirTemp(parent, pattern); err == nil {
			return scratch, nil
		}
	}
	return os.MkdirTemp(dest, pattern)
}

// isOneMount says whether a directory can be renamed from one of two places to the other (rename(2), EXDEV).
func isOneMount(a, b string) bool {
	var stats [2]unix.Statx_t
	for i, path := range []string{a, b} {
		if unix.Statx(unix.AT_FDCWD, path, 0, unix.STATX_BASIC_STATS|unix.STATX_MNT_ID, &stats[i]) != nil {
			return false
		}
	}
	return stats[0].Mnt_id == stats[1].Mnt_id && stats[0].Dev_major == stats[1].Dev_major && stats[0].Dev_minor == stats[1].Dev_minor
}
