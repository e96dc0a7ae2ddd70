package workflows

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/activities"
)

// TestFilesThatMayStillBeWritten: a run waits, durably, and lists once more; what is not stable then is left to the next run.
func TestFilesThatMayStillBeWritten(t *testing.T) {
	w := newWorld(t)
	w.add("a", 1, sized(small, "1.csv")...)
	w.servers["a"].unstable = 1
	began := w.env.Now()
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	row := resultOf[activities.ServerResult](w)
	assert.Equal(t, 1, row.Books.Collected)
	assert.Len(t, inputs[activities.ListInput](w), 2)
	assert.GreaterOrEqual(t, w.env.Now().Sub(began), time.Minute)

	w = newWorld(t)
	w.add("a", 1) // what is there is deferred
	w.servers["a"].unstable = 9
	w.execute(ServerID("a"), CollectServerWorkflow, w.serverInput("a"))
	assert.Len(t, inputs[activities.ListInput](w), 2, "no run waits twice")
}

// TestWhatTheListingSaysReachesTheRow, over continue-as-new as well.
func TestWhatTheListingSaysReachesTheRow(t *testing.T) {
	w := newWorld(t)
	w.plan.Settings.PageFiles = 1
	w.add("a", 1, sized(small, "1.csv", "2.csv")...)
	w.servers["a"].warnings, w.servers["a"].shrank = []string{"EPSV leads nowhere"}, "it is short"
	w.execute(CollectID("1"), CollectWorkflow, CollectInput{})
	commits := inputs[activities.CommitInput](w)
	require.Len(t, commits, 2)
	end := commits[1].Close
	require.NotNil(t, end)
	assert.Equal(t, []string{"EPSV leads nowhere"}, end.Warnings)
	assert.Equal(t, "it is short", end.Shrank)
}
