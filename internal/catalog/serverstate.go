package catalog

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"
)

// ServerState is how a server stands by the runs so far. Of a server that no run has a row for, only Server is set.
//
// A row whose reason is one of silentReasons says nothing about the branch: the server was not visited, or not to an end that the row knows.
// It is neither the last outcome nor a success; Latest tells that there is one.
type ServerState struct {
	Server string `json:"server"`
	// Run, Result, Reason, Detail, Start, End, Collected and Bytes are those of the last outcome: of the row that ended last.
	Run       string    `json:"run,omitempty"`
	Result    int       `json:"result"`
	Reason    string    `json:"reason,omitempty"`
	Detail    string    `json:"detail,omitempty"`
	Start     time.Time `json:"start_time,omitzero"`
	End       time.Time `json:"end_time,omitzero"`
	Collected int       `json:"collected"` // files
	Bytes     int64     `json:"bytes"`     // of these files
	// Latest is the reason of a row that came after the last outcome and is none itself ("busy", say), "" if the outcome is the latest row.
	Latest string `json:"latest,omitempty"`
	// LastSuccess is the end of the last outcome with result 0, zero if there never was one.
	LastSuccess time.Time `json:"last_success,omitzero"`
	// Learned is the document of what the server was found to be like and LearnedAt when it last changed (SaveBehaviour).
	Learned   json.RawMessage `json:"learned,omitempty"`
	LearnedAt time.Time       `json:"learned_at,omitzero"`
}

// silentReasons are the reasons of rows that say nothing about the branch, as an SQL list.
const silentReasons = `('busy', 'running', 'not_started', 'cancelled', 'skipped')`

// serverStatesQuery takes a JSON array of names. Each subquery is a look into one index, from its end.
const serverStatesQuery = `SELECT asked.value, coalesce(o.run, ''), coalesce(o.result, 0), coalesce(o.reason, ''), coalesce(o.detail, ''),
coalesce(o.started_at, ?2), coalesce(o.ended_at, ?2), coalesce(o.collected, 0), coalesce(o.bytes, 0),
iif(l.id IS NOT o.id, coalesce(l.reason, ''), ''), coalesce((SELECT ended_at FROM run_servers
	WHERE server = asked.value AND result = 0 AND reason NOT IN ` + silentReasons + ` ORDER BY ended_at DESC LIMIT 1), ?2),
b.learned, coalesce(b.learned_at, ?2)
FROM json_each(?1) asked
LEFT JOIN run_servers o ON o.id = (SELECT id FROM run_servers
	WHERE server = asked.value AND reason NOT IN ` + silentReasons + ` ORDER BY ended_at DESC LIMIT 1)
LEFT JOIN run_servers l ON l.id = (SELECT id FROM run_servers WHERE server = asked.value ORDER BY ended_at DESC LIMIT 1)
LEFT JOIN behaviours b ON b.server = asked.value
ORDER BY asked.key`

// ServerStates returns the state of each of the servers, in the order asked for, also of those that the catalog knows nothing of.
func (c *Catalog) ServerStates(ctx context.Context, servers []string) ([]ServerState, error) {
	names, err := json.Marshal(servers)
	if err != nil {
		return nil, fmt.Errorf("catalog: states of servers: %w", err)
	}
	states, err := query(ctx, c.reader, scanServerState, serverStatesQuery, string(names), int64(noTime))
	if err != nil {
		return nil, fmt.Errorf("catalog: states of servers: %w", err)
	}
	return states, nil
}

func scanServerState(row scanner) (s ServerState, err error) {
	var learned sql.NullString
	err = row.Scan(&s.Server, &s.Run, &s.Result, &s.Reason, &s.Detail, instant{&s.Start}, instant{&s.End}, &s.Collected, &s.Bytes, &s.Latest,
		instant{&s.LastSuccess}, &learned, instant{&s.LearnedAt})
	if learned.Valid {
		s.Learned = json.RawMessage(learned.String)
	}
	return s, err
}
