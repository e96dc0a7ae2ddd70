package catalog

import (
	"context"
	"database/sql"
	"errors"
)

// prepared is a querier that compiles each text once, for what asks the same again and again: parsing SQL costs more than most look-ups.
type prepared struct {
	db    *sql.DB
	known map[string]*sql.Stmt
}

func newPrepared(db *sql.DB) *prepared { return &prepared{db: db, known: map[string]*sql.Stmt{}} }

// QueryContext is that of sql.DB.
func (p *prepared) QueryContext(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	statement, ok := p.known[text]
	if !ok {
		var err error
		if statement, err = p.db.PrepareContext(ctx, text); err != nil {
			return nil, err
		}
		p.known[text] = statement
	}
	return statement.QueryContext(ctx, args...)
}

func (p *prepared) close() error {
	var errs []error
	for _, statement := range p.known {
		errs = append(errs, statement.Close())
	}
	return errors.Join(errs...)
}
