package catalog

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// outcome saves the row of a server in the n-th run, which ends n hours after Monday morning.
func outcome(t *testing.T, c *Catalog, n int, server string, result int, reason string) ServerRow {
	t.Helper()
	row := ServerRow{
		Run: fmt.Sprint("collect/", n), Server: server, Result: result, Reason: reason, Detail: "detail of " + reason,
		Books: Books{Collected: n, Bytes: int64(100 * n)}, Start: monday.Add(time.Duration(n)*time.Hour - time.Minute), End: monday.Add(time.Duration(n) * time.Hour),
	}
	require.NoError(t, c.SaveServer(t.Context(), row))
	return row
}

func stateOf(row ServerRow, latest string, success time.Time) ServerState {
	return ServerState{
		Server: row.Server, Run: row.Run, Result: row.Result, Reason: row.Reason, Detail: row.Detail, Start: row.Start, End: row.End,
		Collected: row.Books.Collected, Bytes: row.Books.Bytes, Latest: latest, LastSuccess: success,
	}
}

func TestServerStates(t *testing.T) {
	c := open(t)
	good := outcome(t, c, 1, "good", 0, "")
	outcome(t, c, 1, "broken", 0, "")
	broken := outcome(t, c, 2, "broken", 1, "login_refused")
	never := outcome(t, c, 2, "never", 2, "incomplete")
	outcome(t, c, 1, "waiting", 0, "")
	waiting := outcome(t, c, 3, "waiting", 0, "")
	outcome(t, c, 4, "waiting", 2, "running")
	outcome(t, c, 5, "waiting", 1, "busy")
	outcome(t, c, 6, "idle", 1, "not_started")
	outcome(t, c, 7, "idle", 0, "cancelled") // whatever its code, nobody has seen the server
	require.NoError(t, c.SaveBehaviour(t.Context(), "good", json.RawMessage(`{"listing": "LIST"}`)))

	states, err := c.ServerStates(t.Context(), []string{"waiting", "good", "unheard", "never", "broken", "idle"})
	require.NoError(t, err)
	require.Len(t, states, 6)
	assert.WithinDuration(t, time.Now(), states[1].LearnedAt, time.Hour)
	states[1].LearnedAt = time.Time{}
	known := stateOf(good, "", good.End)
	known.Learned = json.RawMessage(`{"listing":"LIST"}`)
	assert.Equal(t, []ServerState{
		stateOf(waiting, "busy", waiting.End), known,
		{Server: "unheard"},
		stateOf(never, "", time.Time{}),
		stateOf(broken, "", monday.Add(time.Hour)),
		{Server: "idle", Latest: "cancelled"},
	}, states)
}

// TestAServerThatWorkedOn: a run gave its row up as running; the server's own workflow came to an end later, and after another run had found it
// busy. It is that end that counts.
func TestAServerThatWorkedOn(t *testing.T) {
	c := open(t)
	late := outcome(t, c, 1, testServer, 2, "running")
	outcome(t, c, 2, testServer, 1, "busy")
	late.Result, late.Reason, late.End = 0, "", monday.Add(3*time.Hour)
	require.NoError(t, c.SaveServer(t.Context(), late))
	states, err := c.ServerStates(t.Context(), []string{testServer})
	require.NoError(t, err)
	assert.Equal(t, []ServerState{stateOf(late, "", late.End)}, states)
}

// TestServerStatesReadNoHistory: every step is a look-up in an index, so years of rows cost nothing, and nothing is sorted.
func TestServerStatesReadNoHistory(t *testing.T) {
	plan := explain(t, open(t), serverStatesQuery, `["a"]`, int64(noTime))
	assert.Equal(t, 2, strings.Count(plan, "SEARCH run_servers USING INDEX run_servers_of_server (server=?)")+
		strings.Count(plan, "SEARCH run_servers USING COVERING INDEX run_servers_of_server (server=?)"), plan)
	assert.Contains(t, plan, "SEARCH run_servers USING INDEX run_servers_good (server=?)")
	assert.NotContains(t, plan, "SCAN run_servers")
	assert.NotContains(t, plan, "SCAN b")
}
