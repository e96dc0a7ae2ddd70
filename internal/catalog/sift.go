package catalog

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// siftBatch is the number of lines that are looked up at once. Each batch is a read of its own, a millisecond long: one that stayed open
// while a server talks would keep the write-ahead log from being cut.
const siftBatch = 100

// sieve reads a listing without locking the catalog. What is known it counts, and most lines are; what is not it keeps on disk for the
// transaction that writes the plan.
type sieve struct {
	lookup      *sql.Stmt
	run, server string
	seen        map[[16]byte]struct{} // hashes of the raw paths: a listing may have a million
	batch       []Listed
	unknown     *spool
	again       int // lines that this run has collected
	unchanged   int // lines that are known otherwise
	adopted     int // of unchanged: those that this run has adopted
}

// readListing reads a whole listing. The caller closes the sieve's spool.
func (c *Catalog) readListing(ctx context.Context, run, server string, lines iter.Seq2[Listed, error]) (*sieve, error) {
	s := &sieve{lookup: c.sift, run: run, server: server, seen: map[[16]byte]struct{}{}, unknown: &spool{dir: c.dir}}
	for l, err := range lines {
		if err == nil {
			err = s.take(ctx, l)
		}
		if err != nil {
			return nil, errors.Join(err, s.unknown.close())
		}
	}
	if err := s.lookUp(ctx); err != nil {
		return nil, errors.Join(err, s.unknown.close())
	}
	return s, nil
}

// take takes in a line, unless its raw path was there before.
func (s *sieve) take(ctx context.Context, l Listed) error {
	switch l.State {
	case StatePending, StateDeferred, StateRefused:
	default:
		return fmt.Errorf("%q is listed in state %q", l.Path, l.State)
	}
	hash := sha256.Sum256([]byte(l.RawPath))
	key := [16]byte(hash[:])
	if _, twice := s.seen[key]; twice {
		return nil
	}
	s.seen[key] = struct{}{}
	s.batch = append(s.batch, l)
	if len(s.batch) < siftBatch {
		return nil
	}
	return s.lookUp(ctx)
}

// What siftQuery finds out about a line.
const (
	lineUnknown = iota
	lineCollectedByRun
	lineKnown
	lineAdoptedByRun
)

// sameVersion compares a version v with a line by all but the server. A time with a precision stands for any moment in the span that begins
// with it: times are the same if their spans meet, or if they are equal.
const sameVersion = `v.raw_path = line.raw_path AND v.size = line.size AND (v.mtime = line.mtime OR v.mtime = line.alias
OR line.precision > 0 AND v.precision > 0 AND (v.mtime < line.mtime + line.precision AND line.mtime < v.mtime + v.precision
OR v.mtime < line.alias + line.precision AND line.alias < v.mtime + v.precision))`

// siftQuery takes the run, the server and siftBatch lines.
var siftQuery = `WITH line (number, raw_path, size, mtime, precision, alias) AS (VALUES ` + lineRows(siftBatch) + `)
SELECT line.number, CASE
WHEN EXISTS (SELECT 1 FROM entries v WHERE v.listing_id = (SELECT id FROM listings WHERE run = ?1 AND server = ?2)
AND ` + sameVersion + ` AND v.state = 'collected') THEN 1
WHEN EXISTS (SELECT 1 FROM files v WHERE v.server = ?2 AND (v.removal = 1 OR v.removal = 0 AND v.forgotten = 0) AND ` + sameVersion + `) THEN 2
ELSE coalesce((SELECT iif(v.run = ?1, 3, 2) FROM adopted v WHERE v.server = ?2 AND ` + sameVersion + ` LIMIT 1), 0) END
FROM line WHERE line.raw_path IS NOT NULL`

// lineRows are the rows of count lines in a VALUES clause. The query's first two parameters are its own.
func lineRows(count int) string {
	rows := make([]string, count)
	for i := range rows {
		rows[i] = fmt.Sprintf("(%d, ?%d, ?%d, ?%d, ?%d, ?%d)", i, 5*i+3, 5*i+4, 5*i+5, 5*i+6, 5*i+7)
	}
	return strings.Join(rows, ", ")
}

// lineArgs are the arguments of a row of lineRows.
func lineArgs(l *Listed) []any {
	var alias any
	if !l.Alias.IsZero() {
		alias = nanos(l.Alias)
	}
	return []any{[]byte(l.RawPath), l.Size, nanos(l.ModTime), int64(l.Precision), alias}
}

// lookUp counts the lines of the batch that are known and spools the others.
func (s *sieve) lookUp(ctx context.Context) error {
	args := []any{s.run, s.server}
	for i := range s.batch {
		args = append(args, lineArgs(&s.batch[i])...)
	}
	for range siftBatch - len(s.batch) {
		args = append(args, nil, nil, nil, nil, nil)
	}
	rows, err := s.lookup.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var number, found int
		if err := rows.Scan(&number, &found); err != nil {
			return err
		}
		if err := s.count(&s.batch[number], found); err != nil {
			return err
		}
	}
	s.batch = s.batch[:0]
	return rows.Err()
}

func (s *sieve) count(l *Listed, found int) error {
	switch found {
	case lineUnknown:
		return s.unknown.add(l)
	case lineCollectedByRun:
		s.again++
	case lineAdoptedByRun:
		s.adopted++
		s.unchanged++
	case lineKnown:
		s.unchanged++
	}
	return nil
}
