package catalog

import "fmt"

// section is one part of a report. Its query takes the run and the position to go on after, and is ordered by position
// through indexes alone: a page costs what it holds, wherever in the report it stands.
type section struct {
	query string
	scan  func(row scanner) (value any, at position, err error)
}

// sectionsOf returns the parts of a report, in their order. A collection reports the archives of all its decompressions, a
// decompression its own.
func sectionsOf(kind string) []section {
	scope := "run"
	if kind == KindDecompress {
		scope = "decompression"
	}
	return []section{
		{serversQuery, scanServer},
		{filesQuery, scanFile},
		{fmt.Sprintf(issuesQuery, StateRefused), scanIssue},
		{fmt.Sprintf(issuesQuery, StateFailed), scanIssue},
		{fmt.Sprintf(archivesQuery, scope), scanReportArchive},
		{fmt.Sprintf(layersQuery, scope), scanLayer},
	}
}

const serversQuery = `SELECT id, run, server, result, reason, detail, listed, excluded, unchanged, deferred, refused, failed,
collected, pending, bytes, adopted, buffer_path, leftovers, warnings, started_at, ended_at
FROM run_servers WHERE run = ?1 AND id > ?2 AND ?3 = 0 ORDER BY id`

func scanServer(row scanner) (any, position, error) {
	var s ServerRow
	var at position
	b := &s.Books
	err := row.Scan(&at.outer, &s.Run, &s.Server, &s.Result, &s.Reason, &s.Detail, &b.Listed, &b.Excluded, &b.Unchanged,
		&b.Deferred, &b.Refused, &b.Failed, &b.Collected, &b.Pending, &b.Bytes, &b.Adopted, &s.BufferPath, &s.Leftovers,
		texts{&s.Warnings}, instant{&s.Start}, instant{&s.End})
	return s, at, err
}

// CROSS JOIN keeps SQLite from turning the order of the tables, which is the order of the positions.
const filesQuery = `SELECT l.id, e.id, l.server, e.path, f.bytes, f.sha256, f.local_path, e.detail
FROM listings l CROSS JOIN entries e ON e.listing_id = l.id CROSS JOIN files f ON f.id = e.file_id
WHERE l.run = ?1 AND l.id >= ?2 AND e.state = 'collected' AND e.id > iif(l.id = ?2, ?3, 0) ORDER BY l.id, e.id`

func scanFile(row scanner) (any, position, error) {
	var f ReportFile
	var at position
	err := row.Scan(&at.outer, &at.inner, &f.Server, &f.Name, &f.Size, &f.SHA256, &f.LocalPath, &f.Note)
	f.LocalPath = clip(f.LocalPath, maxName)
	return f, at, err
}

const issuesQuery = `SELECT l.id, e.id, l.server, e.state, e.path, e.reason, e.detail
FROM listings l CROSS JOIN entries e ON e.listing_id = l.id
WHERE l.run = ?1 AND l.id >= ?2 AND e.state = '%s' AND e.id > iif(l.id = ?2, ?3, 0) ORDER BY l.id, e.id`

func scanIssue(row scanner) (any, position, error) {
	var i ReportIssue
	var at position
	err := row.Scan(&at.outer, &at.inner, &i.Server, &i.State, &i.Name, &i.Reason, &i.Detail)
	return i, at, err
}

const archivesQuery = `SELECT ` + archiveColumns + ` FROM archives WHERE %s = ?1 AND id > ?2 AND ?3 = 0 ORDER BY id`

func scanReportArchive(row scanner) (any, position, error) {
	a, err := scanArchive(row)
	for _, text := range []*string{&a.ZipDir, &a.Path, &a.UnzipDir, &a.UnzipPath} {
		*text = clip(*text, maxName)
	}
	return a, position{outer: a.ID}, err
}

const layersQuery = `SELECT a.id, l.seq, a.path, l.path, l.result, l.archives, l.files, l.reason, l.detail
FROM archives a CROSS JOIN layers l ON l.archive_id = a.id
WHERE a.%s = ?1 AND a.id >= ?2 AND l.seq > iif(a.id = ?2, ?3, 0) ORDER BY a.id, l.seq`

func scanLayer(row scanner) (any, position, error) {
	var l ReportLayer
	var at position
	err := row.Scan(&at.outer, &at.inner, &l.Archive, &l.Path, &l.Result, &l.Archives, &l.Files, &l.Reason, &l.Detail)
	l.Archive, l.Path = clip(l.Archive, maxName), clip(l.Path, maxName)
	return l, at, err
}
