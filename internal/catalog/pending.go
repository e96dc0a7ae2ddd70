package catalog

import (
	"context"
	"database/sql"
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
