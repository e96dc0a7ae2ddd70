package activities

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/catalog"
)

// ledger is a Meter that writes down what it is told of servers and runs.
type ledger struct {
	deaf
	told []string
}

func (l *ledger) Server(row ServerResult, outcomes []Outcome) {
	l.told = append(l.told, fmt.Sprint(row.Server, " ", row.Reason, " ", len(outcomes)))
}

func (l *ledger) Run(kind string, result int, reason string) {
	l.told = append(l.told, fmt.Sprint(kind, " ", result, " ", reason))
}

// TestCloseRunCountsRowsOnce: a server that wrote its own row is not counted for its parent's word, nor is that word for being repeated.
func TestCloseRunCountsRowsOnce(t *testing.T) {
	s := newSite(t, "", "")
	l := &ledger{}
	s.tiger.Meter = l
	require.NoError(t, s.tiger.Catalog.SaveServer(t.Context(), catalog.ServerRow{Run: run1, Server: "own"}))
	in := CloseRunInput{Run: run1, Result: Partial, Servers: []ServerResult{
		{Server: "own", Reason: ReasonRunning}, {Server: branch, Result: Failed, Reason: ReasonBusy},
	}}
	in.Shard = true
	require.NoError(t, s.tiger.CloseRun(t.Context(), in))
	assert.Equal(t, []string{branch + " busy 0"}, l.told)
	in.Shard = false
	require.NoError(t, s.tiger.CloseRun(t.Context(), in))
	assert.Equal(t, []string{branch + " busy 0", "collect 2 "}, l.told)
}
