package activities

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOrphans: a run takes care of archives whose decompression nobody is at work on, but not of those that are waited for or given up.
func TestOrphans(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.zip", zipOf("a.txt", "alpha"))
	s.put("b.zip", zipOf("b.txt", "beta"))
	do(s, s.tiger.PlanRun, PlanInput{Run: run1})
	require.Equal(t, 2, s.collect(run1).Archives)
	decompression := decompressionOf(run1)
	assert.Empty(t, do(s, s.tiger.PlanRun, PlanInput{Run: run2}).Orphans, "it is running")
	s.idle("server/" + branch)
	assert.Empty(t, do(s, s.tiger.PlanRun, PlanInput{Run: run2}).Orphans, "it is about to be started")
	s.idle()
	assert.Equal(t, []Orphan{{
		ID: decompression, Run: run1, Server: branch, ZipDir: s.tiger.Warehouse.ZipDir(), UnzipDir: s.tiger.Warehouse.UnzipDir(), Archives: 2,
	}}, do(s, s.tiger.PlanRun, PlanInput{Run: run2}).Orphans)
	assert.Empty(t, do(s, s.tiger.PlanRun, PlanInput{Run: run2, From: "a"}).Orphans, "the whole run does it, not each of its parts")

	conclude(s, s.tiger.CloseDecompression, CloseDecompressionInput{Decompression: decompression, Reason: ReasonCancelled, Detail: "by me"})
	assert.Empty(t, do(s, s.tiger.PlanRun, PlanInput{Run: run2}).Orphans, "what was cancelled stays so")
	archives := s.report(run1).Archives
	require.Len(t, archives, 2)
	for _, archive := range archives {
		assert.Equal(t, []any{true, Failed, ReasonCancelled, "by me"}, []any{archive.Done, archive.Result, archive.Reason, archive.Detail})
		assert.False(t, archive.End.IsZero())
	}
}
