package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// Areas of what the catalog says to lie on disk.
const (
	AreaZip   = "zip"   // collected files
	AreaUnzip = "unzip" // extracted files
)

// Kept is a file that lies where users see it, by what the catalog says.
type Kept struct {
	FileID    int64 // row in files; 0: it was extracted
	ArchiveID int64 // row in archives; 0: it was collected
	Server    string
	Dir       string // absolute
	Path      string // below Dir
	Member    string // of an archive: the path below its own directory
	Size      int64
	SHA256    string
}

// Scope is a part of what is kept. The zero value is all of it.
type Scope struct {
	Servers []string  `json:"servers,omitempty"`
	Since   time.Time `json:"since,omitzero"` // collected or extracted then or later
}

// args are the arguments of inScope.
func (s Scope) args() (servers string, since int64, err error) {
	text, err := json.Marshal(s.Servers)
	return string(text), nanos(s.Since), err
}

const keptFilesQuery = `SELECT id, 0, server, zip_dir, local_path, '', bytes, sha256 FROM files
WHERE id > ?3 AND removal = 0 AND (?1 IN ('null', '[]') OR server IN (SELECT value FROM json_each(?1))) AND collected_at >= ?2 ORDER BY id LIMIT ?4`

// Of extractions into one directory the last one that has the file counts: the others found it there, or failed to extract it.
const keptMembersQuery = `SELECT 0, a.id, a.server, a.unzip_dir, a.unzip_path || '/' || m.path, m.path, m.size, m.sha256
FROM archives a CROSS JOIN members m ON m.archive_id = a.id
WHERE a.id >= ?3 AND m.path > iif(a.id = ?3, ?4, '') AND a.unzip_root IS NOT NULL AND a.done = 1
AND (?1 IN ('null', '[]') OR a.server IN (SELECT value FROM json_each(?1))) AND a.ended_at >= ?2
AND NOT EXISTS (SELECT 1 FROM archives b CROSS JOIN members n ON n.archive_id = b.id AND n.path = m.path
WHERE b.unzip_root = a.unzip_root AND b.done = 1 AND b.id > a.id) ORDER BY a.id, m.path LIMIT ?5`

func scanKept(row scanner) (k Kept, err error) {
	return k, row.Scan(&k.FileID, &k.ArchiveID, &k.Server, &k.Dir, &k.Path, &k.Member, &k.Size, &k.SHA256)
}

// KeptFiles returns at most limit collected files with an ID above after, in the order of their IDs.
func (c *Catalog) KeptFiles(ctx context.Context, scope Scope, after int64, limit int) ([]Kept, error) {
	servers, since, err := scope.args()
	if err != nil {
		return nil, err
	}
	kept, err := query(ctx, c.reader, scanKept, keptFilesQuery, servers, since, after, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: collected files: %w", err)
	}
	return kept, nil
}

// KeptMembers returns at most limit extracted files after the member of the archive, in the order of archives and members.
func (c *Catalog) KeptMembers(ctx context.Context, scope Scope, archive int64, member string, limit int) ([]Kept, error) {
	servers, since, err := scope.args()
	if err != nil {
		return nil, err
	}
	kept, err := query(ctx, c.reader, scanKept, keptMembersQuery, servers, since, archive, member, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: extracted files: %w", err)
	}
	return kept, nil
}

// CountKept counts the files of an area that KeptFiles or KeptMembers return.
func (c *Catalog) CountKept(ctx context.Context, scope Scope, area string) (count int, err error) {
	servers, since, err := scope.args()
	if err != nil {
		return 0, err
	}
	text, args := keptFilesQuery, []any{servers, since, 0, -1}
	if area == AreaUnzip {
		text, args = keptMembersQuery, []any{servers, since, 0, "", -1}
	}
	if err := c.reader.QueryRowContext(ctx, `SELECT count(*) FROM (`+text+`)`, args...).Scan(&count); err != nil {
		return 0, fmt.Errorf("catalog: count what is kept: %w", err)
	}
	return count, nil
}

const (
	ownsZipFileQuery   = `SELECT EXISTS (SELECT 1 FROM files WHERE zip_file = ? AND removal < 2)`
	ownsUnzipFileQuery = `SELECT EXISTS (SELECT 1 FROM json_each(?) split CROSS JOIN archives a ON a.unzip_root = split.value ->> 0
CROSS JOIN members m ON m.archive_id = a.id AND m.path = split.value ->> 1)`
)

// Owns tells whether the catalog knows the file that lies at a path below a directory of the area.
func (c *Catalog) Owns(ctx context.Context, area, dir, name string) (owns bool, err error) {
	text, arg := ownsZipFileQuery, dir+"/"+name
	if area == AreaUnzip {
		pairs, err := json.Marshal(splits(dir + "/" + name))
		if err != nil {
			return false, err
		}
		text, arg = ownsUnzipFileQuery, string(pairs)
	}
	if err := c.reader.QueryRowContext(ctx, text, arg).Scan(&owns); err != nil {
		return false, fmt.Errorf("catalog: owner of %s: %w", name, err)
	}
	return owns, nil
}

// StillKept tells whether a file is still to lie where the catalog said.
func (c *Catalog) StillKept(ctx context.Context, k Kept) (still bool, err error) {
	text, args := `SELECT EXISTS (SELECT 1 FROM files WHERE id = ? AND zip_file = ? AND removal = 0)`, []any{k.FileID, k.Dir + "/" + k.Path}
	if k.ArchiveID != 0 {
		text, args = `SELECT EXISTS (SELECT 1 FROM members WHERE archive_id = ? AND path = ?)`, []any{k.ArchiveID, k.Member}
	}
	if err := c.reader.QueryRowContext(ctx, text, args...).Scan(&still); err != nil {
		return false, fmt.Errorf("catalog: whether %s is kept: %w", k.Path, err)
	}
	return still, nil
}

// Extracting tells whether an archive of the server has no outcome yet: what is extracted from it may be visible before the catalog knows it.
func (c *Catalog) Extracting(ctx context.Context, server string) (open bool, err error) {
	err = c.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM archives WHERE done = 0 AND server = ?)`, server).Scan(&open)
	if err != nil {
		return false, fmt.Errorf("catalog: archives of %s: %w", server, err)
	}
	return open, nil
}

// Kinds of a Finding.
const (
	FoundDamaged    = "damaged"    // other contents than the catalog says
	FoundMissing    = "missing"    // nothing lies there
	FoundUnreadable = "unreadable" // it cannot be read
	FoundUnknown    = "unknown"    // the catalog knows no such file
	FoundStuck      = "stuck"      // an archive that waits for a decompression that is not running any more
)

// Finding is something that a verification found not to be as it should be.
type Finding struct {
	ID        int64  `json:"id"`
	Area      string `json:"area"`
	Kind      string `json:"kind"`
	Server    string `json:"server,omitempty"`
	Dir       string `json:"dir"`
	Path      string `json:"path"` // below dir
	FileID    int64  `json:"file_id,omitempty"`
	ArchiveID int64  `json:"archive_id,omitempty"`
	Detail    string `json:"detail,omitempty"`
	Done      string `json:"done,omitempty"`  // what was done about it
	Aside     string `json:"aside,omitempty"` // where what was damaged lies now, below dir
}

// AddFindings notes what a verification found. What it found before stays as it is.
func (c *Catalog) AddFindings(ctx context.Context, verification string, found []Finding) error {
	if len(found) == 0 {
		return nil
	}
	return c.write(ctx, "findings of "+verification, func(tx *sql.Tx) error {
		return insertAll(ctx, tx, `INSERT INTO findings (verification, area, kind, server, dir, path, file_id, archive_id, detail, found_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, found, func(_ int, f Finding) []any {
			return []any{
				verification, f.Area, f.Kind, f.Server, f.Dir, []byte(f.Path), f.FileID, f.ArchiveID, clip(f.Detail, maxDetail), nanos(time.Now()),
			}
		})
	})
}

const findingsQuery = `SELECT id, area, kind, server, dir, path, file_id, archive_id, detail, done, aside FROM findings
WHERE verification = ? AND id > ? ORDER BY id LIMIT ?`

// Findings returns at most limit findings of a verification with an ID above after, in the order of their IDs.
func (c *Catalog) Findings(ctx context.Context, verification string, after int64, limit int) ([]Finding, error) {
	found, err := query(ctx, c.reader, func(row scanner) (f Finding, err error) {
		return f, row.Scan(&f.ID, &f.Area, &f.Kind, &f.Server, &f.Dir, &f.Path, &f.FileID, &f.ArchiveID, &f.Detail, &f.Done, &f.Aside)
	}, findingsQuery, verification, after, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: findings of %s: %w", verification, err)
	}
	return found, nil
}
