package activities

import (
	"context"
	"strings"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
)

// Orphan is a decompression, of a collection or a verification, that ended, or never began, before all of its archives had an outcome: somebody terminated it, or what
// should have started it.
type Orphan struct {
	ID       string `json:"id"`            // workflow ID
	Run      string `json:"run,omitempty"` // the collection that it belongs to; "" if it mends what a verification found
	Server   string `json:"server"`
	ZipDir   string `json:"zip_dir"`
	UnzipDir string `json:"unzip_dir"`
	Archives int    `json:"archives"` // without an outcome
}

// maxCounted bounds how many archives of an orphan are counted, which is for people.
const maxCounted = 10_000

// maxOrphans bounds what one run takes care of; the next one goes on.
const maxOrphans = 50

// orphans finds the decompressions that nobody is at work on.
func (t *Tiger) orphans(ctx context.Context) ([]Orphan, error) {
	open, err := t.Catalog.OpenDecompressions(ctx)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	running, err := t.runningDecompressions(ctx)
	if err != nil {
		return nil, err
	}
	var orphans []Orphan
	for _, id := range open {
		if running[id] || len(orphans) == maxOrphans {
			continue
		}
		orphan, ok, err := t.orphan(ctx, id)
		if err != nil {
			return nil, err
		}
		if ok {
			orphans = append(orphans, orphan)
		}
	}
	return orphans, nil
}

// orphan looks at one decompression that did not seem to run. One of a directory is its caller's to repeat.
func (t *Tiger) orphan(ctx context.Context, id string) (orphan Orphan, ok bool, err error) {
	pending, err := t.Catalog.PendingArchives(ctx, id, 0, maxCounted)
	if err != nil || len(pending) == 0 || pending[0].Server == "" {
		return orphan, false, err
	}
	if awaited, err := t.awaited(ctx, id, pending[0].Run); err != nil || awaited {
		return orphan, false, err
	}
	if key, _, mends := strings.Cut(strings.TrimPrefix(id, "decompress/"), "/mend/"); mends {
		if verifying, err := t.isRunning(ctx, "verify/"+key); err != nil || verifying { // it starts them when nothing damaged is in their way any more
			return orphan, false, err
		}
	}
	first := pending[0]
	return Orphan{
		ID: id, Run: first.Run, Server: first.Server, ZipDir: first.ZipDir, UnzipDir: first.UnzipDir, Archives: len(pending),
	}, true, nil
}

// runningDecompressions are those that the list of workflows knows, which may lag behind a moment.
func (t *Tiger) runningDecompressions(ctx context.Context) (map[string]bool, error) {
	running := map[string]bool{}
	if t.running != nil { // a test's word is asked one by one
		return running, nil
	}
	request := &workflowservice.ListWorkflowExecutionsRequest{PageSize: 1000, Query: "WorkflowType = 'DecompressWorkflow' AND ExecutionStatus = 'Running'"}
	for {
		page, err := activity.GetClient(ctx).ListWorkflow(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, execution := range page.GetExecutions() {
			running[execution.GetExecution().GetWorkflowId()] = true
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return running, nil
		}
	}
}
