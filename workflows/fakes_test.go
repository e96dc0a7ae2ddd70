package workflows

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"talon/activities"
)

// Sizes on both sides of the limit for local activities.
const (
	smallFile = 1000
	small     = 100
	large     = smallFile + 1
)

// world is a model of servers, catalog and warehouses behind the activities of both roles: what they would find, and what they
// leave behind. Time is the workflow's: an activity takes none unless a fault says so (slowly).
type world struct {
	t       *testing.T
	env     *testsuite.TestWorkflowEnvironment
	plan    activities.Plan // settings of every run; the servers are those of the model
	batch   int             // archives in a batch
	batches int             // batches on a page
	eagle   bool            // an eagle polls its queue
	options *options        // that the workflows asked for

	mu       sync.Mutex
	order    []string // of the servers
	servers  map[string]*server
	archives map[string][]activities.ArchiveRef // by the workflow ID of their decompression
	lastID   int64
	loses    map[int64]int // how often the stage loses a download before its commit
	damages  map[int64]int // how often it damages a delivery before its seal
	faults   []func(info activity.Info, in any) error
	calls    []call
	busy     map[string]int // what runs at the same moment
	peak     map[string]int
	sealed   map[int64]string // reasons by archive
	rows     map[string]activities.ServerResult
}

// server is one FTP server and its books in the current run.
type server struct {
	connections, unchanged int
	unstable               int // listings that ask for another one, and hold nothing yet
	warnings               []string
	shrank                 string
	files                  []*file
}

type file struct {
	activities.FileRef
	state, reason string // state is "" while it is pending
}

// call is one execution of an activity, local or not.
type call struct {
	activity.Info
	in any
}

func newWorld(t *testing.T) *world {
	w := &world{
		t: t, batch: 64, batches: 10, eagle: true,
		plan: activities.Plan{Window: 128, Deadline: 12 * time.Minute, Settings: activities.ServerSettings{
			ZipDir: "/data/zip", UnzipDir: "/data/unzip", PageFiles: 500, SmallFile: smallFile, ExtractDeadline: 48 * time.Hour,
		}},
		options: newOptions(),
		servers: map[string]*server{}, archives: map[string][]activities.ArchiveRef{}, loses: map[int64]int{}, damages: map[int64]int{},
		busy: map[string]int{}, peak: map[string]int{}, sealed: map[int64]string{}, rows: map[string]activities.ServerResult{},
	}
	w.newEnv()
	return w
}

// newEnv gives the world a fresh environment, which runs one workflow. As in production, each activity is known on its role's queue only.
func (w *world) newEnv() {
	suite := &testsuite.WorkflowTestSuite{}
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	w.env = suite.NewTestWorkflowEnvironment()
	w.env.SetTestTimeout(30 * time.Second)
	w.env.SetWorkerOptions(worker.Options{
		DeadlockDetectionTimeout: 30 * time.Second, Interceptors: []interceptor.WorkerInterceptor{w.options},
	})
	Register(w.env)
	t, e := &fakeTiger{w}, &fakeEagle{w}
	w.env.RegisterActivity(t)
	w.env.RegisterActivity(e)
	w.env.SetActivityTaskQueue("tiger", t.PlanRun, t.ListServer, t.DownloadFile, t.CommitServer, t.CloseRun, t.FindEagle,
		t.PlanExtraction, t.SealArchives, t.CloseDecompression, t.ReadReport, t.PlanProbe, t.ProbeServer,
		t.ForgetFiles, t.VerifyFiles, t.MendFindings, t.ReadFindings, t.CleanWarehouse)
	w.env.SetActivityTaskQueue("eagle", e.ExtractArchives)
}

// execute runs a workflow, and those it leaves behind, to their ends.
func (w *world) execute(id string, workflow any, input ...any) {
	w.t.Helper()
	w.env.SetStartWorkflowOptions(client.StartWorkflowOptions{ID: id, TaskQueue: "tiger"})
	w.env.ExecuteWorkflow(workflow, input...)
	require.True(w.t, w.env.IsWorkflowCompleted())
	for _, c := range w.calls {
		w.checkPolicy(c)
	}
}

// checkPolicy holds for every call of every test: extraction goes to eagle and nowhere else, all other work to tiger, and what is on a
// queue is bounded and watched.
func (w *world) checkPolicy(c call) {
	w.t.Helper()
	name := c.ActivityType.Name
	if c.IsLocalActivity {
		assert.NotEqual(w.t, "ExtractArchives", name, "ran in tiger's worker")
		return
	}
	queue := map[bool]string{true: "eagle", false: "tiger"}[name == "ExtractArchives"]
	assert.Equal(w.t, queue, c.TaskQueue, "queue of %s", name)
	assert.Positive(w.t, c.StartToCloseTimeout, "start to close of %s", name)
	assert.Positive(w.t, c.ScheduleToCloseTimeout, "schedule to close of %s", name)
	assert.GreaterOrEqual(w.t, c.ScheduleToCloseTimeout, c.StartToCloseTimeout, "%s", name)
	assert.Equal(w.t, heartbeat, c.HeartbeatTimeout, "heartbeat of %s", name)
}

// resultOf returns the result of the workflow that was executed.
func resultOf[T any](w *world) T {
	w.t.Helper()
	var result T
	require.NoError(w.t, w.env.GetWorkflowError())
	require.NoError(w.t, w.env.GetWorkflowResult(&result))
	return result
}

// add adds a server with files that are new, by name and size.
func (w *world) add(name string, connections int, files ...activities.FileRef) {
	s := &server{connections: connections}
	for _, ref := range files {
		w.lastID++
		ref.ID = w.lastID
		s.files = append(s.files, &file{FileRef: ref})
	}
	w.order = append(w.order, name)
	w.servers[name] = s
}

func sized(size int64, names ...string) []activities.FileRef {
	refs := make([]activities.FileRef, len(names))
	for i, name := range names {
		refs[i] = activities.FileRef{Name: name, Size: size}
	}
	return refs
}

// numbered returns n files: 01.csv, 02.csv, …
func numbered(n int, size int64) []activities.FileRef {
	var names []string
	for i := range n {
		names = append(names, fmt.Sprintf("%02d.csv", i+1))
	}
	return sized(size, names...)
}

// serverInput is what a CollectWorkflow hands to the workflow of a server.
func (w *world) serverInput(name string) ServerInput {
	return ServerInput{Run: CollectID("k"), Server: name, Connections: w.servers[name].connections, Settings: w.plan.Settings}
}

func (w *world) file(server, name string) *file {
	for _, f := range w.servers[server].files {
		if f.Name == name {
			return f
		}
	}
	w.t.Fatalf("no file %s on %s", name, server)
	return nil
}

// on asks f before an activity with an input of type T does its work; an error becomes the activity's, one from slowly delays it.
func on[T any](w *world, f func(info activity.Info, in T) error) {
	w.faults = append(w.faults, func(info activity.Info, in any) error {
		if typed, ok := in.(T); ok {
			return f(info, typed)
		}
		return nil
	})
}

// slow makes an activity on a queue take workflow time, then do its work, or fail with err.
type slow struct {
	takes time.Duration
	err   error
}

func (s *slow) Error() string { return "takes " + s.takes.String() }

func slowly(takes time.Duration, err error) error { return &slow{takes, err} }

func final(name string) error {
	return temporal.NewNonRetryableApplicationError("no: "+name, name, nil)
}

func retryable(name string) error {
	return temporal.NewApplicationError("not now: "+name, name)
}

// work is one activity call: noted, then failing, or taking its time, or doing what it does.
func work[In, Out any](ctx context.Context, w *world, in In, do func(In) Out) (Out, error) {
	var none Out
	info := activity.GetInfo(ctx)
	err := w.begin(info, in)
	var delay *slow
	switch {
	case errors.As(err, &delay):
		w.env.RegisterDelayedCallback(func() {
			w.end(in)
			if delay.err != nil {
				w.complete(info, nil, delay.err)
			} else {
				w.complete(info, do(in), nil)
			}
		}, delay.takes)
		return none, activity.ErrResultPending
	case err != nil:
		w.end(in)
		return none, err
	}
	defer w.end(in)
	return do(in), nil
}

// complete ends an activity that took its time. The environment wakes only the root workflow; the signal, which nobody reads, wakes the
// one that waits for the activity.
func (w *world) complete(info activity.Info, result any, err error) {
	assert.NoError(w.t, w.env.CompleteActivity(info.TaskToken, result, err))
	_ = w.env.SignalWorkflowByID(info.WorkflowExecution.ID, "wake up", nil) // the workflow may have been cancelled meanwhile
}

func (w *world) begin(info activity.Info, in any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls = append(w.calls, call{info, in})
	key := gauge(in)
	w.busy[key]++
	w.peak[key] = max(w.peak[key], w.busy[key])
	for _, fault := range w.faults {
		if err := fault(info, in); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) end(in any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.busy[gauge(in)]--
}

// gauge names what is counted while it runs: the downloads of a server, and each other kind of activity.
func gauge(in any) string {
	if d, ok := in.(activities.DownloadInput); ok {
		return "downloads from " + d.Server
	}
	return fmt.Sprintf("%T", in)
}

// inputs returns the inputs of type T in the order of the calls.
func inputs[T any](w *world) []T {
	var all []T
	for _, c := range w.calls {
		if in, ok := c.in.(T); ok {
			all = append(all, in)
		}
	}
	return all
}

// attempts tells how a file's download was tried: "local" or the attempt on a queue.
func (w *world) attempts(name string) []string {
	var all []string
	for _, c := range w.calls {
		if in, ok := c.in.(activities.DownloadInput); !ok || in.Name != name {
			continue
		}
		if c.IsLocalActivity {
			all = append(all, "local")
		} else {
			all = append(all, fmt.Sprintf("%s %d", c.TaskQueue, c.Attempt))
		}
	}
	return all
}

// fakeTiger and fakeEagle have the methods of the production structs, so that they are registered under the same names.
type (
	fakeTiger struct{ w *world }
	fakeEagle struct{ w *world }
)

func (f *fakeTiger) PlanRun(ctx context.Context, in activities.PlanInput) (activities.Plan, error) {
	return work(ctx, f.w, in, f.w.planRun)
}

func (w *world) planRun(in activities.PlanInput) activities.Plan {
	plan := w.plan
	if in.From != "" || in.Until != "" {
		plan.Shards = nil
	}
	for _, name := range w.order {
		wanted := len(in.Servers) == 0 || slices.Contains(in.Servers, name)
		if wanted && len(plan.Shards) == 0 && name >= in.From && (in.Until == "" || name < in.Until) {
			plan.Servers = append(plan.Servers, activities.PlannedServer{Name: name, Connections: w.servers[name].connections})
		}
	}
	return plan
}

func (f *fakeTiger) ListServer(ctx context.Context, in activities.ListInput) (activities.FilePage, error) {
	return work(ctx, f.w, in, f.w.list)
}

func (w *world) list(in activities.ListInput) activities.FilePage {
	w.mu.Lock()
	defer w.mu.Unlock()
	if in.After == 0 && in.Try > 0 {
		w.servers[in.Server].planAgain()
		delete(w.rows, in.Server)
	}
	page := activities.FilePage{Books: w.servers[in.Server].books()}
	if in.After == 0 {
		page.Leftovers = 1
		page.Warnings, page.Shrank = w.servers[in.Server].warnings, w.servers[in.Server].shrank
		if w.servers[in.Server].unstable > 0 {
			w.servers[in.Server].unstable--
			page.Recheck = time.Minute
			return page
		}
	}
	for _, f := range w.servers[in.Server].files {
		if f.ID <= in.After || f.state != "" {
			continue
		}
		if len(page.Files) == in.PageFiles {
			page.More = true
			break
		}
		page.Files = append(page.Files, f.FileRef)
	}
	return page
}

// planAgain is what a listing does to files that an earlier one of the run has entered: those that were not collected are pending again.
func (s *server) planAgain() {
	for _, f := range s.files {
		if f.state != "collected" {
			f.state, f.reason = "", ""
		}
	}
}

func (s *server) books() activities.Books {
	books := activities.Books{Listed: s.unchanged + len(s.files), Unchanged: s.unchanged}
	for _, f := range s.files {
		switch f.state {
		case "":
			books.Pending++
		case "collected":
			books.Collected++
			books.Bytes += f.Size
		case "deferred":
			books.Deferred++
		case "failed":
			books.Failed++
		}
	}
	return books
}

func (f *fakeTiger) DownloadFile(ctx context.Context, in activities.DownloadInput) (activities.Download, error) {
	return work(ctx, f.w, in, func(in activities.DownloadInput) activities.Download {
		return activities.Download{Staged: "staged " + in.Name, SHA256: "sum of " + in.Name, Size: in.Size}
	})
}

func (f *fakeTiger) CommitServer(ctx context.Context, in activities.CommitInput) (activities.CommitResult, error) {
	return work(ctx, f.w, in, f.w.commit)
}

func (w *world) commit(in activities.CommitInput) activities.CommitResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	var result activities.CommitResult
	s := w.servers[in.Server]
	for _, outcome := range in.Files {
		f := s.file(outcome.ID)
		switch {
		case outcome.Download == nil:
			f.state, f.reason = outcome.State, outcome.Reason
		case w.loses[f.ID] > 0:
			w.loses[f.ID]--
			result.Lost = append(result.Lost, f.ID)
		default:
			f.state = "collected"
			if strings.HasSuffix(f.Name, ".zip") {
				result.Archives++
				w.archives[in.Decompression] = append(w.archives[in.Decompression],
					activities.ArchiveRef{ID: f.ID, Path: in.Server + "/" + f.Name, Size: f.Size})
			}
		}
	}
	if in.Close != nil && len(result.Lost) == 0 {
		result.Row = w.close(in, s)
	}
	return result
}

func (s *server) file(id int64) *file {
	for _, f := range s.files {
		if f.ID == id {
			return f
		}
	}
	return nil
}

// close closes a server's books. Pending files fail for the run's reason; without one, there must not be any.
func (w *world) close(in activities.CommitInput, s *server) *activities.ServerResult {
	assert.NotContains(w.t, w.rows, in.Server, "closed twice")
	for _, f := range s.files {
		if f.state == "" {
			assert.NotEmpty(w.t, in.Close.Reason, "%s of %s is pending, but nothing is said to be wrong", f.Name, in.Server)
			f.state, f.reason = "failed", in.Close.Reason
		}
	}
	row := activities.ServerResult{
		Server: in.Server, Reason: in.Close.Reason, Detail: in.Close.Detail, Books: s.books(), Start: in.Close.Start, End: w.env.Now(),
	}
	switch {
	case row.Reason == "" && row.Books.Failed == 0:
	case row.Books.Collected+row.Books.Unchanged > 0:
		row.Result = activities.Partial
	default:
		row.Result = activities.Failed
	}
	w.rows[in.Server] = row
	return &row
}

func (f *fakeTiger) CloseRun(ctx context.Context, in activities.CloseRunInput) error {
	_, err := work(ctx, f.w, in, func(activities.CloseRunInput) any { return nil })
	return err
}

// findEagle stands for the input that FindEagle does not have.
type findEagle struct{}

func (f *fakeTiger) FindEagle(ctx context.Context) (bool, error) {
	return work(ctx, f.w, findEagle{}, func(findEagle) bool { return f.w.eagle })
}

func (f *fakeTiger) PlanExtraction(ctx context.Context, in activities.ExtractionInput) (activities.ExtractionPlan, error) {
	return work(ctx, f.w, in, f.w.planExtraction)
}

func (w *world) planExtraction(in activities.ExtractionInput) activities.ExtractionPlan {
	w.mu.Lock()
	defer w.mu.Unlock()
	plan := activities.ExtractionPlan{Total: len(w.archives[in.Decompression]), Deadline: 24 * time.Hour}
	var pending []activities.ArchiveRef
	for _, a := range w.archives[in.Decompression] {
		if a.ID > in.After {
			pending = append(pending, a)
		}
	}
	if room := w.batch * w.batches; len(pending) > room {
		pending = pending[:room]
		plan.Next = pending[room-1].ID
	}
	for ; len(pending) > 0; pending = pending[min(w.batch, len(pending)):] {
		plan.Batches = append(plan.Batches, activities.Batch{Archives: pending[:min(w.batch, len(pending))]})
	}
	return plan
}

func (f *fakeTiger) SealArchives(ctx context.Context, in activities.SealInput) (activities.SealResult, error) {
	return work(ctx, f.w, in, f.w.seal)
}

// seal gives every archive exactly one result.
func (w *world) seal(in activities.SealInput) activities.SealResult {
	w.mu.Lock()
	defer w.mu.Unlock()
	var result activities.SealResult
	for _, d := range in.Deliveries {
		reason := d.Reason
		if w.damages[d.ID] > 0 {
			if w.damages[d.ID]--; !in.LastRound {
				result.Damaged = append(result.Damaged, activities.ArchiveRef{ID: d.ID, Path: fmt.Sprint(d.ID), Size: small})
				continue
			}
			reason = "damaged_in_stage"
		}
		assert.NotContains(w.t, w.sealed, d.ID, "sealed twice")
		w.sealed[d.ID] = reason
		if reason != "" {
			result.Failed++
			continue
		}
		result.Succeeded++
		result.Files += 2
		result.Bytes += 10
	}
	return result
}

func (f *fakeTiger) CloseDecompression(ctx context.Context, in activities.CloseDecompressionInput) error {
	_, err := work(ctx, f.w, in, func(activities.CloseDecompressionInput) any { return nil })
	return err
}

func (f *fakeTiger) ReadReport(ctx context.Context, in activities.ReportInput) (activities.ReportPage, error) {
	return work(ctx, f.w, in, func(in activities.ReportInput) activities.ReportPage {
		return activities.ReportPage{Next: "page after " + in.Cursor}
	})
}

func (f *fakeTiger) ReadServers(ctx context.Context, in activities.ServersInput) (activities.ServersPage, error) {
	return work(ctx, f.w, in, func(in activities.ServersInput) activities.ServersPage {
		return activities.ServersPage{Next: "page after " + in.After}
	})
}

func (f *fakeTiger) ReadRuns(ctx context.Context, in activities.RunsInput) (activities.RunsPage, error) {
	return work(ctx, f.w, in, func(in activities.RunsInput) (page activities.RunsPage) {
		page.Next = "page after " + in.Cursor
		return page
	})
}

func (f *fakeTiger) ForgetFiles(ctx context.Context, in activities.ForgetInput) (activities.ForgetResult, error) {
	return work(ctx, f.w, in, func(in activities.ForgetInput) activities.ForgetResult {
		return activities.ForgetResult{Forgotten: []activities.Forgotten{{Path: in.Files[0]}}}
	})
}

func (f *fakeTiger) VerifyFiles(ctx context.Context, in activities.VerifyInput) (activities.VerifyPage, error) {
	return work(ctx, f.w, in, f.w.verify)
}

func (f *fakeTiger) MendFindings(ctx context.Context, in activities.MendInput) (activities.MendPage, error) {
	return work(ctx, f.w, in, f.w.mend)
}

func (f *fakeTiger) ReadFindings(ctx context.Context, in activities.FindingsInput) (activities.FindingsPage, error) {
	return work(ctx, f.w, in, func(in activities.FindingsInput) activities.FindingsPage {
		return activities.FindingsPage{Findings: []activities.Finding{{ID: in.After + 1}}}
	})
}

func (f *fakeTiger) CleanWarehouse(ctx context.Context, in activities.CleanInput) (activities.CleanPage, error) {
	return work(ctx, f.w, in, func(in activities.CleanInput) activities.CleanPage {
		page := activities.CleanPage{Next: activities.VerifyCursor{Phase: in.From.Phase + 1}, Done: in.From.Phase == 2}
		page.Spent = map[string]activities.Spent{activities.CleanVersions: {Count: 1, Bytes: 5, Oldest: time.Unix(int64(100-in.From.Phase), 0).UTC()}}
		return page
	})
}

func (f *fakeTiger) ReadFiles(ctx context.Context, in activities.FilesInput) (activities.FilesPage, error) {
	return work(ctx, f.w, in, func(in activities.FilesInput) activities.FilesPage {
		return activities.FilesPage{Next: "page after " + in.Cursor}
	})
}

func (f *fakeTiger) PlanProbe(ctx context.Context, in activities.PlanProbeInput) (activities.ProbePlan, error) {
	return work(ctx, f.w, in, f.w.planProbe)
}

// probePage is how many servers the world's plan has on a page.
const probePage = 20

func (w *world) planProbe(in activities.PlanProbeInput) activities.ProbePlan {
	names := w.order
	if len(in.Servers) > 0 {
		names = in.Servers
	}
	plan := activities.ProbePlan{Total: len(names)}
	for _, name := range names {
		if name <= in.After {
			continue
		}
		if len(plan.Servers) == probePage {
			plan.Next = plan.Servers[probePage-1]
			break
		}
		plan.Servers = append(plan.Servers, name)
	}
	return plan
}

func (f *fakeTiger) ProbeServer(ctx context.Context, in activities.ProbeServerInput) (activities.ServerProbe, error) {
	return work(ctx, f.w, in, func(in activities.ProbeServerInput) activities.ServerProbe {
		return activities.ServerProbe{Server: in.Server}
	})
}

func (f *fakeEagle) ExtractArchives(ctx context.Context, in activities.ExtractInput) (activities.Deliveries, error) {
	return work(ctx, f.w, in, func(in activities.ExtractInput) activities.Deliveries {
		var done activities.Deliveries
		for _, a := range in.Batch.Archives {
			done.Archives = append(done.Archives, activities.Delivery{ID: a.ID, Dir: "extract/" + a.Path, Manifest: "sum", Host: "eagle"})
		}
		return done
	})
}
