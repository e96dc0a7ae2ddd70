package catalog

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// SaveBehaviour remembers a JSON document of what was learned about the server, and replaces an earlier one. What is in it is its writer's
// business. One that says the same, white space aside, writes nothing: this may be called whenever a server has been visited.
func (c *Catalog) SaveBehaviour(ctx context.Context, server string, learned json.RawMessage) error {
	var compact bytes.Buffer
	if err := json.Compact(&compact, learned); err != nil {
		return fmt.Errorf("catalog: behaviour of %s: %w", server, err)
	}
	const same = `SELECT EXISTS (SELECT 1 FROM behaviours WHERE server = ? AND learned = ?)`
	var saved bool
	if err := c.reader.QueryRowContext(ctx, same, server, compact.String()).Scan(&saved); err != nil {
		return fmt.Errorf("catalog: behaviour of %s: %w", server, err)
	}
	if saved { // nobody need wait for the writer
		return nil
	}
	return c.write(ctx, "save behaviour of "+server, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO behaviours (server, learned, learned_at) VALUES (?, ?, ?)`,
			server, compact.String(), nanos(time.Now()))
		return err
	})
}

// Behaviour returns the document of what was learned about the server and when it last changed, or ErrNoRow.
func (c *Catalog) Behaviour(ctx context.Context, server string) (learned json.RawMessage, at time.Time, err error) {
	var text string
	err = c.reader.QueryRowContext(ctx, `SELECT learned, learned_at FROM behaviours WHERE server = ?`, server).Scan(&text, instant{&at})
	if err != nil {
		return nil, time.Time{}, missing(err, "behaviour of %s", server)
	}
	return json.RawMessage(text), at, nil
}
