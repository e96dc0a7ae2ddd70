package workflows

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// verify finds ten files on each of three pages, one of each damaged.
func (w *world) verify(in activities.VerifyInput) activities.VerifyPage {
	page := activities.VerifyPage{Counts: activities.VerifyCounts{Checked: 10, Intact: 9, Damaged: 1}}
	if in.From.ID == 0 {
		page.Total = 30
	}
	page.Next.ID = in.From.ID + 1
	page.Done = page.Next.ID == 3
	return page
}

// mend has two pages of findings: a server each, and one extraction that both take part in.
func (w *world) mend(in activities.MendInput) activities.MendPage {
	page := activities.MendPage{Aside: 2, Forgotten: 1, Again: 1, Deadline: time.Hour, Servers: []string{fmt.Sprint("s", in.After)}}
	page.Extractions = in.Extractions
	if in.After > 7 { // nothing more
		return activities.MendPage{}
	}
	if in.After == 0 {
		page.Next = 7
		page.Extractions = []activities.MendExtraction{{ZipDir: "/data/zip", UnzipDir: "/data/unzip", ID: in.Decompression + "/1"}}
	}
	return page
}

// verified runs a verification with all its pages.
func (w *world) verified(in VerifyInput) VerifyResult {
	w.t.Helper()
	for range 10 {
		w.execute(VerifyID("k"), VerifyWorkflow, in)
		var next *workflow.ContinueAsNewError
		if !errors.As(w.env.GetWorkflowError(), &next) {
			return resultOf[VerifyResult](w)
		}
		in = VerifyInput{}
		require.NoError(w.t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
		w.newEnv()
	}
	require.Fail(w.t, "it does not end")
	return VerifyResult{}
}

// TestVerifyInPages: each page is a history of its own, and nothing is counted twice or mended unasked.
func TestVerifyInPages(t *testing.T) {
	w := newWorld(t)
	options := activities.VerifyOptions{Area: activities.AreaZip, Rate: 5}
	result := w.verified(VerifyInput{VerifyOptions: options})
	assert.Equal(t, activities.VerifyCounts{Checked: 30, Intact: 27, Damaged: 3}, result.Counts)
	assert.Equal(t, activities.Partial, result.Result)
	assert.Nil(t, result.Mended)
	pages := inputs[activities.VerifyInput](w)
	require.Len(t, pages, 3)
	for i, page := range pages {
		assert.Equal(t, activities.VerifyInput{Verification: "verify/k", VerifyOptions: options, From: activities.VerifyCursor{ID: int64(i)}}, page)
	}
	assert.Empty(t, inputs[activities.MendInput](w))
}

// TestVerifyAndFetch: what extracts and collects again is started once, after everything damaged is out of the way.
func TestVerifyAndFetch(t *testing.T) {
	w := newWorld(t)
	w.add("s0", 1)
	w.add("s7", 1)
	var started []string
	w.children(func(info *workflow.Info, _ converter.EncodedValues) {
		started = append(started, info.WorkflowExecution.ID)
	})
	result := w.verified(VerifyInput{Fetch: true})
	assert.Equal(t, &Mended{
		Aside: 4, Forgotten: 2, Again: 2, Servers: []string{"s0", "s7"}, Collection: "collect/k", Decompressions: []string{"decompress/k/mend/1"},
	}, result.Mended)
	assert.Equal(t, activities.Partial, result.Result, "of what was found")
	mended := inputs[activities.MendInput](w)
	require.Len(t, mended, 2)
	assert.Equal(t, mended[0].Now, mended[1].Now)
	assert.Len(t, mended[1].Extractions, 1)
	assert.Equal(t, "collect/k", inputs[activities.PlanInput](w)[0].Run)
	assert.Equal(t, "decompress/k/mend/1", inputs[activities.ExtractionInput](w)[0].Decompression)
	o := w.options.children["CollectWorkflow"]
	assert.Equal(t, enumspb.PARENT_CLOSE_POLICY_ABANDON, o.ParentClosePolicy)
	assert.NotEmpty(t, o.StaticSummary)
	assert.NotEmpty(t, o.StaticDetails)
}

func TestVerifyCancelled(t *testing.T) {
	w := newWorld(t)
	on(w, func(activity.Info, activities.VerifyInput) error { return slowly(time.Hour, nil) })
	var during Progress
	w.env.RegisterDelayedCallback(func() {
		answer, err := w.env.QueryWorkflow(ProgressQuery, 0)
		require.NoError(t, err)
		require.NoError(t, answer.Get(&during))
		w.env.CancelWorkflow()
	}, time.Minute)
	w.execute(VerifyID("k"), VerifyWorkflow, VerifyInput{Counts: activities.VerifyCounts{Checked: 10}, Total: 30, From: activities.VerifyCursor{ID: 1}})
	assert.True(t, temporal.IsCanceledError(w.env.GetWorkflowError()), w.env.GetWorkflowError())
	assert.Equal(t, Progress{State: StateVerifying, Done: 10, Total: 30}, during)
}

// TestVerifyWhoseServersAreMany: a payload has no room for the names of all.
func TestVerifyWhoseServersAreMany(t *testing.T) {
	v := &verification{}
	for i := range maxFetched {
		v.take(activities.MendPage{Servers: []string{fmt.Sprintf("%04d", i)}})
	}
	assert.Len(t, v.Mended.Servers, maxFetched)
	v.take(activities.MendPage{Servers: []string{"0001", "x"}})
	assert.True(t, v.Mended.AllServers)
	v.take(activities.MendPage{Servers: []string{"y"}})
	assert.Empty(t, v.Mended.Servers)
}
