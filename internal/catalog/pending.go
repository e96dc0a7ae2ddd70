package catalog

import (
	"context"
	"database/sql"
	"time"
)

// SettlePending closes the books of a server in a run that ended before all its files were reached: what is still pending failed for that reason.
func (c *Catalog) SettlePending(ctx context.Context, run, server, reason, detail string) error {
	return c.write(ctx, "settle what is pending of "+server, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE entries SET state = ?, reason = ?, detail = ?
			WHERE listing_id = (SELECT id FROM listings WHERE run = ? AND server = ?) AND state = ?`,
			StateFailed, reason, clip(detail, maxDetail), run, server, StatePending)
		return err
	})
}

// SettleArchives closes the account of a decompression that was given up: its archives without an outcome have failed for that reason.
func (c *Catalog) SettleArchives(ctx context.Context, decompression, reason, detail string, at time.Time) error {
	return c.write(ctx, "settle what is pending of "+decompression, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE archives SET done = 1, result = 1, reason = ?, detail = ?, ended_at = ? WHERE decompression = ? AND done = 0`,
			reason, clip(detail, maxDetail), nanos(at), decompression)
		return err
	})
}
