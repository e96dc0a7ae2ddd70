package catalog

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// RunsQuery chooses runs. What is zero does not matter.
type RunsQuery struct {
	Since time.Time `json:"since,omitzero"` // started at or after
	Until time.Time `json:"until,omitzero"` // started before
	Kind  string    `json:"kind,omitempty"` // KindCollect | KindDecompress
	// Server chooses the runs that have a row for it; their summaries speak of that server alone.
	Server string `json:"server,omitempty"`
	Open   bool   `json:"open,omitempty"` // only runs whose account is open
}

// RunsPage is a page of runs, the latest start first. Next leads to the following page (opaque), "" is the end.
type RunsPage struct {
	Runs []RunSummary `json:"runs"`
	Next string       `json:"next,omitempty"`
}

// RunSummary is a run in counts.
type RunSummary struct {
	RunRow
	// Servers have a row in the run: Good of them with result 0, Bad with result 1.
	Servers int `json:"servers,omitempty"`
	Good    int `json:"good,omitempty"`
	Bad     int `json:"bad,omitempty"`
	// Files were collected, with Bytes in all; of a decompression of its own they are those that were extracted.
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
	// Missing counts the files that were refused or failed.
	Missing int `json:"missing,omitempty"`
	// Archives went to eagle: ArchivesGood have result 0, ArchivesBad result 1, ArchivesWaiting no outcome yet.
	Archives        int `json:"archives,omitempty"`
	ArchivesGood    int `json:"archives_good,omitempty"`
	ArchivesBad     int `json:"archives_bad,omitempty"`
	ArchivesWaiting int `json:"archives_waiting,omitempty"`
	// LastEnd is when the last server or archive ended, zero if none has.
	LastEnd  time.Time `json:"last_end,omitzero"`
	Troubles []Trouble `json:"troubles,omitempty"` // of servers, then of archives, the most frequent ones first
}

// Trouble is a reason that servers or archives of a run share.
type Trouble struct {
	Reason  string `json:"reason"`
	Count   int    `json:"count"`
	Example string `json:"example"`           // the first one's name, or path
	Archive bool   `json:"archive,omitempty"` // it is of archives
}

// maxTroubles bounds the reasons of servers in a summary, and those of archives.
const maxTroubles = 10

// runsAtOnce is how many runs are read before they are summed up: no query waits for another one's connection.
const runsAtOnce = 50

const runColumns = `id, kind, result, reason, detail, started_at, ended_at, leftovers`

func scanRun(row scanner) (r RunRow, err error) {
	return r, row.Scan(&r.ID, &r.Kind, &r.Result, &r.Reason, &r.Detail, instant{&r.Start}, instant{&r.End}, &r.Leftovers)
}

const runsQuery = `SELECT ` + runColumns + ` FROM runs WHERE (started_at, id) < (?1, ?2) AND started_at >= ?3
AND (?4 = '' OR kind = ?4) AND (NOT ?5 OR ended_at = ` + noTimeText + `)
AND (?6 = '' OR EXISTS (SELECT 1 FROM run_servers s WHERE s.run = runs.id AND s.server = ?6))
ORDER BY started_at DESC, id DESC LIMIT ?7`

// noTimeText is noTime in SQL.
const noTimeText = `-9223372036854775808`

// Runs returns the page of runs that cursor leads to ("" is the first one): at most limit, and about budget bytes of JSON.
func (c *Catalog) Runs(ctx context.Context, q RunsQuery, cursor string, limit, budget int) (RunsPage, error) {
	page := RunsPage{Runs: []RunSummary{}}
	at, err := q.begin(cursor)
	if err != nil {
		return page, fmt.Errorf("catalog: runs: %w", err)
	}
	left := roomOf(budget)
	for {
		runs, err := query(ctx, c.reader, scanRun, runsQuery, at.start, at.id, nanos(q.Since), q.Kind, q.Open, q.Server, runsAtOnce)
		if err != nil {
			return page, fmt.Errorf("catalog: runs: %w", err)
		}
		for _, run := range runs {
			summary, err := summarize(ctx, c.reader, run, q.Server)
			if err != nil {
				return page, fmt.Errorf("catalog: sum up %s: %w", run.ID, err)
			}
			taken, err := left.take(summary)
			if err != nil {
				return page, err
			}
			if !taken || len(page.Runs) == limit {
				page.Next = at.String()
				return page, nil
			}
			page.Runs = append(page.Runs, summary)
			at = runPlace{nanos(run.Start), run.ID}
		}
		if len(runs) < runsAtOnce {
			return page, nil
		}
	}
}

// runPlace is where a run stands in the order of starts.
type runPlace struct {
	start int64
	id    string
}

func (p runPlace) String() string { return fmt.Sprintf("%d.%s", p.start, p.id) }

// begin is the place after which a page begins.
func (q RunsQuery) begin(cursor string) (runPlace, error) {
	if cursor == "" && q.Until.IsZero() {
		return runPlace{start: math.MaxInt64}, nil
	}
	if cursor == "" {
		return runPlace{start: nanos(q.Until)}, nil
	}
	return runPlaceOf(cursor)
}

func runPlaceOf(cursor string) (runPlace, error) {
	start, id, _ := strings.Cut(cursor, ".")
	n, err := strconv.ParseInt(start, 10, 64)
	if err != nil {
		return runPlace{}, fmt.Errorf("cursor %q: %w", cursor, err)
	}
	return runPlace{n, id}, nil
}

const runServersQuery = `SELECT result, reason, count(*), sum(collected), sum(bytes), sum(failed + refused), min(server), max(ended_at)
FROM run_servers WHERE run = ?1 AND (?2 = '' OR server = ?2) GROUP BY result, reason ORDER BY count(*) DESC, min(server)`

const runArchivesQuery = `SELECT done, result, reason, count(*), sum(received), sum(bytes), min(path), max(ended_at)
FROM archives WHERE %s = ?1 AND (?2 = '' OR server = ?2) GROUP BY done, result, reason ORDER BY count(*) DESC, min(path)`

// summarize sums a run up, or what one server did in it.
func summarize(ctx context.Context, db *sql.DB, run RunRow, server string) (RunSummary, error) {
	s := RunSummary{RunRow: run}
	_, err := query(ctx, db, func(row scanner) (none struct{}, err error) { return none, s.addServers(row) }, runServersQuery, run.ID, server)
	if err != nil {
		return s, err
	}
	scope := "run"
	if run.Kind == KindDecompress {
		scope = "decompression"
	}
	_, err = query(ctx, db, func(row scanner) (none struct{}, err error) { return none, s.addArchives(row) },
		fmt.Sprintf(runArchivesQuery, scope), run.ID, server)
	return s, err
}

// addServers adds the servers that share a result and a reason.
func (s *RunSummary) addServers(row scanner) error {
	var result, number, files, missing int
	var bytes int64
	var reason, example string
	var end time.Time
	if err := row.Scan(&result, &reason, &number, &files, &bytes, &missing, &example, instant{&end}); err != nil {
		return err
	}
	s.Servers += number
	s.Files += files
	s.Bytes += bytes
	s.Missing += missing
	switch result {
	case 0:
		s.Good += number
	case 1:
		s.Bad += number
	}
	s.end(end)
	s.trouble(Trouble{Reason: reason, Count: number, Example: example})
	return nil
}

// addArchives adds the archives that share a result and a reason.
func (s *RunSummary) addArchives(row scanner) error {
	var done bool
	var result, number, files int
	var bytes int64
	var reason, example string
	var end time.Time
	if err := row.Scan(&done, &result, &reason, &number, &files, &bytes, &example, instant{&end}); err != nil {
		return err
	}
	s.Archives += number
	if s.Kind == KindDecompress {
		s.Files += files
		s.Bytes += bytes
	}
	switch {
	case !done:
		s.ArchivesWaiting += number
	case result == 0:
		s.ArchivesGood += number
	case result == 1:
		s.ArchivesBad += number
	}
	s.end(end)
	s.trouble(Trouble{Reason: reason, Count: number, Example: clip(example, maxWarning), Archive: true})
	return nil
}

func (s *RunSummary) end(at time.Time) {
	if at.After(s.LastEnd) {
		s.LastEnd = at
	}
}

func (s *RunSummary) trouble(t Trouble) {
	same := 0
	for _, known := range s.Troubles {
		if known.Archive == t.Archive {
			same++
		}
	}
	if t.Reason != "" && same < maxTroubles {
		s.Troubles = append(s.Troubles, t)
	}
}
