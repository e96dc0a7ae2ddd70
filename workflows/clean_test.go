package workflows

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// TestCleanInPages: each page is a history of its own, with the sums of those before.
func TestCleanInPages(t *testing.T) {
	w := newWorld(t)
	in := CleanInput{CleanOptions: activities.CleanOptions{VersionsBefore: time.Unix(1000, 0).UTC(), Meant: true}}
	pages := 1
	for {
		w.execute(CleanID("k"), CleanWorkflow, in)
		var next *workflow.ContinueAsNewError
		if !errors.As(w.env.GetWorkflowError(), &next) {
			break
		}
		pages++
		in = CleanInput{}
		require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
		w.newEnv()
	}
	result := resultOf[CleanResult](w)
	assert.Equal(t, 3, pages)
	assert.Equal(t, map[string]activities.Spent{
		activities.CleanVersions: {Count: 3, Bytes: 15, Oldest: time.Unix(98, 0).UTC()},
	}, result.Spent)
	assert.True(t, result.Meant)
	for i, page := range inputs[activities.CleanInput](w) {
		assert.Equal(t, i, page.From.Phase)
		assert.Equal(t, in.CleanOptions, page.CleanOptions)
	}
	answer, err := w.env.QueryWorkflow(ProgressQuery, 0)
	require.NoError(t, err)
	var progress Progress
	require.NoError(t, answer.Get(&progress))
	assert.Equal(t, Progress{State: StateDone, Done: 3, Total: 3}, progress)
}
