package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
)

// progress is the part of the answer to the query of the same name that is looked at here.
type progress struct {
	State string `json:"state"`
	Done  int    `json:"done"`
	Total int    `json:"total"`
}

func (s *stack) progress(workflow string) progress {
	var p progress
	if answer, err := s.temporal.QueryWorkflow(s.t.Context(), workflow, "", "progress"); err == nil {
		_ = answer.Get(&p) // no answer is the zero value, which nobody waits for
	}
	return p
}

var talonState = temporal.NewSearchAttributeKeyKeyword("TalonState")

// state is the search attribute TalonState of a workflow.
func (s *stack) state(workflow string) string {
	description, err := s.temporal.DescribeWorkflow(s.t.Context(), workflow, "")
	if err != nil {
		return ""
	}
	state, _ := description.TypedSearchAttributes.GetKeyword(talonState)
	return state
}

// TestEagleAway: collections end without eagle; the decompression says what it waits for, where people look, and is done as
// soon as an eagle is there.
func TestEagleAway(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("x.csv", text("x", 1000))
	a.putZip("p.zip", member("m.txt", text("m", 1000)))
	s.configure("")
	s.watch()
	s.startTiger()

	var started struct {
		Run string `json:"run"`
	}
	s.starter("collect", "-o", "json").code(complete).decode(&started)
	require.NoError(t, s.temporal.GetWorkflow(t.Context(), started.Run, "").Get(t.Context(), nil), "the collection ends without eagle")
	decompression := "decompress/" + started.Run[len("collect/"):] + "/a"

	waiting := "waiting-for-eagle"
	s.eventually("the query to say that eagle is away", func() bool { return s.progress(decompression).State == waiting })
	assert.Equal(t, progress{State: waiting, Total: 1}, s.progress(decompression))
	s.eventually("TalonState", func() bool { return s.state(decompression) == waiting })
	s.eventually("the Web UI's list", func() bool { return s.workflows("TalonState = 'waiting-for-eagle'") == 1 })
	var result runResult
	s.starter("result", started.Run, "-o", "json").code(partly).decode(&result)
	assert.Equal(t, "pending", result.Decompress.Archives["a/p.zip"].Reason)
	for name, row := range s.collect(complete).Servers {
		assert.Zero(t, row.NumberOfFiles, "%s: the next collection is free to run", name)
	}

	s.startEagle()
	require.NoError(t, s.temporal.GetWorkflow(t.Context(), decompression, "").Get(t.Context(), nil))
	s.starter("result", started.Run, "-o", "json").code(complete).decode(&result)
	assert.Equal(t, "eagle-host", result.Decompress.Archives["a/p.zip"].Host)
	assert.Equal(t, layer{Files: 1}, result.Decompress.Archives["a/p.zip"].Layers["a/p.zip"])
	s.eventually("TalonState", func() bool { return s.state(decompression) == "done" })
	s.requireWarehouse()
	s.requireFiles(result)
}
