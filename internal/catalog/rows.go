package catalog

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Longest texts that are kept, in bytes: one row of a report must stay far below the size of a payload.
const (
	maxDetail = 2 << 10
	maxName   = 4 << 10
	// maxWarnings sentences of at most maxWarning bytes are kept of a server.
	maxWarnings = 20
	maxWarning  = 512
)

// noTime is how the zero time.Time is stored; 0 would be a real moment.
const noTime = math.MinInt64

// nanos is how a time is stored. A time outside of what nanoseconds can hold (1678 to 2262) becomes the nearest one that
// they can.
func nanos(t time.Time) int64 {
	switch {
	case t.IsZero():
		return noTime
	case t.Before(time.Unix(0, noTime+1)):
		return noTime + 1
	case t.After(time.Unix(0, math.MaxInt64)):
		return math.MaxInt64
	}
	return t.UnixNano()
}

// instant scans a stored time into the time.Time it points to.
type instant struct{ *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(value any) error {
	n, ok := value.(int64)
	if !ok {
		return fmt.Errorf("time is stored as %T", value)
	}
	if n == noTime {
		*i.Time = time.Time{}
	} else {
		*i.Time = time.Unix(0, n).UTC()
	}
	return nil
}

// texts stores sentences as a JSON array, and scans them back.
type texts struct{ all *[]string }

// Value implements driver.Valuer.
func (t texts) Value() (driver.Value, error) {
	kept := make([]string, 0, len(*t.all))
	for _, text := range (*t.all)[:min(len(*t.all), maxWarnings)] {
		kept = append(kept, clip(text, maxWarning))
	}
	array, err := json.Marshal(kept)
	return string(array), err
}

// Scan implements sql.Scanner. An empty array becomes nil.
func (t texts) Scan(value any) error {
	array, ok := value.(string)
	if !ok {
		return fmt.Errorf("texts are stored as %T", value)
	}
	*t.all = nil
	if array == "[]" {
		return nil
	}
	return json.Unmarshal([]byte(array), t.all)
}

// clip makes a text valid UTF-8 of at most limit bytes.
func clip(s string, limit int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= limit {
		return s
	}
	const mark = "…"
	cut := limit - len(mark)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + mark
}

// rowser is a querier for several rows.
type rowser interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// querier is a transaction or a pool.
type querier interface {
	rowser
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// scanner is a row or the current one of several.
type scanner interface{ Scan(dest ...any) error }

// missing turns the absence of a row into ErrNoRow and names what was looked for.
func missing(err error, format string, args ...any) error {
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoRow
	}
	return fmt.Errorf("catalog: %s: %w", fmt.Sprintf(format, args...), err)
}

// query collects all rows of a bounded query.
func query[T any](ctx context.Context, q rowser, scan func(scanner) (T, error), text string, args ...any) ([]T, error) {
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	var all []T
	for rows.Next() {
		row, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

const entryQuery = `SELECT e.id, l.run, l.server, e.raw_path, e.path, e.size, e.mtime, e.precision, e.line, e.marker, e.state,
e.reason, e.detail
FROM entries e JOIN listings l ON l.id = e.listing_id `

func scanEntry(row scanner) (e Entry, err error) {
	err = row.Scan(&e.ID, &e.Run, &e.Server, &e.RawPath, &e.Path, &e.Size, instant{&e.ModTime}, &e.Precision, &e.Line, &e.Marker,
		&e.State, &e.Reason, &e.Detail)
	return e, err
}

const archiveColumns = `id, decompression, run, server, coalesce(file_id, 0), zip_dir, path, size, sha256, unzip_dir, done,
unzip_path, result, reason, detail, host, started_at, ended_at, failed, received, bytes`

func scanArchive(row scanner) (a Archive, err error) {
	err = row.Scan(&a.ID, &a.Decompression, &a.Run, &a.Server, &a.FileID, &a.ZipDir, &a.Path, &a.Size, &a.SHA256, &a.UnzipDir,
		&a.Done, &a.UnzipPath, &a.Result, &a.Reason, &a.Detail, &a.Host, instant{&a.Start}, instant{&a.End}, &a.Failed,
		&a.Received, &a.Bytes)
	return a, err
}
