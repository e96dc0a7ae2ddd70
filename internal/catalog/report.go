package catalog

import (
	"context"
	"database/sql"
	"fmt"
)

// ReportPage is one piece of a run's report. Pages follow each other through Next until it is empty; put together they hold
// the run (on the first page), its servers, its collected files, its refused and failed ones, and the archives and layers of
// its decompressions.
type ReportPage struct {
	Run      *RunRow       `json:"run,omitempty"`
	Servers  []ServerRow   `json:"servers,omitempty"`
	Files    []ReportFile  `json:"files,omitempty"`
	Issues   []ReportIssue `json:"issues,omitempty"`
	Archives []Archive     `json:"archives,omitempty"`
	Layers   []ReportLayer `json:"layers,omitempty"`
	Next     string        `json:"next,omitempty"` // opaque
}

// ReportFile is a collected file. Name is the decoded remote path, LocalPath where it is in the zip directory, Note what people should
// know about the transfer.
type ReportFile struct {
	Server    string `json:"server"`
	Name      string `json:"name"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	LocalPath string `json:"local_path"`
	Note      string `json:"note,omitempty"`
}

// ReportIssue is a listed file that was refused or failed, by State.
type ReportIssue struct {
	Server string `json:"server"`
	State  State  `json:"state"`
	Name   string `json:"name"`
	Reason string `json:"reason"`
	Detail string `json:"detail,omitempty"`
}

// ReportLayer is a layer of the archive with that path.
type ReportLayer struct {
	Archive string `json:"archive"`
	Layer
}

// frame is room for what is around the rows of a page: its keys, brackets and cursor.
const frame = 256

// Report returns the page of the run's report that cursor leads to ("" is the first one), of about budget bytes of JSON. A
// page holds at least one row, so a row that is larger than the budget has a page for itself. ErrNoRow: there is no such run.
func (c *Catalog) Report(ctx context.Context, run, cursor string, budget int) (ReportPage, error) {
	row, err := readRun(ctx, c.reader, run)
	if err != nil {
		return ReportPage{}, missing(err, "report of %s", run)
	}
	r := &reporter{db: c.reader, run: run, room: roomOf(budget)}
	if err := r.read(ctx, row, cursor); err != nil {
		return ReportPage{}, fmt.Errorf("catalog: report of %s: %w", run, err)
	}
	return r.page, nil
}

func readRun(ctx context.Context, q querier, id string) (RunRow, error) {
	return scanRun(q.QueryRowContext(ctx, `SELECT `+runColumns+` FROM runs WHERE id = ?`, id))
}

// position is where a row stands in its section: the ID of what it belongs to, and its own.
type position struct{ outer, inner int64 }

// reporter fills one page.
type reporter struct {
	db   *sql.DB
	run  string
	room room
	page ReportPage
}

// read fills the page with what follows the cursor.
func (r *reporter) read(ctx context.Context, run RunRow, cursor string) error {
	var first int
	var after position
	if cursor == "" {
		if _, err := r.take(&run); err != nil {
			return err
		}
	} else if _, err := fmt.Sscanf(cursor, "%d.%d.%d", &first, &after.outer, &after.inner); err != nil {
		return fmt.Errorf("cursor %q: %w", cursor, err)
	}
	sections := sectionsOf(run.Kind)
	for i := max(first, 0); i < len(sections); i++ {
		last, full, err := r.fill(ctx, sections[i], after)
		if err != nil {
			return err
		}
		if full {
			r.page.Next = fmt.Sprintf("%d.%d.%d", i, last.outer, last.inner)
			return nil
		}
		after = position{}
	}
	return nil
}

// fill takes rows of the section that follow after until the page is full, and returns the position of the last one taken.
func (r *reporter) fill(ctx context.Context, s section, after position) (last position, full bool, err error) {
	rows, err := r.db.QueryContext(ctx, s.query, r.run, after.outer, after.inner)
	if err != nil {
		return after, false, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		row, at, err := s.scan(rows)
		if err != nil {
			return after, false, err
		}
		if taken, err := r.take(row); err != nil || !taken {
			return after, true, err
		}
		after = at
	}
	return after, false, rows.Err()
}

// take adds a row to the page if there is room for it.
func (r *reporter) take(row any) (bool, error) {
	if taken, err := r.room.take(row); err != nil || !taken {
		return false, err
	}
	switch row := row.(type) {
	case *RunRow:
		r.page.Run = row
	case ServerRow:
		r.page.Servers = append(r.page.Servers, row)
	case ReportFile:
		r.page.Files = append(r.page.Files, row)
	case ReportIssue:
		r.page.Issues = append(r.page.Issues, row)
	case Archive:
		r.page.Archives = append(r.page.Archives, row)
	case ReportLayer:
		r.page.Layers = append(r.page.Layers, row)
	default:
		return false, fmt.Errorf("BUG: a report has no place for %T", row)
	}
	return true, nil
}
