package e2e

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

// TestTigerKilledInALargeFile kills the tiger worker with SIGKILL in the middle of a large transfer, once a heartbeat has told
// of what is there: a new worker continues the file behind that.
func TestTigerKilledInALargeFile(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addFake("a", ftptest.Options{})
	a.put("large.bin", text("large", largeSize))
	a.onFile("large.bin", once(ftptest.Stall(largeCut, nil)))
	s.configure("collect: {small_file: 256KiB}")
	s.watch()
	s.start()

	run := s.beginCollect()
	s.eventually("a heartbeat with what is staged", func() bool { return s.checkpoint("server/a") == largeCut })
	require.NoError(t, s.tiger.Kill())
	require.NotEmpty(t, s.staged(), "a part of the file was left behind")
	s.startTiger()

	result := run.result(complete)
	s.requireWarehouse()
	s.requireFiles(result)
	offsets := a.offsets("large.bin")
	require.Len(t, offsets, 2)
	assert.Zero(t, offsets[0])
	assert.Greater(t, offsets[1], int64(largeCut/2), "REST was used")
	requireNoSessions(t, a)
	s.requireNothingNew()
}

// checkpoint is how many staged bytes the heartbeats of a workflow's pending activity tell of.
func (s *stack) checkpoint(workflow string) int {
	description, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), workflow, "")
	if err != nil {
		return 0 // it has not begun
	}
	for _, activity := range description.GetPendingActivities() {
		for _, payload := range activity.GetHeartbeatDetails().GetPayloads() {
			var checkpoint struct {
				Staged struct {
					Size int `json:"size"`
				} `json:"staged"`
			}
			if json.Unmarshal(payload.GetData(), &checkpoint) == nil {
				return checkpoint.Staged.Size
			}
		}
	}
	return 0
}
