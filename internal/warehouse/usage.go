package warehouse

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
)

// Usage counts the files of the stage and their bytes.
func (s *Stage) Usage(ctx context.Context) (files int, bytes int64, err error) {
	err = walk(s.stage, ".", func(_ string, info fs.FileInfo) error {
		if info.Mode().IsRegular() {
			files++
			bytes += info.Size()
		}
		return ctx.Err()
	})
	if err != nil {
		return 0, 0, fmt.Errorf("warehouse: usage: %w", err)
	}
	return files, bytes, nil
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
