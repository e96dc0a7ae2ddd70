package warehouse

import (
	"errors"
	"fmt"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// HoldStagedDir makes a directory in the stage that belongs to this process until release removes it, or until the process
// ends. It returns the absolute path.
func (s *Stage) HoldStagedDir(rel string) (dir string, release func() error, err error) {
	if dir, err = s.MakeStagedDir(rel); err != nil {
		return "", nil, err
	}
	lock, err := s.lockStaged(rel)
	if err != nil {
		return "", nil, fmt.Errorf("warehouse: hold: %w", err)
	}
	return dir, func() error {
		_, err := s.RemoveStaged(rel)
		return errors.Join(err, lock.Close())
	}, nil
}

// RemoveAbandoned removes from a directory of the stage what HoldStagedDir made under names with the prefix, and the process
// that held it has ended on this host. It counts the files.
func (s *Stage) RemoveAbandoned(dir, prefix string) (files int, err error) {
	names, err := list(s.stage, dir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	for _, name := range names {
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		lock, lockErr := s.lockStaged(path.Join(dir, name))
		if lockErr != nil {
			continue // it is held, or gone, or locks are not to be had here: the janitor takes it one day
		}
		count, removeErr := s.RemoveStaged(path.Join(dir, name))
		files += count
		err = errors.Join(err, removeErr, lock.Close())
	}
	return files, err
}

// lockStaged locks a directory of the stage until the file is closed. It never waits.
func (s *Stage) lockStaged(rel string) (*os.File, error) {
	file, err := s.stage.Open(rel)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(os.NewSyscallError("flock", err), file.Close())
	}
	return file, nil
}
