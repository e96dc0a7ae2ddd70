package workflows

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/activities"
)

// lookups has each question that there is.
var lookups = []LookupInput{
	{Servers: &activities.ServersInput{Servers: []string{"a"}, After: "c"}},
}

func TestLookup(t *testing.T) {
	w := newWorld(t)
	w.execute(LookupID(LookupServers, "n"), LookupWorkflow, lookups[0])
	assert.Equal(t, LookupPage{Servers: &activities.ServersPage{Next: "page after c"}}, resultOf[LookupPage](w))
	assert.Equal(t, []activities.ServersInput{*lookups[0].Servers}, inputs[activities.ServersInput](w))
}

func TestALookupAsksOneQuestion(t *testing.T) {
	for what, in := range map[string]LookupInput{"nothing": {}} {
		w := newWorld(t)
		w.execute(LookupID(what, "n"), LookupWorkflow, in)
		require.ErrorContains(t, w.env.GetWorkflowError(), what)
		assert.True(t, activities.IsFinal(w.env.GetWorkflowError()))
		assert.Empty(t, w.calls)
	}
}
