package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// schedule is the JSON of `starter schedule describe -o json`.
type schedule struct {
	ID      string        `json:"id"`
	Every   time.Duration `json:"every_ns"`
	Paused  bool          `json:"paused"`
	Note    string        `json:"note"`
	Next    time.Time     `json:"next"`
	LastRun string        `json:"last_run"`
	Running []string      `json:"running"`
	Actions int           `json:"actions"`
	Overlap string        `json:"overlap"`
}

func (s *stack) describeSchedule() schedule {
	s.t.Helper()
	var answer schedule
	s.starter("schedule", "describe", "-o", "json").code(complete).decode(&answer)
	return answer
}

// TestSchedule takes a schedule through its life. Its interval is so long that only trigger starts a run.
func TestSchedule(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("x.csv", text("x", 100))
	s.configure("schedule: {every: 2000h}")
	s.start()

	none := s.starter("schedule", "describe").code(unusable)
	assert.Contains(t, none.stderr.String(), "starter schedule create")
	s.starter("schedule", "create", "--every", "1000h").code(complete)
	s.starter("schedule", "create", "--config", s.config).code(complete)
	made := s.describeSchedule()
	assert.Equal(t, 2000*time.Hour, made.Every, "the second create updates")
	assert.False(t, made.Paused)
	assert.False(t, made.Next.IsZero())
	assert.Equal(t, "Skip", made.Overlap)

	s.starter("schedule", "pause", "--note", "holiday").code(complete)
	paused := s.describeSchedule()
	assert.True(t, paused.Paused)
	assert.Equal(t, "holiday", paused.Note)
	assert.True(t, paused.Next.IsZero())
	s.starter("schedule", "unpause").code(complete)
	assert.False(t, s.describeSchedule().Paused)

	s.starter("schedule", "trigger").code(complete)
	var last string
	s.eventually("the triggered run", func() bool {
		last = s.describeSchedule().LastRun
		return last != ""
	})
	require.NoError(t, s.temporal.GetWorkflow(t.Context(), last, "").Get(t.Context(), nil))
	var result runResult
	s.starter("result", last, "-o", "json").code(complete).decode(&result)
	assert.Equal(t, last, result.Run)
	s.requireFiles(result)
	s.requireWarehouse()

	s.starter("schedule", "delete").code(complete)
	s.starter("schedule", "describe").code(unusable)
	s.starter("schedule", "trigger").code(unusable)
}
