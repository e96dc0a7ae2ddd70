package catalog

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"iter"
	"os"
)

// spool keeps lines of a listing on disk, in a file that has no name and so is gone with the process. It is made for the first line.
type spool struct {
	dir    string
	file   *os.File
	buffer *bufio.Writer
	lines  *gob.Encoder
}

func (s *spool) add(l *Listed) error {
	if s.file == nil {
		if err := s.create(); err != nil {
			return err
		}
	}
	return s.lines.Encode(l)
}

func (s *spool) create() (err error) {
	if s.file, err = os.CreateTemp(s.dir, "listing-*"); err != nil {
		return err
	}
	s.buffer = bufio.NewWriterSize(s.file, 64<<10)
	s.lines = gob.NewEncoder(s.buffer)
	return os.Remove(s.file.Name())
}

// all returns what was added, once.
func (s *spool) all() iter.Seq2[Listed, error] {
	return func(yield func(Listed, error) bool) {
		if s.file == nil {
			return
		}
		if err := s.rewind(); err != nil {
			yield(Listed{}, err)
			return
		}
		lines := gob.NewDecoder(bufio.NewReaderSize(s.file, 64<<10))
		for {
			var l Listed
			err := lines.Decode(&l)
			if errors.Is(err, io.EOF) || !yield(l, err) || err != nil {
				return
			}
		}
	}
}

func (s *spool) rewind() error {
	if err := s.buffer.Flush(); err != nil {
		return err
	}
	_, err := s.file.Seek(0, io.SeekStart)
	return err
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}
