package activities

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"time"

	"talon/config"
	"talon/internal/ftpclient"
)

// zoneSamples is of how many files MDTM is asked after a listing, to learn the zone of its times.
const zoneSamples = 2

// survey is what one listing of a server brought. The entries are in a nameless file, since there may be more than fit into memory, and since the
// catalog must not be locked for as long as a slow server takes.
type survey struct {
	file    *os.File
	summary ftpclient.Summary
	files   int               // regular ones
	newest  []ftpclient.Entry // samples for LearnZone, the newest first: those with a time of day
	// modified is what MDTM says of newest, zero where it says nothing.
	modified []time.Time
	markers  map[string]string // raw paths of done markers by shown path
}

// close gives up the entries.
func (s *survey) close() error { return s.file.Close() }

// survey lists a server. It must be closed.
func (t *Tiger) survey(ctx context.Context, server config.Server, options ftpclient.Options) (*survey, error) {
	dir, err := options.Encode(server.Path)
	if err != nil {
		return nil, err
	}
	var s *survey
	err = t.Pool.Do(ctx, options, func(conn *ftpclient.Conn) error {
		if s != nil {
			if err := s.close(); err != nil { // of a connection that was dead
				return err
			}
		}
		if s, err = t.newSurvey(); err != nil {
			return err
		}
		return s.read(ctx, server, conn, dir)
	})
	if err != nil && s != nil {
		err = errors.Join(err, s.close())
	}
	if errors.Is(err, ftpclient.ErrNotFound) {
		return nil, refuse(DirectoryMissing, fmt.Sprintf("%s: directory %s is not there", server.Name, server.Path))
	}
	return s, err
}

func (t *Tiger) newSurvey() (*survey, error) {
	file, err := os.CreateTemp(t.Warehouse.StateDir(), "listing-")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil { // it lives as long as it is open: no crash leaves it behind
		return nil, errors.Join(err, file.Close())
	}
	return &survey{file: file, markers: map[string]string{}}, nil
}

// read takes a listing off a connection, and learns from MDTM in which zone its times are.
func (s *survey) read(ctx context.Context, server config.Server, conn *ftpclient.Conn, dir string) (err error) {
	buffered := bufio.NewWriterSize(s.file, 1<<16)
	encoder := gob.NewEncoder(buffered)
	query := ftpclient.ListQuery{Dir: dir, Recursive: server.Recursive, MaxDepth: server.MaxDepth}
	s.summary, err = conn.List(ctx, query, func(entry ftpclient.Entry) error {
		s.note(server, entry)
		return encoder.Encode(entry)
	})
	if err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	s.modified, err = conn.LearnZone(ctx, s.newest)
	return err
}

// note keeps of an entry what the judgement of others needs.
func (s *survey) note(server config.Server, entry ftpclient.Entry) {
	if entry.Special != "" {
		return
	}
	s.files++
	if server.IsMarker(baseName(entry.Path)) {
		s.markers[entry.Path] = entry.RawPath
	}
	// LIST shows mere dates of files that are old, or that a clock ahead puts into the future: they tell no zone.
	if entry.ModTime.IsZero() || entry.Precision > time.Minute || len(s.newest) == zoneSamples && !entry.ModTime.After(s.newest[zoneSamples-1].ModTime) {
		return
	}
	s.newest = append(s.newest, entry)
	slices.SortStableFunc(s.newest, func(a, b ftpclient.Entry) int { return b.ModTime.Compare(a.ModTime) })
	s.newest = s.newest[:min(len(s.newest), zoneSamples)]
}

// entries reads the entries back, in the order of the listing.
func (s *survey) entries() iter.Seq2[ftpclient.Entry, error] {
	return func(yield func(ftpclient.Entry, error) bool) {
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			yield(ftpclient.Entry{}, err)
			return
		}
		decoder := gob.NewDecoder(bufio.NewReaderSize(s.file, 1<<16))
		for {
			var entry ftpclient.Entry
			switch err := decoder.Decode(&entry); {
			case errors.Is(err, io.EOF):
				return
			case err != nil:
				yield(entry, err)
				return
			}
			if !yield(entry, nil) {
				return
			}
		}
	}
}
