package workflows

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/activities"
)

// lookups has each question that there is.
var lookups = []LookupInput{
	{Servers: &activities.ServersInput{Servers: []string{"a"}, After: "c"}},
	{Runs: &activities.RunsInput{Limit: 3, Cursor: "c"}},
	{Files: &activities.FilesInput{File: "a/b.csv", Limit: 3, Cursor: "c"}},
}

func TestLookup(t *testing.T) {
	servers, runs, files := activities.ServersPage{}, activities.RunsPage{}, activities.FilesPage{}
	servers.Next, runs.Next, files.Next = "page after c", "page after c", "page after c"
	for i, want := range []LookupPage{{Servers: &servers}, {Runs: &runs}, {Files: &files}} {
		w := newWorld(t)
		w.execute(LookupID(lookups[i].What(), "n"), LookupWorkflow, lookups[i])
		assert.Equal(t, want, resultOf[LookupPage](w))
	}
}

func TestALookupAsksOneQuestion(t *testing.T) {
	for what, in := range map[string]LookupInput{
		"nothing": {}, "several": {Servers: lookups[0].Servers, Runs: lookups[1].Runs}, "several ": {Runs: lookups[1].Runs, Files: lookups[2].Files},
	} {
		w := newWorld(t)
		w.execute(LookupID(what, "n"), LookupWorkflow, in)
		require.ErrorContains(t, w.env.GetWorkflowError(), strings.TrimSpace(what))
		assert.True(t, activities.IsFinal(w.env.GetWorkflowError()))
		assert.Empty(t, w.calls)
	}
}
