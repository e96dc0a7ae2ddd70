package warehouse

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"
)

// Clearing removes visible files, and the directories that get empty. It is for one goroutine. Nothing is durably gone before Sync.
type Clearing struct {
	root    *os.Root
	touched map[string]bool
}

// NewClearing begins to remove files below root.
func NewClearing(root *os.Root) *Clearing { return &Clearing{root: root, touched: map[string]bool{}} }

// Remove removes a regular file. One that is not there is no error; what is no regular file is left where it is.
func (c *Clearing) Remove(name string) error {
	if err := local(name); err != nil {
		return fmt.Errorf("warehouse: clear: %w", err)
	}
	c.touched[path.Dir(name)] = true
	info, err := c.root.Lstat(name)
	if err == nil && info.Mode().IsRegular() {
		err = c.root.Remove(name)
	}
	if err != nil && !gone(err) {
		return fmt.Errorf("warehouse: clear: %w", err)
	}
	return nil
}

func gone(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) }

// Sync makes the removals durable, and removes the directories that they left empty, with those above them. One that something is published into at
// the same moment stays, or is made anew by what publishes.
func (c *Clearing) Sync() error {
	for dir := range c.touched {
		opened, err := c.root.Open(dir)
		if err == nil {
			err = syncDir(opened, (*os.File).Sync)
		}
		if err != nil && !gone(err) {
			return fmt.Errorf("warehouse: clear: %w", err)
		}
	}
	for dir := range c.touched {
		for ; dir != "."; dir = path.Dir(dir) {
			if info, err := c.root.Lstat(dir); err != nil || !info.IsDir() || c.root.Remove(dir) != nil {
				break
			}
		}
	}
	clear(c.touched)
	return nil
}
