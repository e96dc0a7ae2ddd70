package catalog

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// A clock that was set back must not keep a file waiting until it has caught up: what was seen in the future is seen now.
var watchQuery = `WITH line (number, raw_path, size, mtime, precision, alias) AS (VALUES ` + lineRows(1) + `)
UPDATE observations AS v SET listed = 1, first_seen = min(first_seen, ?1) FROM line WHERE v.server = ?2 AND ` + sameVersion + `
RETURNING first_seen`

const observeQuery = `INSERT OR REPLACE INTO observations (server, raw_path, size, mtime, precision, first_seen, listed)
VALUES (?, ?, ?, ?, ?, ?, 1)`

// seenSince tells since when the line has looked as it does. If it looks new, that is now, and is noted.
func (p *planner) seenSince(ctx context.Context, l *Listed) (since time.Time, err error) {
	now := nanos(p.opt.Now)
	err = p.watch.QueryRowContext(ctx, append([]any{now, p.server}, lineArgs(l)...)...).Scan(instant{&since})
	if !errors.Is(err, sql.ErrNoRows) {
		return since, err
	}
	_, err = p.observe.ExecContext(ctx, p.server, []byte(l.RawPath), l.Size, nanos(l.ModTime), int64(l.Precision), now)
	return p.opt.Now, err
}

func notStable(wait time.Duration, since time.Time) string {
	return fmt.Sprintf("its size and time must stay the same for %s before it is collected; they have since %s",
		wait, since.UTC().Format(time.RFC3339))
}
