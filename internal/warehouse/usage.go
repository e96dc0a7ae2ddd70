package warehouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// Usage is what something in the stage takes.
type Usage struct {
	Files  int
	Bytes  int64
	Oldest time.Time // when the file was changed that was left alone for longest; zero if there is none
}

// Usage counts the regular files of something in the stage, or "." for all of it.
func (s *Stage) Usage(ctx context.Context, rel string) (u Usage, err error) {
	err = walk(s.stage, rel, func(_ string, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return ctx.Err()
		}
		u.Files++
		u.Bytes += info.Size()
		if at := changed(info); u.Oldest.IsZero() || at.Before(u.Oldest) {
			u.Oldest = at
		}
		return ctx.Err()
	})
	if err != nil {
		return Usage{}, fmt.Errorf("warehouse: usage: %w", err)
	}
	return u, nil
}

// trialBytes is more than fits beside a file's name anywhere, so that a block of the disk is needed for it.
const trialBytes = 4 << 10

// Try writes a small file into the stage, has it on the disk and removes it: the error tells why nothing can be staged.
func (s *Stage) Try() error {
	staged, err := s.CreateStaged(".trial-" + rand.Text()[:10])
	if err != nil {
		return err
	}
	_, err = staged.Write(make([]byte, trialBytes))
	if err == nil {
		if err = staged.file.Sync(); err != nil {
			err = fmt.Errorf("warehouse: stage: %w", err)
		}
	}
	return errors.Join(err, staged.Discard())
}
