package workflows

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
)

// manyServers is a world with servers 01, 02, … without files.
func manyServers(t *testing.T, n int) *world {
	w := newWorld(t)
	for i := range n {
		w.add(fmt.Sprintf("%02d", i+1), 1)
	}
	return w
}

func probedNames(page ProbePage) []string {
	var names []string
	for _, probe := range page.Servers {
		names = append(names, probe.Server)
	}
	return names
}

func TestProbeInPages(t *testing.T) {
	w := manyServers(t, 2*probePage+3)
	on(w, func(activity.Info, activities.ProbeServerInput) error { return slowly(time.Minute, nil) })
	var names []string
	pages := 0
	for in := (ProbeInput{Write: true}); ; {
		pages++
		w.execute(ProbeID("k", pages), ProbeWorkflow, in)
		page := resultOf[ProbePage](w)
		names = append(names, probedNames(page)...)
		if in.After = page.Next; in.After == "" {
			break
		}
		w.newEnv()
	}
	assert.Equal(t, 3, pages)
	assert.Equal(t, w.order, names, "each once, in order")
	assert.Equal(t, maxProbes, w.peak[gauge(activities.ProbeServerInput{})], "the window is used, and never more")
	for i, in := range inputs[activities.ProbeServerInput](w) {
		assert.True(t, in.Write)
		assert.Equal(t, ProbeID("k", i/probePage+1), in.Run)
	}
}

func TestProbeOfNamedServers(t *testing.T) {
	w := manyServers(t, 5)
	w.execute(ProbeID("k", 1), ProbeWorkflow, ProbeInput{Servers: []string{"02", "04"}})
	page := resultOf[ProbePage](w)
	assert.Equal(t, []string{"02", "04"}, probedNames(page))
	assert.Empty(t, page.Next)
}

// TestProbeThatFails: one that comes to nothing is a result like the others.
func TestProbeThatFails(t *testing.T) {
	w := manyServers(t, 3)
	on(w, func(_ activity.Info, in activities.ProbeServerInput) error {
		if in.Server == "02" {
			return temporal.NewNonRetryableApplicationError("the catalog is locked", "", nil)
		}
		return nil
	})
	w.execute(ProbeID("k", 1), ProbeWorkflow, ProbeInput{})
	page := resultOf[ProbePage](w)
	require.Equal(t, []string{"01", "02", "03"}, probedNames(page))
	assert.Equal(t, activities.Failed, page.Servers[1].Result)
	assert.Equal(t, "the catalog is locked", page.Servers[1].Problems[0].Detail)
	assert.Len(t, inputs[activities.ProbeServerInput](w), 3, "a final error is not tried again")
}

// TestProbeWhoseWorkerDied: that is no fault of the server, so it is probed once more.
func TestProbeWhoseWorkerDied(t *testing.T) {
	w := manyServers(t, 1)
	on(w, func(info activity.Info, _ activities.ProbeServerInput) error {
		if info.Attempt == 1 {
			return retryable("heartbeat timeout")
		}
		return nil
	})
	w.execute(ProbeID("k", 1), ProbeWorkflow, ProbeInput{})
	assert.Equal(t, activities.Success, resultOf[ProbePage](w).Servers[0].Result)
}

func TestProbeOfUnknownServers(t *testing.T) {
	w := manyServers(t, 1)
	on(w, func(activity.Info, activities.PlanProbeInput) error { return final(activities.UnknownServer) })
	w.execute(ProbeID("k", 1), ProbeWorkflow, ProbeInput{Servers: []string{"o1"}})
	reason, _ := activities.ReasonOf(w.env.GetWorkflowError())
	assert.Equal(t, "unknown_server", reason)
}

func TestProbeCancelled(t *testing.T) {
	w := manyServers(t, probePage)
	on(w, func(activity.Info, activities.ProbeServerInput) error { return slowly(time.Minute, nil) })
	w.env.RegisterDelayedCallback(w.env.CancelWorkflow, 30*time.Second)
	w.execute(ProbeID("k", 1), ProbeWorkflow, ProbeInput{})
	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), w.env.GetWorkflowError())
	assert.Len(t, inputs[activities.ProbeServerInput](w), maxProbes, "nothing begins after a cancellation")
}

func TestProbeProgress(t *testing.T) {
	w := manyServers(t, probePage+1)
	on(w, func(_ activity.Info, in activities.ProbeServerInput) error {
		if in.Server == "01" {
			return slowly(time.Second, final("DiskFull"))
		}
		return slowly(time.Minute, nil)
	})
	var during Progress
	w.env.RegisterDelayedCallback(func() {
		answer, err := w.env.QueryWorkflow(ProgressQuery, 0)
		require.NoError(t, err)
		require.NoError(t, answer.Get(&during))
	}, 30*time.Second)
	w.execute(ProbeID("k", 1), ProbeWorkflow, ProbeInput{})
	require.NoError(t, w.env.GetWorkflowError())
	assert.Equal(t, Progress{
		State: StateProbing, Servers: probePage + 1, Done: 1, Total: probePage, Position: 1,
		Finished: []Brief{{Server: "01", Result: activities.Failed, Reason: "disk_full", Detail: "no: DiskFull"}},
	}, during)
	answer, err := w.env.QueryWorkflow(ProgressQuery, 1)
	require.NoError(t, err)
	var after Progress
	require.NoError(t, answer.Get(&after))
	assert.Equal(t, StateDone, after.State)
	assert.Len(t, after.Finished, probePage-1)
}
