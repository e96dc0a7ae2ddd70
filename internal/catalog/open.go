package catalog

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyTimeout is how long a write waits for one of another process; readers is the number of connections that read at once.
const (
	busyTimeout = 10 * time.Second
	readers     = 4
)

//go:embed migrations/*.sql
var migrations embed.FS

// Catalog is an open catalog. It is safe for concurrent use, within a process and between processes of one host.
type Catalog struct {
	dir    string  // where the catalog is, and where there is room for what is too much for memory
	writer *sql.DB // one connection: writers of this process queue in memory instead of polling for the file's lock
	reader *sql.DB
	// What runs once for each file is compiled once: parsing SQL would cost more than the query.
	oneEntry, placeOwner, sift *sql.Stmt
}

// Open opens the catalog at path, creates it if need be and brings its schema up to date. The schema of a newer Talon is used as it is, so that two
// versions can work side by side while one takes over from the other, and the older one can come back. It is refused with ErrNewerSchema where one of
// its migrations says that older programs must not use it.
func Open(ctx context.Context, path string) (*Catalog, error) {
	c := &Catalog{}
	if err := c.open(ctx, path); err != nil {
		return nil, errors.Join(fmt.Errorf("catalog: open %s: %w", path, err), c.Close())
	}
	return c, nil
}

func (c *Catalog) open(ctx context.Context, path string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	c.dir = filepath.Dir(path)
	if err := createFile(path); err != nil {
		return err
	}
	// temp_store: what a single statement may have to undo is kept in memory, not in a file.
	c.writer, err = connect(path, 1, "_txlock=immediate", "_pragma=journal_mode(WAL)", "_pragma=temp_store(MEMORY)")
	if err != nil {
		return err
	}
	if c.reader, err = connect(path, readers, "_pragma=query_only(1)"); err != nil {
		return err
	}
	scripts, err := migrationScripts()
	if err != nil {
		return err
	}
	if err := c.prepare(ctx, scripts); err != nil {
		return err
	}
	return c.compile(ctx)
}

func (c *Catalog) compile(ctx context.Context) (err error) {
	if c.oneEntry, err = c.reader.PrepareContext(ctx, entryQuery+`WHERE e.id = ?`); err != nil {
		return err
	}
	if c.placeOwner, err = c.reader.PrepareContext(ctx, localPathQuery); err != nil {
		return err
	}
	c.sift, err = c.reader.PrepareContext(ctx, siftQuery)
	return err
}

// Close closes the catalog. Calls that are under way fail.
func (c *Catalog) Close() error {
	var errs []error
	for _, statement := range []*sql.Stmt{c.oneEntry, c.placeOwner, c.sift} {
		if statement != nil {
			errs = append(errs, statement.Close())
		}
	}
	for _, db := range []*sql.DB{c.reader, c.writer} { // the writer last: closing it checkpoints
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// createFile makes an empty file, which SQLite takes for a new database, so that mode and directory are ours to decide and
// its name is durable before anything is written.
func createFile(path string) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// connect opens a pool of at most size connections. Options are those of modernc.org/sqlite's data source names.
func connect(path string, size int, options ...string) (*sql.DB, error) {
	source := "file:" + (&url.URL{Path: path}).EscapedPath() + fmt.Sprintf(
		"?_pragma=busy_timeout(%d)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)", busyTimeout.Milliseconds())
	for _, option := range options {
		source += "&" + option
	}
	db, err := sql.Open("sqlite", source)
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db, nil
}

// prepare makes the first connection, which switches the file to WAL, and migrates. Switching takes the whole file, and
// SQLite does not wait for that lock when another process is switching too: this does.
func (c *Catalog) prepare(ctx context.Context, scripts []string) error {
	ctx, cancel := context.WithTimeout(ctx, 3*busyTimeout)
	defer cancel()
	for {
		err := c.writer.PingContext(ctx)
		if err == nil {
			return migrate(ctx, c.writer, scripts)
		}
		if !isBusy(err) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func isBusy(err error) bool {
	var sqliteErr *sqlite.Error
	return errors.As(err, &sqliteErr) && sqliteErr.Code()&0xff == sqlite3.SQLITE_BUSY
}

// migrationScripts are the embedded scripts in order; the n-th leads from schema n-1 to schema n.
func migrationScripts() ([]string, error) {
	names, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var scripts []string
	for _, name := range names {
		text, err := migrations.ReadFile(name)
		if err != nil {
			return nil, err
		}
		scripts = append(scripts, string(text))
	}
	return scripts, nil
}

// migrate brings the schema to the last script's version, one transaction per script. Another process may be doing the same:
// each step looks at the version again once it holds the lock. A newer schema stays as it is.
func migrate(ctx context.Context, db *sql.DB, scripts []string) error {
	for {
		version, err := schemaVersion(ctx, db)
		switch {
		case err != nil:
			return err
		case version > len(scripts):
			return checkUsable(ctx, db, version, len(scripts))
		case version == len(scripts):
			return nil
		}
		if err := migrateOnce(ctx, db, version, scripts[version]); err != nil {
			return fmt.Errorf("migrate to schema %d: %w", version+1, err)
		}
	}
}

// checkUsable refuses a newer schema that programs which know less than it demands must not use. A migration that is more than an addition demands that
// with PRAGMA application_id = its number (see migrations/README.md).
func checkUsable(ctx context.Context, db *sql.DB, version, known int) error {
	var demanded int
	if err := db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&demanded); err != nil {
		return err
	}
	if demanded > known {
		return fmt.Errorf("%w (schema %d, which needs a Talon that knows schema %d; this one knows up to %d)", ErrNewerSchema, version, demanded, known)
	}
	return nil
}

// migrateOnce leads from schema version from to the next, unless another process has done so in the meantime.
func migrateOnce(ctx context.Context, db *sql.DB, from int, script string) error {
	return transact(ctx, db, func(tx *sql.Tx) error {
		version, err := schemaVersion(ctx, tx)
		if err != nil || version != from {
			return err
		}
		if _, err := tx.ExecContext(ctx, script); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", from+1))
		return err
	})
}

func schemaVersion(ctx context.Context, q querier) (version int, err error) {
	err = q.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version)
	return version, err
}

// write runs do in one transaction. what is for the error's text.
func (c *Catalog) write(ctx context.Context, what string, do func(tx *sql.Tx) error) error {
	if err := transact(ctx, c.writer, do); err != nil {
		return fmt.Errorf("catalog: %s: %w", what, err)
	}
	return nil
}

func transact(ctx context.Context, db *sql.DB, do func(tx *sql.Tx) error) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := do(tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}
