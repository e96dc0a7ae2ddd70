package workflows

import (
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// VerifyWorkflow compares the warehouses with the catalog, a page of files at a time, and continues as new after each. With Fetch it then has what is
// damaged or missing collected and extracted again, by a collection and decompressions of their own that go on when it has ended.
func VerifyWorkflow(ctx workflow.Context, in VerifyInput) (VerifyResult, error) {
	v := &verification{VerifyInput: in, id: workflow.GetInfo(ctx).WorkflowExecution.ID, state: StateVerifying}
	if v.Start.IsZero() {
		v.Start = workflow.Now(ctx)
	}
	if v.Verified {
		v.state = StateMending
	}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, v.progress); err != nil {
		return VerifyResult{}, err
	}
	v.show(ctx)
	if v.Verified {
		return v.mend(ctx)
	}
	return v.read(ctx)
}

// verification is the state of one page of VerifyWorkflow.
type verification struct {
	VerifyInput
	id    string
	state string
}

func (v *verification) progress(int) (Progress, error) {
	return Progress{State: v.state, Done: v.Counts.Checked, Total: max(v.Total, v.Counts.Checked)}, nil
}

// read checks a page.
func (v *verification) read(ctx workflow.Context) (VerifyResult, error) {
	var page activities.VerifyPage
	in := activities.VerifyInput{Verification: v.id, VerifyOptions: v.VerifyOptions, From: v.From}
	summary := fmt.Sprintf("verify, %d files so far", v.Counts.Checked)
	if err := workflow.ExecuteActivity(reading(ctx, summary), tiger.VerifyFiles, in).Get(ctx, &page); err != nil {
		return VerifyResult{}, err
	}
	v.Counts.Add(page.Counts)
	v.Total = max(v.Total, page.Total)
	v.From, v.Known = page.Next, page.SearchAttributes
	switch {
	case !page.Done:
		return v.goOn(ctx)
	case v.Fetch:
		v.Verified = true
		return v.goOn(ctx)
	}
	return v.end(ctx)
}

func (v *verification) goOn(ctx workflow.Context) (VerifyResult, error) {
	if err := ctx.Err(); err != nil {
		return VerifyResult{}, err
	}
	return VerifyResult{}, workflow.NewContinueAsNewError(ctx, VerifyWorkflow, v.VerifyInput)
}

// mend has a page of findings mended. After the last one it starts what fetches and extracts the files again.
func (v *verification) mend(ctx workflow.Context) (VerifyResult, error) {
	key := strings.TrimPrefix(v.id, verifyPrefix)
	var page activities.MendPage
	in := activities.MendInput{
		Verification: v.id, Decompression: OwnDecompressID(key + "/mend"), After: v.After, Now: v.Start,
		Extractions: v.Extractions,
	}
	if err := workflow.ExecuteActivity(reading(ctx, "begin to mend what was found"), tiger.MendFindings, in).Get(ctx, &page); err != nil {
		return VerifyResult{}, err
	}
	v.take(page)
	v.Extractions = page.Extractions
	if v.After = page.Next; v.After != 0 {
		return v.goOn(ctx)
	}
	for _, x := range page.Extractions { // not before all that is damaged is set aside: what lies in the way of a file keeps it out
		if err := v.extract(ctx, x, page.Deadline); err != nil {
			return VerifyResult{}, err
		}
	}
	if len(v.Mended.Servers) > 0 || v.Mended.AllServers {
		if err := v.collect(ctx, CollectID(key)); err != nil {
			return VerifyResult{}, err
		}
	}
	return v.end(ctx)
}

// take adds what was begun about a page of findings.
func (v *verification) take(page activities.MendPage) {
	m := &v.Mended
	m.Aside += page.Aside
	m.Forgotten += page.Forgotten
	m.Again += page.Again
	m.Hopeless += page.Hopeless
	m.Servers = append(slices.Clone(m.Servers), page.Servers...)
	slices.Sort(m.Servers)
	m.Servers = slices.Compact(m.Servers)
	if len(m.Servers) > maxFetched || m.AllServers {
		m.Servers, m.AllServers = nil, true
	}
}

// extract starts a decompression of what is to be extracted again. It goes on by itself: eagle may be away for days.
func (v *verification) extract(ctx workflow.Context, x activities.MendExtraction, deadline time.Duration) error {
	in := DecompressInput{ZipDir: x.ZipDir, UnzipDir: x.UnzipDir, Deadline: deadline, SearchAttributes: v.Known}
	options := abandoned(ctx, x.ID, "extract again what is damaged or missing in "+x.UnzipDir)
	if err := workflow.ExecuteChildWorkflow(options, DecompressWorkflow, in).GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return fmt.Errorf("start %s: %w", x.ID, err)
	}
	v.Mended.Decompressions = append(v.Mended.Decompressions, x.ID)
	return nil
}

// collect starts a collection of the servers whose files are to be fetched again.
func (v *verification) collect(ctx workflow.Context, id string) error {
	options := abandoned(ctx, id, "collect again what "+v.id+" found damaged or missing")
	in := CollectInput{Servers: v.Mended.Servers}
	if err := workflow.ExecuteChildWorkflow(options, CollectWorkflow, in).GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		return fmt.Errorf("start %s: %w", id, err)
	}
	v.Mended.Collection = id
	return nil
}

// abandoned are the options of a child that goes on when its parent has ended.
func abandoned(ctx workflow.Context, id, summary string) workflow.Context {
	return workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID: id, ParentClosePolicy: enumspb.PARENT_CLOSE_POLICY_ABANDON, StaticSummary: Summary(summary), StaticDetails: Details(Quote(summary)),
		Memo: map[string]any{"run": workflow.GetInfo(ctx).WorkflowExecution.ID},
	})
}

func (v *verification) end(ctx workflow.Context) (VerifyResult, error) {
	v.state = StateDone
	result := VerifyResult{Verification: v.id, Result: v.Counts.Code(), Counts: v.Counts, Start: v.Start, End: workflow.Now(ctx)}
	if v.Fetch {
		result.Mended = &v.Mended
	}
	v.show(ctx)
	setOutcome(ctx, v.Known, result.Result, v.Counts.Intact, v.Counts.Checked-v.Counts.Intact)
	return result, nil
}

// show tells people where the verification stands.
func (v *verification) show(ctx workflow.Context) {
	c, m := v.Counts, v.Mended
	var d details
	d.add("**%s**: %d of %s checked, %d intact%s", v.state, c.Checked, count(max(v.Total, c.Checked), "file"), c.Intact, and(tally(
		quantity{c.Damaged, "damaged"}, quantity{c.Missing, "missing"}, quantity{c.Unreadable, "unreadable"}, quantity{c.Unknown, "unknown to the catalog"},
		quantity{c.Stuck, "stuck before extraction"})))
	if mended := tally(quantity{m.Aside, "set aside"}, quantity{m.Forgotten, "to be collected again"}, quantity{m.Again, "to be extracted again"},
		quantity{m.Hopeless, "not to be mended"}); mended != "" {
		d.add("%s", mended)
	}
	d.add("What was found: `starter verify --show %s`", v.id)
	d.show(ctx)
}

// FindingsWorkflow returns a page of what a verification found. It exists because the catalog is on tiger and the starter may be anywhere.
func FindingsWorkflow(ctx workflow.Context, in activities.FindingsInput) (activities.FindingsPage, error) {
	var page activities.FindingsPage
	err := cheaply(ctx, tigerCall, "findings of "+in.Verification, tiger.ReadFindings, in, &page)
	return page, err
}
