package catalog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"
)

// StateExtracted is how a FilesQuery asks for files that came out of archives. No entry has it.
const StateExtracted State = "extracted"

// ErrBadQuery: a FilesQuery that cannot be answered as it is put.
var ErrBadQuery = errors.New("bad query")

// minHash is the least number of digits of a hash that is looked for, and hashIndexed how many of them the index has.
const (
	minHash     = 6
	hashIndexed = 12
)

// FilesQuery chooses files. What is zero does not matter; what is set must all hold.
type FilesQuery struct {
	// Places are absolute paths, of collected or of extracted files, one of which is meant. Nothing else matters then.
	Places []string `json:"places,omitempty"`
	SHA256 string   `json:"sha256,omitempty"` // its first digits, minHash at least: of collected and of extracted files
	// Name is a pattern (path.Match, so that "*" crosses no "/") for the decoded path relative to the server's directory, or of an extracted
	// file in the unzip directory. Without "/" it is for the base name. One without wildcards is found through an index.
	Name   string    `json:"name,omitempty"`
	Server string    `json:"server,omitempty"`
	Since  time.Time `json:"since,omitzero"` // the run started at or after
	Until  time.Time `json:"until,omitzero"` // the run started before
	// State of the listed file in a run; StateExtracted asks for files that came out of archives instead, "" for listed files, and if a
	// hash or places are given for both.
	State State `json:"state,omitempty"`
}

// PageLimit bounds a page: its rows, their bytes of JSON, about, and the time to look for them.
type PageLimit struct {
	Rows, Bytes int
	Time        time.Duration
}

// FilesPage is a page of findings, the newest first. It may hold few or none and yet have a Next (opaque): the time was up.
type FilesPage struct {
	Findings []Fate `json:"findings"`
	Next     string `json:"next,omitempty"`
	// Reached is the start of the run that a search through runs has come to, where there is a Next.
	Reached time.Time `json:"reached,omitzero"`
}

// Fate is what became of a remote file in a run that listed it as something else than unchanged; or an extracted file, and the remote file
// it came from. An extracted file whose archive Talon did not collect has no remote file: Name is empty then.
type Fate struct {
	State   State     `json:"state"`
	Run     string    `json:"run"`
	Start   time.Time `json:"start_time,omitzero"` // of the run
	Server  string    `json:"server,omitempty"`
	Name    string    `json:"name,omitempty"` // decoded, relative to the server's directory
	Size    int64     `json:"size"`           // as listed
	ModTime time.Time `json:"mtime,omitzero"` // as listed
	Line    []byte    `json:"line,omitempty"` // of the listing, in the server's bytes
	Reason  string    `json:"reason,omitempty"`
	Detail  string    `json:"detail,omitempty"`

	File     *CollectedFile `json:"file,omitempty"`     // the version that the run collected
	Archives []Unpacking    `json:"archives,omitempty"` // what extraction made of it, the latest first
	Member   *Extracted     `json:"extracted,omitempty"`

	fileID, archiveID int64
	unzipName         string // of an extracted file: its path in the unzip directory
	at                filesPlace
}

// CollectedFile is a remote file in one version, as Talon has it.
type CollectedFile struct {
	Path         string    `json:"path"` // absolute
	SHA256       string    `json:"sha256"`
	Bytes        int64     `json:"bytes"`
	Version      int       `json:"version"` // of the remote path: 1, 2, …
	Collected    time.Time `json:"collected_at,omitzero"`
	RemoteAction string    `json:"remote_action,omitempty"` // "delete" | "move" | "rename": to be done on the server
	RemoteDone   bool      `json:"remote_done,omitempty"`
	RemoteDetail string    `json:"remote_detail,omitempty"` // why it failed so far
}

// Unpacking is what one decompression made of an archive.
type Unpacking struct {
	Decompression string    `json:"decompression"`
	Archive       string    `json:"archive"` // absolute
	Done          bool      `json:"done"`    // false: it waits, or eagle is at work
	Result        int       `json:"result"`
	Reason        string    `json:"reason,omitempty"`
	Detail        string    `json:"detail,omitempty"`
	Host          string    `json:"host,omitempty"`
	End           time.Time `json:"end_time,omitzero"`
	Directory     string    `json:"directory,omitempty"` // absolute: where the files are, "" if there are none
	Received      int       `json:"received"`
	Failed        int       `json:"failed"`
	Bytes         int64     `json:"bytes"`
	Troubles      []Layer   `json:"troubles,omitempty"` // the first maxLayers layers that are not complete
}

// Extracted is a file that came out of an archive.
type Extracted struct {
	Path   string `json:"path"`  // absolute
	Layer  string `json:"layer"` // the archives it was in, from the outermost to its own: "b/a.zip/inner.tar.gz"
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Bounds of what a finding tells.
const (
	maxUnpackings = 5
	maxLayers     = 10
)

// findingsAtOnce is how many candidates are read before they are looked at.
const findingsAtOnce = 200

// filesPlace is where a candidate stands in a search.
type filesPlace struct {
	Source int    `json:"s,omitempty"` // index of the search's sources
	Start  int64  `json:"t,omitempty"` // sources that walk through runs: of the run
	Run    string `json:"r,omitempty"` // and which it is
	Outer  int64  `json:"o,omitempty"` // IDs of the rows
	Inner  int64  `json:"i,omitempty"`
	Path   string `json:"p,omitempty"` // of an extracted file
	// Raw, Size and ModTime are the key of an entry within its listing.
	Raw     []byte `json:"n,omitempty"`
	Size    int64  `json:"z,omitempty"`
	ModTime int64  `json:"m,omitempty"`
}

// source gives candidates in its order: those that follow after, at most findingsAtOnce. rest is where to go on, and more whether to.
type source func(ctx context.Context, after filesPlace) (found []Fate, rest filesPlace, more bool, err error)

// filesSearch is one call of Files.
type filesSearch struct {
	db    *prepared
	q     FilesQuery
	until time.Time // when to give the rest to another page
	room  room
	rows  int
	page  FilesPage
}

// Files returns the page of files that cursor leads to ("" is the first one). Places, hashes and names without wildcards are looked up in
// indexes; anything else is looked for in one run after the other, back from the latest, for as long as the limit says.
func (c *Catalog) Files(ctx context.Context, q FilesQuery, cursor string, limit PageLimit) (FilesPage, error) {
	s := &filesSearch{db: newPrepared(c.reader), q: q, until: time.Now().Add(limit.Time), room: roomOf(limit.Bytes), rows: limit.Rows, page: FilesPage{Findings: []Fate{}}}
	if err := q.check(); err != nil {
		return s.page, fmt.Errorf("catalog: files: %w", err)
	}
	var at filesPlace
	if cursor != "" {
		if err := json.Unmarshal([]byte(cursor), &at); err != nil {
			return s.page, fmt.Errorf("catalog: files: cursor %q: %w: %w", cursor, ErrBadQuery, err)
		}
	}
	if err := errors.Join(s.search(ctx, at), s.db.close()); err != nil {
		return s.page, fmt.Errorf("catalog: files: %w", err)
	}
	return s.page, nil
}

func (q FilesQuery) check() error {
	if q.SHA256 != "" && (len(q.SHA256) < minHash || strings.Trim(q.SHA256, "0123456789abcdef") != "") {
		return fmt.Errorf("%w: %q is not the beginning of a SHA-256, at least %d of the digits 0-9 and a-f", ErrBadQuery, q.SHA256, minHash)
	}
	if _, err := path.Match(q.Name, ""); err != nil {
		return fmt.Errorf("%w: %q is no pattern: %w", ErrBadQuery, q.Name, err)
	}
	return nil
}

// sources are where the answer is to be looked for, one after the other.
func (s *filesSearch) sources() []source {
	var remote, extracted source
	switch {
	case len(s.q.Places) > 0:
		return []source{s.collectedAt, s.extractedTo}
	case s.q.SHA256 != "":
		remote, extracted = s.collectedByHash, s.extractedByHash
	case s.q.Name != "" && !strings.ContainsAny(s.q.Name, `*?[\`):
		remote, extracted = s.listedByName, s.extractedByRun
	default:
		remote, extracted = s.listedByRun, s.extractedByRun
	}
	switch {
	case s.q.State == StateExtracted:
		return []source{extracted}
	case s.q.State == "" && s.q.SHA256 != "":
		return []source{remote, extracted}
	default:
		return []source{remote}
	}
}

func (s *filesSearch) search(ctx context.Context, at filesPlace) error {
	sources := s.sources()
	for at.Source < len(sources) {
		found, rest, more, err := sources[at.Source](ctx, at)
		if err != nil {
			return err
		}
		for _, f := range found {
			f.at.Source = at.Source
			if full, err := s.take(ctx, f); err != nil || full {
				return errors.Join(err, s.end(at))
			}
			at = f.at
		}
		if more {
			rest.Source = at.Source
			at = rest
		} else {
			at = filesPlace{Source: at.Source + 1}
		}
		if at.Source < len(sources) && time.Now().After(s.until) {
			return s.end(at)
		}
	}
	return nil
}

// end leaves the rest to another page.
func (s *filesSearch) end(at filesPlace) error {
	cursor, err := json.Marshal(at)
	s.page.Next = string(cursor)
	if at.Run != "" {
		s.page.Reached = time.Unix(0, at.Start).UTC()
	}
	return err
}

// take adds a candidate to the page if it is one that was asked for, or says that the page is full.
func (s *filesSearch) take(ctx context.Context, f Fate) (full bool, err error) {
	if len(s.q.Places) == 0 && !s.q.matches(f) {
		return false, nil
	}
	if len(s.page.Findings) == s.rows {
		return true, nil
	}
	if err := s.complete(ctx, &f); err != nil {
		return false, err
	}
	taken, err := s.room.take(f)
	if err != nil || !taken {
		return !taken, err
	}
	s.page.Findings = append(s.page.Findings, f)
	return false, nil
}

func (q FilesQuery) matches(f Fate) bool {
	name := f.Name
	if f.Member != nil {
		name = f.unzipName
	}
	return (q.Server == "" || q.Server == f.Server) && (q.State == "" || q.State == f.State) && (q.Name == "" || q.named(name)) &&
		(q.Since.IsZero() || !f.Start.Before(q.Since)) && (q.Until.IsZero() || !f.Start.IsZero() && f.Start.Before(q.Until))
}

// named holds a name against the pattern as the configuration's include does.
func (q FilesQuery) named(name string) bool {
	pattern := q.Name
	if !strings.Contains(pattern, "/") {
		name = path.Base(name)
	}
	matched, _ := path.Match(strings.TrimPrefix(pattern, "/"), name) // check has seen the pattern
	return matched
}

// complete adds what is told of findings alone, not of candidates.
func (s *filesSearch) complete(ctx context.Context, f *Fate) error {
	f.Name, f.Detail, f.Line = clip(f.Name, maxName), clip(f.Detail, maxDetail), f.Line[:min(len(f.Line), maxName)]
	if f.fileID != 0 {
		files, err := query(ctx, s.db, scanCollected, `SELECT zip_file, sha256, bytes, version, collected_at, remote_action, remote_done,
			remote_detail FROM files WHERE id = ?`, f.fileID)
		if err != nil {
			return err
		}
		if len(files) > 0 {
			f.File = &files[0]
		}
	}
	where, of := `file_id = ?`, f.fileID
	if f.archiveID != 0 {
		where, of = `id = ?`, f.archiveID
	}
	if of == 0 {
		return nil
	}
	archives, err := query(ctx, s.db, scanArchive, `SELECT `+archiveColumns+` FROM archives WHERE `+where+` ORDER BY id DESC LIMIT ?`, of, maxUnpackings)
	if err != nil {
		return err
	}
	for _, a := range archives {
		u, err := s.unpacking(ctx, a)
		if err != nil {
			return err
		}
		f.Archives = append(f.Archives, u)
	}
	return nil
}

func scanCollected(row scanner) (f CollectedFile, err error) {
	err = row.Scan(&f.Path, &f.SHA256, &f.Bytes, &f.Version, instant{&f.Collected}, &f.RemoteAction, &f.RemoteDone, &f.RemoteDetail)
	f.Path = clip(f.Path, maxName)
	return f, err
}

func (s *filesSearch) unpacking(ctx context.Context, a Archive) (Unpacking, error) {
	u := Unpacking{
		Decompression: a.Decompression, Archive: clip(a.ZipDir+"/"+a.Path, maxName), Done: a.Done, Result: a.Result, Reason: a.Reason, Detail: a.Detail,
		Host: a.Host, End: a.End, Received: a.Received, Failed: a.Failed, Bytes: a.Bytes,
	}
	if a.UnzipPath != "" {
		u.Directory = clip(a.UnzipDir+"/"+a.UnzipPath, maxName)
	}
	var err error
	u.Troubles, err = query(ctx, s.db, func(row scanner) (l Layer, err error) {
		err = row.Scan(&l.Path, &l.Result, &l.Archives, &l.Files, &l.Reason, &l.Detail)
		l.Path, l.Detail = clip(l.Path, maxName), clip(l.Detail, maxWarning)
		return l, err
	}, `SELECT path, result, archives, files, reason, detail FROM layers WHERE archive_id = ? AND result <> 0 ORDER BY seq LIMIT ?`, a.ID, maxLayers)
	return u, err
}

// latest is the position before all rows that are counted downwards.
func (p filesPlace) latest() (outer, inner int64) {
	const above = 1<<63 - 1
	if p.Outer == 0 {
		return above, above
	}
	return p.Outer, p.Inner
}
