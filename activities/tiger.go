package activities

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"

	"talon/config"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
	"talon/internal/warehouse"
)

// Tiger holds the activities of the collecting role. Its fields are set once, before a worker starts; methods may run at the same time.
type Tiger struct {
	Config    *config.Config // with resolved secrets
	Pool      *ftpclient.Pool
	Warehouse *warehouse.Warehouse
	Catalog   *catalog.Catalog
	// Boot identifies the running system of this host (BootID).
	Boot string
	// SearchAttributes says that the Temporal namespace knows Talon's search attributes.
	SearchAttributes bool
	// Meter is told what has become final; nil is nobody.
	Meter Meter
	// running tells whether a workflow is running; nil asks the worker's Temporal.
	running func(ctx context.Context, id string) (bool, error)
	// between is called between the steps of a removal; tests end the attempt there.
	between func(step string) error
}

// maxServersPerRun is the longest list of servers that one CollectWorkflow works on: its plan and its results stay below 256 KB.
const maxServersPerRun = 500

// PlanRun says which servers a run collects and with which numbers. It checks everything that would make the whole run pointless: unknown
// names (UnknownServer), a buffer on another file system (TwoFileSystems). It also notes the start of the run in the catalog.
func (t *Tiger) PlanRun(ctx context.Context, in PlanInput) (Plan, error) {
	names, err := t.serverNames(in)
	if err != nil {
		return Plan{}, err
	}
	zipDir, err := t.zipDir(in.Buffer)
	if err != nil {
		return Plan{}, Classify(err)
	}
	leftovers := 0
	var orphans []Orphan
	if in.From == "" && in.Until == "" {
		if leftovers, err = t.beginRun(ctx, in.Run); err != nil {
			return Plan{}, Classify(err)
		}
		if orphans, err = t.orphans(ctx); err != nil { // they can wait, the servers cannot
			activity.GetLogger(ctx).Warn("decompressions that nobody is at work on cannot be looked for", "error", err)
		}
	}
	plan := Plan{Leftovers: leftovers, Orphans: orphans, Window: t.Config.Collect.Window, Deadline: t.Config.Collect.Deadline, Settings: ServerSettings{
		ZipDir: zipDir, UnzipDir: t.Warehouse.UnzipDir(), PageFiles: t.Config.Collect.Page, SmallFile: int64(t.Config.Collect.SmallFile),
		ExtractDeadline: t.Config.Extract.Deadline, SearchAttributes: t.SearchAttributes,
	}}
	if len(names) > maxServersPerRun {
		plan.Shards = shards(names)
		return plan, nil
	}
	for _, name := range names {
		plan.Servers = append(plan.Servers, PlannedServer{Name: name, Connections: t.Config.Servers[name].Connections})
	}
	return plan, nil
}

// serverNames returns the wanted names within the plan's range, sorted.
func (t *Tiger) serverNames(in PlanInput) ([]string, error) {
	names := t.Config.ServerNames()
	if len(in.Servers) > 0 {
		names = slices.Compact(slices.Sorted(slices.Values(in.Servers)))
	}
	var unknown []string
	for _, name := range names {
		if _, ok := t.Config.Servers[name]; !ok {
			unknown = append(unknown, UnknownServerMessage(t.Config, name))
		}
	}
	if len(unknown) > 0 {
		return nil, refuse(UnknownServer, strings.Join(unknown, "; "))
	}
	return slices.DeleteFunc(names, func(name string) bool {
		return name < in.From || in.Until != "" && name >= in.Until
	}), nil
}

func (t *Tiger) zipDir(buffer string) (string, error) {
	if buffer == "" {
		return t.Warehouse.ZipDir(), nil
	}
	tree, err := t.Warehouse.Visible(buffer)
	if err != nil {
		return "", err
	}
	return buffer, tree.Close()
}

func (t *Tiger) beginRun(ctx context.Context, run string) (leftovers int, err error) {
	if err := t.Catalog.SaveRun(ctx, catalog.RunRow{ID: run, Kind: catalog.KindCollect, Start: time.Now()}); err != nil {
		return 0, err
	}
	leftovers, err = t.sweepStage(ctx)
	if err != nil { // the run is worth more than the room
		activity.GetLogger(ctx).Warn("the janitor cannot remove what no attempt can own", "error", err)
	}
	if leftovers == 0 {
		return 0, nil
	}
	listener(t.Meter).Leftovers(leftovers)
	return leftovers, t.Catalog.AddLeftovers(ctx, run, leftovers)
}

// shards divides names into ranges of at most maxServersPerRun.
func shards(names []string) []Shard {
	var ranges []Shard
	for start := 0; start < len(names); start += maxServersPerRun {
		shard := Shard{From: names[start]}
		if end := start + maxServersPerRun; end < len(names) {
			shard.Until = names[end]
		}
		ranges = append(ranges, shard)
	}
	return ranges
}

// CloseRun writes a run's outcome, and rows for the servers whose own workflow wrote none.
func (t *Tiger) CloseRun(ctx context.Context, in CloseRunInput) error {
	for _, server := range in.Servers {
		row := catalog.ServerRow{
			Run: in.Run, Server: server.Server, Result: server.Result, Reason: server.Reason, Detail: server.Detail,
			Books: server.Books, BufferPath: path.Join(in.ZipDir, server.Server), Start: server.Start, End: server.End,
		}
		saved, err := t.Catalog.SaveServerIfAbsent(ctx, row)
		if err != nil {
			return Classify(err)
		}
		if saved {
			listener(t.Meter).Server(server, nil)
		}
	}
	if in.Shard {
		return nil
	}
	return t.saveRun(ctx, catalog.RunRow{
		ID: in.Run, Kind: catalog.KindCollect, Result: in.Result, Reason: in.Reason, Detail: in.Detail, Start: in.Start, End: time.Now(),
	})
}

// saveRun writes the row of a run that is closed.
func (t *Tiger) saveRun(ctx context.Context, row catalog.RunRow) error {
	if err := t.Catalog.SaveRun(ctx, row); err != nil {
		return Classify(err)
	}
	listener(t.Meter).Run(row.Kind, row.Result, row.Reason)
	return nil
}

// reportBudget bounds a page of a report: far below the 256 KB that a payload may have.
const reportBudget = 150 << 10

// ReadReport returns a page of a run's full report (UnknownRun if there is none).
func (t *Tiger) ReadReport(ctx context.Context, in ReportInput) (ReportPage, error) {
	page, err := t.Catalog.Report(ctx, in.Run, in.Cursor, reportBudget)
	if errors.Is(err, catalog.ErrNoRow) {
		return page, refuse(UnknownRun, fmt.Sprintf("there is no run %q in the catalog", in.Run))
	}
	return page, Classify(err)
}

// FindEagle reports whether a worker polls eagle's queue, or has its hands full with it.
func (t *Tiger) FindEagle(ctx context.Context) (bool, error) {
	temporal := activity.GetClient(ctx)
	answer, err := temporal.DescribeTaskQueue(ctx, EagleQueue, enumspb.TASK_QUEUE_TYPE_ACTIVITY)
	if err != nil {
		return false, err
	}
	for _, poller := range answer.GetPollers() {
		if time.Since(poller.GetLastAccessTime().AsTime()) < PollerSeen {
			return true, nil
		}
	}
	busy, err := BusyWorkers(ctx, temporal, EagleQueue)
	return len(busy) > 0, err
}
