package catalog

import "context"

// beginBaseline notes the server's first planned listing. The same run planning again is not the first: what it adopted then it knows, and
// what has come since is new.
func (p *planner) beginBaseline(ctx context.Context) (first bool, err error) {
	result, err := p.tx.ExecContext(ctx, `INSERT INTO baselines (server, run, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`,
		p.server, p.run, nanos(p.opt.Now))
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows > 0, err
}

const adoptQuery = `INSERT INTO adopted (server, raw_path, size, mtime, precision, run, adopted_at) VALUES (?, ?, ?, ?, ?, ?, ?)`

// adopts tells whether the line is of what lay on the server before Talon came and is not wanted.
func (p *planner) adopts(l *Listed) bool {
	if !p.first || l.State == StateRefused {
		return false
	}
	b := p.opt.Baseline
	return b.Adopt || !b.Before.IsZero() && !l.ModTime.IsZero() && l.ModTime.Before(b.Before)
}
