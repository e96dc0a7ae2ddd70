package catalog

import (
	"context"
	"database/sql"
	"fmt"
)

// A marker may stand for several files ("{stem}.ok"). It stays for as long as one of them is still to be collected: without it that one would
// wait for ever. Its own action removes it then. Nothing is done to what is to be fetched again: it may be the only copy.
const remoteActionsQuery = `SELECT id, raw_path, CASE WHEN marker <> x'' AND EXISTS (SELECT 1 FROM entries o
WHERE o.listing_id = (SELECT listing_id FROM entries WHERE id = files.entry_id) AND o.marker = files.marker AND o.marker <> x''
AND o.state <> 'collected') THEN x'' ELSE marker END, remote_action, size, mtime, precision FROM files
WHERE server = ? AND remote_action <> '' AND remote_done = 0 AND forgotten = 0 ORDER BY remote_detail <> '', id LIMIT ?`

// RemoteActions returns at most limit actions that are still to be done on the server, those that failed before last.
func (c *Catalog) RemoteActions(ctx context.Context, server string, limit int) ([]RemoteAction, error) {
	actions, err := query(ctx, c.reader, func(row scanner) (a RemoteAction, err error) {
		return a, row.Scan(&a.FileID, &a.RawPath, &a.Marker, &a.Action, &a.Size, instant{&a.ModTime}, &a.Precision)
	}, remoteActionsQuery, server, limit)
	if err != nil {
		return nil, fmt.Errorf("catalog: remote actions on %s: %w", server, err)
	}
	return actions, nil
}

// StillToDo tells whether the action for the file, which RemoteActions returned, is still to be done.
func (c *Catalog) StillToDo(ctx context.Context, fileID int64) (still bool, err error) {
	err = c.reader.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM files WHERE id = ? AND remote_action <> '' AND remote_done = 0 AND forgotten = 0)`,
		fileID).Scan(&still)
	if err != nil {
		return false, fmt.Errorf("catalog: remote action of file %d: %w", fileID, err)
	}
	return still, nil
}

// RemoteDone notes that the action for the file is done.
func (c *Catalog) RemoteDone(ctx context.Context, fileID int64) error {
	return c.updateFile(ctx, fileID, `UPDATE files SET remote_done = 1, remote_detail = '' WHERE id = ?`, fileID)
}

// RemoteFailed notes why the action for the file failed; it stays to be done. An action that is done stays done.
func (c *Catalog) RemoteFailed(ctx context.Context, fileID int64, detail string) error {
	if detail == "" {
		detail = "failed"
	}
	return c.updateFile(ctx, fileID, `UPDATE files SET remote_detail = ? WHERE id = ?`, clip(detail, maxDetail), fileID)
}

const remoteBacklogQuery = `SELECT count(*), coalesce((SELECT remote_detail FROM files
WHERE server = ?1 AND remote_action <> '' AND remote_done = 0 AND (remote_detail <> '') = 1 AND forgotten = 0 ORDER BY id DESC LIMIT 1), '')
FROM files WHERE server = ?1 AND remote_action <> '' AND remote_done = 0 AND (remote_detail <> '') = 1 AND forgotten = 0`

// RemoteBacklog counts the actions on the server that failed and are still to be done. sample is why: the detail of the file that was
// collected last of them, "" if there are none.
func (c *Catalog) RemoteBacklog(ctx context.Context, server string) (failed int, sample string, err error) {
	err = c.reader.QueryRowContext(ctx, remoteBacklogQuery, server).Scan(&failed, &sample)
	if err != nil {
		return 0, "", fmt.Errorf("catalog: remote backlog of %s: %w", server, err)
	}
	return failed, sample, nil
}

func (c *Catalog) updateFile(ctx context.Context, fileID int64, statement string, args ...any) error {
	return c.write(ctx, fmt.Sprintf("remote action of file %d", fileID), func(tx *sql.Tx) error {
		return updateOne(ctx, tx, statement, args...)
	})
}
