package catalog

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"path"
	"time"
)

const remoteColumns = `SELECT l.id, e.id, l.run, coalesce(r.started_at, ` + noTimeText + `), l.server, e.path, e.size, e.mtime, e.line, e.state, e.reason,
e.detail, coalesce(e.file_id, 0) `

// remoteJoin follows a FROM that ends in entries e.
const remoteJoin = ` CROSS JOIN listings l ON l.id = e.listing_id LEFT JOIN runs r ON r.id = l.run `

func scanRemote(row scanner) (f Fate, err error) {
	err = row.Scan(&f.at.Outer, &f.at.Inner, &f.Run, instant{&f.Start}, &f.Server, &f.Name, &f.Size, instant{&f.ModTime}, &f.Line, &f.State, &f.Reason,
		&f.Detail, &f.fileID)
	return f, err
}

// baseName is the base name of an entry, in the words of the index.
const baseName = `substr(path, 1 + length(rtrim(path, replace(path, '/', ''))))`

const listedByNameQuery = remoteColumns + `FROM (SELECT * FROM entries WHERE ` + baseName + ` = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3) e` +
	remoteJoin + `ORDER BY e.id DESC`

// listedByName finds entries by the base name, the latest first.
func (s *filesSearch) listedByName(ctx context.Context, after filesPlace) ([]Fate, filesPlace, bool, error) {
	id := after.Inner
	if id == 0 {
		id = math.MaxInt64
	}
	return s.batch(ctx, scanRemote, listedByNameQuery, path.Base(s.q.Name), id, findingsAtOnce)
}

// batch reads candidates in the order of their places.
func (s *filesSearch) batch(
	ctx context.Context, scan func(scanner) (Fate, error), text string, args ...any,
) (found []Fate, rest filesPlace, more bool, err error) {
	found, err = query(ctx, s.db, scan, text, args...)
	if len(found) > 0 {
		rest = found[len(found)-1].at
	}
	return found, rest, len(found) == findingsAtOnce, err
}

const collectedByHashQuery = remoteColumns + `FROM files f CROSS JOIN entries e ON e.file_id = f.id` + remoteJoin +
	`WHERE %s AND f.sha256 >= ?1 AND f.sha256 < ?1 || 'g' AND (f.id, e.id) < (?2, ?3) ORDER BY f.id DESC, e.id DESC LIMIT ?4`

// byHash is the condition on the indexed digits of a hash that begins with ?1. A whole beginning keeps the rows in order.
func byHash(table, prefix string) string {
	indexed := `substr(` + table + `.sha256, 1, 12)`
	if len(prefix) >= hashIndexed {
		return indexed + ` = substr(?1, 1, 12)`
	}
	return indexed + ` >= ?1 AND ` + indexed + ` < ?1 || 'g'`
}

// collectedByHash finds the entries of collected files, the latest file first.
func (s *filesSearch) collectedByHash(ctx context.Context, after filesPlace) ([]Fate, filesPlace, bool, error) {
	scan := func(row scanner) (Fate, error) {
		f, err := scanRemote(row)
		f.at.Outer = f.fileID
		return f, err
	}
	file, entry := after.latest()
	return s.batch(ctx, scan, fmt.Sprintf(collectedByHashQuery, byHash("f", s.q.SHA256)), s.q.SHA256, file, entry, findingsAtOnce)
}

const collectedAtQuery = remoteColumns + `FROM json_each(?1) place CROSS JOIN files f ON f.zip_file = place.value
CROSS JOIN entries e ON e.file_id = f.id` + remoteJoin + `WHERE (f.id, e.id) < (?2, ?3) ORDER BY f.id DESC, e.id DESC LIMIT ?4`

// collectedAt finds the entries of the collected files at the places.
func (s *filesSearch) collectedAt(ctx context.Context, after filesPlace) ([]Fate, filesPlace, bool, error) {
	places, err := json.Marshal(s.places())
	if err != nil {
		return nil, after, false, err
	}
	scan := func(row scanner) (Fate, error) {
		f, err := scanRemote(row)
		f.at.Outer = f.fileID
		return f, err
	}
	file, entry := after.latest()
	return s.batch(ctx, scan, collectedAtQuery, string(places), file, entry, findingsAtOnce)
}

func (s *filesSearch) places() []string {
	places := make([]string, len(s.q.Places))
	for i, place := range s.q.Places {
		places[i] = path.Clean(place)
	}
	return places
}

// memberColumns leads from a member m of an archive a to what it came from. An archive that Talon did not collect ends the way early.
const memberColumns = `SELECT a.id, m.path, a.unzip_dir, a.unzip_path, m.layer, m.size, m.sha256, coalesce(l.run, nullif(a.run, ''), a.decompression),
coalesce(r.started_at, ` + noTimeText + `), coalesce(l.server, a.server), coalesce(e.path, ''), coalesce(e.size, 0), coalesce(e.mtime, ` + noTimeText + `),
coalesce(e.line, x''), coalesce(a.file_id, 0) `

const memberJoin = ` LEFT JOIN files f ON f.id = a.file_id LEFT JOIN entries e ON e.id = f.entry_id LEFT JOIN listings l ON l.id = e.listing_id
LEFT JOIN runs r ON r.id = coalesce(l.run, nullif(a.run, ''), a.decompression) `

func scanMember(row scanner) (Fate, error) {
	f := Fate{State: StateExtracted, Member: &Extracted{}}
	var member, dir, root string
	err := row.Scan(&f.archiveID, &member, &dir, &root, &f.Member.Layer, &f.Member.Size, &f.Member.SHA256, &f.Run, instant{&f.Start}, &f.Server, &f.Name,
		&f.Size, instant{&f.ModTime}, &f.Line, &f.fileID)
	f.Member.Path, f.Member.Layer = clip(path.Join(dir, root, member), maxName), clip(f.Member.Layer, maxName)
	f.unzipName = path.Join(root, member)
	f.at.Outer, f.at.Path = f.archiveID, member
	return f, err
}

const extractedByHashQuery = memberColumns + `FROM members m CROSS JOIN archives a ON a.id = m.archive_id` + memberJoin +
	`WHERE %s AND m.sha256 >= ?1 AND m.sha256 < ?1 || 'g' AND (m.archive_id, m.path) < (?2, ?3) ORDER BY m.archive_id DESC, m.path DESC LIMIT ?4`

// extractedByHash finds extracted files, those of the latest archive first.
func (s *filesSearch) extractedByHash(ctx context.Context, after filesPlace) ([]Fate, filesPlace, bool, error) {
	archive, _ := after.latest()
	return s.batch(ctx, scanMember, fmt.Sprintf(extractedByHashQuery, byHash("m", s.q.SHA256)), s.q.SHA256, archive, after.Path, findingsAtOnce)
}

const extractedToQuery = memberColumns + `FROM json_each(?1) split CROSS JOIN archives a ON a.unzip_root = split.value ->> 0
CROSS JOIN members m ON m.archive_id = a.id AND m.path = split.value ->> 1` + memberJoin + `WHERE a.id < ?2 ORDER BY a.id DESC LIMIT ?3`

// extractedTo finds the extracted files at the places: several if an archive was extracted several times with the same outcome.
func (s *filesSearch) extractedTo(ctx context.Context, after filesPlace) ([]Fate, filesPlace, bool, error) {
	var pairs [][2]string
	for _, place := range s.places() {
		pairs = append(pairs, splits(place)...)
	}
	text, err := json.Marshal(pairs)
	if err != nil {
		return nil, after, false, err
	}
	archive, _ := after.latest()
	return s.batch(ctx, scanMember, extractedToQuery, string(text), archive, findingsAtOnce)
}

// nextRunQuery finds the next run back with something to look at, among runsInSight: what SQL does by itself cannot be left half done.
const nextRunQuery = `SELECT r.id, r.started_at FROM (SELECT id, started_at FROM runs WHERE (started_at, id) < (?1, ?2) AND started_at >= ?3
ORDER BY started_at DESC, id DESC LIMIT ?4) r WHERE EXISTS (%s) ORDER BY r.started_at DESC, r.id DESC LIMIT 1`

// lastRunQuery is where their sight ends, if it does before the last run.
const lastRunQuery = `SELECT id, started_at FROM runs WHERE (started_at, id) < (?1, ?2) AND started_at >= ?3
ORDER BY started_at DESC, id DESC LIMIT 1 OFFSET ?4 - 1`

const runsInSight = 500

// hasListed and hasExtracted are the conditions of nextRunQuery; the first one knows a state, ?6, to look for.
const hasListed = `SELECT 1 FROM listings l CROSS JOIN entries e ON e.listing_id = l.id WHERE l.run = r.id`

const hasExtracted = `SELECT 1 FROM archives a WHERE a.run = r.id AND (?5 = '' OR a.server = ?5) AND a.done
UNION ALL SELECT 1 FROM archives a WHERE a.decompression = r.id AND (?5 = '' OR a.server = ?5) AND a.done`

// has is hasListed for the query.
func (q FilesQuery) has() string {
	text := hasListed
	if q.Server != "" {
		text += ` AND l.server = ?5`
	}
	if q.State != "" {
		text += ` AND e.state = ?6`
	}
	return text
}

// The entries of a listing come in the order of their key, which is that of an index: a first listing may have a million.
const listedInRunQuery = remoteColumns + `, e.raw_path, e.size, e.mtime FROM listings l CROSS JOIN entries e ON e.listing_id = l.id
LEFT JOIN runs r ON r.id = l.run WHERE l.run = ?1 AND %s AND l.id >= ?3 AND e.raw_path >= iif(l.id = ?3, ?4, x'')
AND (l.id > ?3 OR e.raw_path > ?4 OR (e.size, e.mtime) > (?5, ?6)) ORDER BY l.id, e.raw_path, e.size, e.mtime LIMIT ?7`

func scanKeyed(row scanner) (f Fate, err error) {
	err = row.Scan(&f.at.Outer, &f.at.Inner, &f.Run, instant{&f.Start}, &f.Server, &f.Name, &f.Size, instant{&f.ModTime}, &f.Line, &f.State, &f.Reason,
		&f.Detail, &f.fileID, &f.at.Raw, &f.at.Size, &f.at.ModTime)
	return f, err
}

// inRun is the condition on the server: with it there is one listing, which a key leads to.
func (q FilesQuery) inRun() string {
	if q.Server == "" {
		return `?2 = ''`
	}
	return `l.server = ?2`
}

// listedByRun goes back through the runs, and in each through its entries.
func (s *filesSearch) listedByRun(ctx context.Context, after filesPlace) ([]Fate, filesPlace, bool, error) {
	return s.walk(ctx, after, s.q.has(), func(at filesPlace) ([]Fate, error) {
		return query(ctx, s.db, scanKeyed, fmt.Sprintf(listedInRunQuery, s.q.inRun()), at.Run, s.q.Server, at.Outer, blob(at.Raw), at.Size, at.ModTime,
			findingsAtOnce)
	})
}

// A run that collected has archives under its name, a decompression of its own under that.
const extractedInRunQuery = memberColumns + `FROM (SELECT * FROM archives WHERE run = ?1 AND id >= ?3 UNION ALL
SELECT * FROM archives WHERE decompression = ?1 AND run <> ?1 AND id >= ?3) a CROSS JOIN members m ON m.archive_id = a.id` + memberJoin + `
WHERE (?2 = '' OR a.server = ?2) AND m.path > iif(a.id = ?3, ?4, '') ORDER BY a.id, m.path LIMIT ?5`

// extractedByRun goes back through the runs, and in each through the files that came out of its archives.
func (s *filesSearch) extractedByRun(ctx context.Context, after filesPlace) ([]Fate, filesPlace, bool, error) {
	return s.walk(ctx, after, hasExtracted, func(at filesPlace) ([]Fate, error) {
		return query(ctx, s.db, scanMember, extractedInRunQuery, at.Run, s.q.Server, at.Outer, at.Path, findingsAtOnce)
	})
}

// walk reads the candidates of one run after the other until there are some, no more runs, or no more time.
func (s *filesSearch) walk(
	ctx context.Context, at filesPlace, has string, in func(filesPlace) ([]Fate, error),
) (found []Fate, rest filesPlace, more bool, err error) {
	for {
		if at.Run == "" || at.Outer < 0 { // nothing more in that one
			var found bool
			at, found, err = s.nextRun(ctx, at, has)
			if err != nil || at.Run == "" {
				return nil, at, false, err
			}
			if !found {
				if time.Now().After(s.until) {
					return nil, at, true, nil
				}
				continue
			}
		}
		found, err := in(at)
		if err != nil {
			return nil, at, false, err
		}
		for i := range found {
			found[i].at.Start, found[i].at.Run = at.Start, at.Run
		}
		rest := filesPlace{Start: at.Start, Run: at.Run, Outer: -1}
		if len(found) == findingsAtOnce {
			rest = found[len(found)-1].at
		}
		if len(found) > 0 || time.Now().After(s.until) {
			return found, rest, true, nil
		}
		at = rest
	}
}

// nextRun goes back to a run with something to look at; found is false if there is none in sight, and next is then where that ends: without a Run
// after the last one.
func (s *filesSearch) nextRun(ctx context.Context, at filesPlace, has string) (next filesPlace, found bool, err error) {
	from := runPlace{at.Start, at.Run}
	if at.Run == "" {
		if from, err = (RunsQuery{Until: s.q.Until}).begin(""); err != nil {
			return at, false, err
		}
	}
	scan := func(row scanner) (p filesPlace, err error) { return p, row.Scan(&p.Run, &p.Start) }
	args := []any{from.start, from.id, nanos(s.q.Since), runsInSight}
	runs, err := query(ctx, s.db, scan, fmt.Sprintf(nextRunQuery, has), append(args, s.q.Server, s.q.State)...)
	if err != nil || len(runs) > 0 {
		return first(runs), true, err
	}
	runs, err = query(ctx, s.db, scan, lastRunQuery, args...)
	next = first(runs)
	next.Outer = -1
	return next, false, err
}

func first(runs []filesPlace) (place filesPlace) {
	if len(runs) > 0 {
		place = runs[0]
	}
	return place
}
