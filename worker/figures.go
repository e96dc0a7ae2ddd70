package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"

	"talon/activities"
	"talon/internal/catalog"
	"talon/internal/objectstore"
	"talon/internal/telemetry"
)

// How often the sources of gauges are asked at most, however many scrape.
const (
	catalogInterval = 10 * time.Second
	queueInterval   = 15 * time.Second
	diskInterval    = 5 * time.Second
	stageInterval   = time.Minute
	storeInterval   = 30 * time.Second
)

// watch has the gauges of this worker's roles looked up when somebody scrapes.
func (h *host) watch() {
	directory := "warehouse"
	if h.isRemote() {
		directory = "scratch"
	}
	h.metrics.Watch("disk", diskInterval, func(_ context.Context, emit telemetry.Emit) error { return h.diskFigures(directory, emit) })
	h.metrics.Watch("stage", stageInterval, func(ctx context.Context, emit telemetry.Emit) error { return h.stageFigures(ctx, directory, emit) })
	if h.catalog != nil {
		h.metrics.Watch("catalog", catalogInterval, h.catalogFigures)
		h.metrics.Watch("temporal", queueInterval, h.queueFigures)
	}
}

func (h *host) diskFigures(directory string, emit telemetry.Emit) error {
	size, free, floor, err := h.space()
	if err != nil {
		return err
	}
	emit(telemetry.DiskSize, float64(size), directory)
	emit(telemetry.DiskFree, float64(free), directory)
	emit(telemetry.DiskFloor, float64(floor), directory)
	return nil
}

func (h *host) stageFigures(ctx context.Context, directory string, emit telemetry.Emit) error {
	usage, err := h.stage.Usage(ctx, ".")
	if err != nil {
		return err
	}
	emit(telemetry.StageFiles, float64(usage.Files), directory)
	emit(telemetry.StageBytes, float64(usage.Bytes), directory)
	return nil
}

// catalogFigures are the same from every tiger, and after a restart.
func (h *host) catalogFigures(ctx context.Context, emit telemetry.Emit) error {
	emit(telemetry.ConfigServers, float64(len(h.config.Servers)))
	emit(telemetry.ScheduleInterval, h.config.Schedule.Every.Seconds())
	states, err := h.catalog.ServerStates(ctx, h.config.ServerNames())
	if err != nil {
		return err
	}
	for _, state := range states {
		if !state.End.IsZero() {
			emit(telemetry.ServerLastResult, float64(state.Result), state.Server)
			emit(telemetry.ServerLastEnd, seconds(state.End), state.Server)
		}
		if !state.LastSuccess.IsZero() {
			emit(telemetry.ServerLastSuccess, seconds(state.LastSuccess), state.Server)
		}
	}
	return errors.Join(h.runFigures(ctx, emit), h.backlogFigures(ctx, emit), h.catalogSize(emit))
}

func (h *host) runFigures(ctx context.Context, emit telemetry.Emit) error {
	end, err := h.catalog.LastEnd(ctx, catalog.KindCollect)
	if err == nil && !end.IsZero() {
		emit(telemetry.RunLastEnd, seconds(end))
	}
	return err
}

func (h *host) backlogFigures(ctx context.Context, emit telemetry.Emit) error {
	backlog, err := h.catalog.Backlog(ctx)
	if err != nil {
		return err
	}
	emit(telemetry.ArchivesPending, float64(backlog.Archives))
	if !backlog.Oldest.IsZero() {
		emit(telemetry.ArchivesPendingOldest, time.Since(backlog.Oldest).Seconds())
	}
	return nil
}

// catalogSize counts the catalog's file and its write-ahead log, which is not always there.
func (h *host) catalogSize(emit telemetry.Emit) error {
	var bytes int64
	for _, name := range []string{h.warehouse.CatalogFile(), h.warehouse.CatalogFile() + "-wal"} {
		info, err := os.Stat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		bytes += info.Size()
	}
	emit(telemetry.CatalogSize, float64(bytes))
	return nil
}

func seconds(t time.Time) float64 { return float64(t.UnixNano()) / float64(time.Second) }

// queues are what the workers of both roles poll.
var queues = []struct {
	queue, kind string
	kindOf      enumspb.TaskQueueType
}{
	{activities.TigerQueue, "workflow", enumspb.TASK_QUEUE_TYPE_WORKFLOW},
	{activities.TigerQueue, "activity", enumspb.TASK_QUEUE_TYPE_ACTIVITY},
	{activities.EagleQueue, "activity", enumspb.TASK_QUEUE_TYPE_ACTIVITY},
}

func (h *host) queueFigures(ctx context.Context, emit telemetry.Emit) error {
	var errs []error
	for _, q := range queues {
		answer, err := h.temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
			Namespace: h.namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: q.queue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
			TaskQueueType: q.kindOf, ReportStats: true,
		})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		workers, err := h.workersOf(ctx, q.queue, q.kindOf, answer.GetPollers())
		if err != nil {
			errs = append(errs, err)
		} else {
			emit(telemetry.QueuePollers, float64(workers), q.queue, q.kind)
		}
		if stats := answer.GetStats(); stats != nil {
			emit(telemetry.QueueBacklog, float64(stats.GetApproximateBacklogCount()), q.queue, q.kind)
			emit(telemetry.QueueBacklogAge, stats.GetApproximateBacklogAge().AsDuration().Seconds(), q.queue, q.kind)
		}
	}
	return errors.Join(errs...)
}

// workersOf counts those that polled a queue lately or, if there are none, those that have their hands full with its activities.
func (h *host) workersOf(ctx context.Context, queue string, kind enumspb.TaskQueueType, pollers []*taskqueuepb.PollerInfo) (int, error) {
	polled := len(recent(pollers))
	if polled > 0 || kind != enumspb.TASK_QUEUE_TYPE_ACTIVITY {
		return polled, nil
	}
	busy, err := activities.BusyWorkers(ctx, h.temporal, queue)
	return len(busy), err
}

// recent are the names of those who polled lately; Temporal remembers others for minutes.
func recent(pollers []*taskqueuepb.PollerInfo) (names []string) {
	for _, p := range pollers {
		if time.Since(p.GetLastAccessTime().AsTime()) < activities.PollerSeen && !slices.Contains(names, p.GetIdentity()) {
			names = append(names, p.GetIdentity())
		}
	}
	return names
}

// watchStore tells whether a remote eagle gets at tiger's directories.
func (h *host) watchStore(options objectstore.Options) error {
	options.Patience = startPatience / 2 // a scrape does not wait longer
	store, err := objectstore.Open(options)
	if err != nil {
		return err
	}
	h.closers = append(h.closers, store.Close)
	h.metrics.Watch("store", storeInterval, func(ctx context.Context, emit telemetry.Emit) error {
		reachable := 1.0
		for _, bucket := range []string{h.config.Eagle.Remote.Archives, h.config.Eagle.Remote.Stage} {
			if store.Check(ctx, bucket) != nil {
				reachable = 0
				break
			}
		}
		emit(telemetry.StoreReachable, reachable)
		return nil
	})
	return nil
}
