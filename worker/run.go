package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"

	"talon/activities"
	"talon/config"
	"talon/config/dial"
	"talon/internal/archive/sandbox"
	"talon/internal/catalog"
	"talon/internal/commandline"
	"talon/internal/ftpclient"
	"talon/internal/objectstore"
	"talon/internal/telemetry"
	"talon/internal/tracing"
	"talon/internal/warehouse"
	"talon/workflows"
)

const (
	roleTiger = "tiger"
	roleEagle = "eagle"
	roleAll   = "all"
)

// pollers per task type: tiger's workflow and activity tasks are many and short, and with the usual two some of eagle's wait for a poll to end.
const pollers = 8

type runOptions struct {
	config, role, name, logFormat string

	health string // address of the health endpoint; "" is none

	grace     time.Duration // how long running activities may go on after a request to stop
	versioned bool          // the workers are versions of worker deployments
	buildID   string        // which; "" is that of this program
}

func (o runOptions) has(role string) bool { return o.role == role || o.role == roleAll }

// host is what one worker process holds open.
type host struct {
	options   runOptions
	config    *config.Config
	warehouse *warehouse.Warehouse
	temporal  client.Client
	namespace string
	log       *slog.Logger
	fields    *telemetry.LogFields
	health    health
	drain     *drain
	metrics   *telemetry.Metrics
	stage     *warehouse.Stage // tiger's, or a remote eagle's scratch
	catalog   *catalog.Catalog // tiger's; nil on an eagle
	fatal     chan error
	closers   []func()
}

// run starts the roles and keeps them until ctx ends or one of them fails for good.
func run(ctx context.Context, options runOptions, stderr io.Writer) error {
	if !slices.Contains([]string{roleTiger, roleEagle, roleAll}, options.role) {
		return fmt.Errorf("there is no role %q: use --role tiger, eagle or all", options.role)
	}
	if options.grace < 0 {
		return fmt.Errorf("--stop-grace %s: use 0s or more", options.grace)
	}
	if err := options.checkVersion(); err != nil {
		return err
	}
	log, err := commandline.NewLogger(options.logFormat, stderr)
	if err != nil {
		return err
	}
	fields := telemetry.NewLogFields()
	h := &host{options: options, log: slog.New(fields.Handler(log.Handler())), fields: fields, drain: newDrain(), fatal: make(chan error, 2)}
	defer h.close()
	if h.metrics, err = telemetry.New(commandline.Build()); err != nil {
		return err
	}
	h.health.metrics = h.metrics.Handler()
	if err := h.serveHealth(); err != nil {
		return err
	}
	if err := h.open(ctx); err != nil {
		return err
	}
	workers, err := h.workers(ctx)
	if err != nil {
		return err
	}
	return h.serve(ctx, workers)
}

// serve starts the workers and keeps them until ctx ends or one of them fails for good.
func (h *host) serve(ctx context.Context, workers []sdkworker.Worker) (err error) {
	var started []sdkworker.Worker
	defer func() {
		h.health.stop()
		if len(started) == 0 {
			return
		}
		err = cmp.Or(err, h.drain.rest(started, h.options.grace, h.log))
	}()
	for _, w := range workers {
		if err := w.Start(); err != nil {
			return fmt.Errorf("start the worker: %w", err)
		}
		started = append(started, w)
	}
	h.watch()
	h.health.start(h.askTemporal, h.able())
	h.log.Info("worker started", "role", h.options.role, "config", h.config.Path, "directories", h.directories(), "health", h.health.address)
	if h.options.versioned {
		h.log.Info("this worker is a version: it gets work when it is the current one (starter deployment current), or as long as runs are pinned to it",
			"build_id", h.options.version())
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-h.fatal:
		return err
	}
}

// open reads the configuration and opens what every role needs.
func (h *host) open(ctx context.Context) error {
	var err error
	if h.config, err = config.Load(h.options.config); err != nil {
		return err
	}
	for _, warning := range h.config.Warnings {
		h.log.Warn(warning)
	}
	if err := h.resolveSecrets(); err != nil {
		return err
	}
	if !h.isRemote() {
		if h.warehouse, err = warehouse.Open(h.config.Warehouse.Root); err != nil {
			return h.config.WarehouseError(err)
		}
		h.closers = append(h.closers, func() { _ = h.warehouse.Close() })
		h.stage = h.warehouse.Stage
	}
	if h.options.name == "" {
		if h.options.name, err = os.Hostname(); err != nil {
			return err
		}
	}
	if h.namespace, err = dial.Namespace(); err != nil {
		return err
	}
	interceptors, err := h.interceptors(ctx)
	if err != nil {
		return err
	}
	h.temporal, err = dial.Client(ctx, dial.Options{
		Logger: h.log, Identity: fmt.Sprintf("%s-%d@%s", h.options.role, os.Getpid(), h.options.name), Observe: h.health.observe,
		Metrics: h.metrics.SDK(), Interceptors: interceptors,
	})
	if err != nil {
		return err
	}
	h.closers = append(h.closers, h.temporal.Close)
	return nil
}

// interceptors are those of the calls to Temporal and of its work.
func (h *host) interceptors(ctx context.Context) ([]interceptor.ClientInterceptor, error) {
	traces, stop, err := tracing.Start(ctx, "talon-worker", h.log)
	if err != nil {
		return nil, err
	}
	h.closers = append(h.closers, stop)
	interceptors := []interceptor.ClientInterceptor{h.fields}
	if traces != nil {
		interceptors = append(interceptors, traces)
	}
	return interceptors, nil
}

// directories is where this worker's files are.
func (h *host) directories() string {
	if h.isRemote() {
		return h.config.Eagle.Remote.Endpoint
	}
	return h.config.Warehouse.Root
}

// resolveSecrets reads what the roles need, and nothing that is another's.
func (h *host) resolveSecrets() error {
	var errs []error
	if h.options.has(roleTiger) {
		if len(h.config.Servers) == 0 {
			return fmt.Errorf("%s: there are no servers for tiger to collect from: list them below \"servers:\"", h.config.Path)
		}
		errs = append(errs, h.config.ResolveServerSecrets())
	}
	if h.options.has(roleEagle) {
		errs = append(errs, h.config.ResolveExtractSecrets())
	}
	if h.isRemote() {
		errs = append(errs, h.config.CheckStoreKey())
	}
	return errors.Join(errs...)
}

// isRemote tells that this eagle is without tiger's disk. One that runs beside tiger has it, whatever the configuration says of others.
func (h *host) isRemote() bool { return h.config.Eagle.IsRemote() && !h.options.has(roleTiger) }

// serveHealth opens the health endpoint if one is asked for.
func (h *host) serveHealth() error {
	if h.options.health == "" {
		return nil
	}
	stop, err := h.health.serve(h.options.health)
	if err != nil {
		return err
	}
	h.closers = append(h.closers, stop)
	return nil
}

// askTemporal fails when Temporal does not answer what it answers to every client.
func (h *host) askTemporal(ctx context.Context) error {
	_, err := h.temporal.WorkflowService().GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
	return err
}

// close closes what is open. What cannot be closed in time is left to the end of the process, which must come.
func (h *host) close() {
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		for _, c := range slices.Backward(h.closers) {
			c()
		}
	}()
	if !within(closeLimit, closed) {
		h.log.Warn("the worker ends with files or connections open", "waited", closeLimit)
	}
}

func (h *host) workers(ctx context.Context) ([]sdkworker.Worker, error) {
	var workers []sdkworker.Worker
	if h.options.has(roleTiger) {
		w, err := h.tiger(ctx)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	if h.options.has(roleEagle) {
		w, err := h.eagle(ctx)
		if err != nil {
			return nil, err
		}
		workers = append(workers, w)
	}
	return workers, nil
}

// tiger builds the worker of the collecting role: all workflows and tiger's activities.
func (h *host) tiger(ctx context.Context) (sdkworker.Worker, error) {
	cat, err := catalog.Open(ctx, h.warehouse.CatalogFile())
	if err != nil {
		return nil, err
	}
	h.closers = append(h.closers, func() { _ = cat.Close() })
	h.catalog = cat
	limit := h.config.Collect.MaxConnections
	pool := ftpclient.NewPool(limit, int64(h.config.Collect.Bandwidth))
	h.closers = append(h.closers, func() { pool.Close() })
	w := sdkworker.New(h.temporal, activities.TigerQueue, sdkworker.Options{
		// Slots match the connections: every connection of the pool can be at work, in local and in ordinary activities.
		MaxConcurrentLocalActivityExecutionSize: limit,
		MaxConcurrentActivityExecutionSize:      limit,
		MaxConcurrentActivityTaskPollers:        pollers,
		MaxConcurrentWorkflowTaskPollers:        pollers,
		WorkerStopTimeout:                       h.stopTimeout(),
		OnFatalError:                            h.fail,
		Interceptors:                            []interceptor.WorkerInterceptor{h.drain},
		DeploymentOptions:                       h.options.deployment(activities.TigerQueue),
	})
	workflows.Register(w)
	activities.RegisterTiger(w, &activities.Tiger{
		Config: h.config, Pool: pool, Warehouse: h.warehouse, Catalog: cat, Boot: activities.BootID(),
		SearchAttributes: ensureSearchAttributes(ctx, h.temporal, h.namespace, h.log), Meter: h.metrics,
	})
	return w, nil
}

// eagle builds the worker of the extracting role: it polls for activities only.
func (h *host) eagle(ctx context.Context) (sdkworker.Worker, error) {
	stage, err := h.scratch()
	if err != nil {
		return nil, err
	}
	dir, release, err := activities.EagleScratch(stage, h.options.name)
	if err != nil {
		return nil, err
	}
	h.closers = append(h.closers, func() { _ = release() })
	pool, err := sandbox.NewPool(sandbox.Options{
		Scratch: dir, Children: extractionSlots(), Limits: activities.EngineLimits(h.config.Extract.Limits), Log: h.log,
	})
	if err != nil {
		return nil, err
	}
	h.closers = append(h.closers, func() { _ = pool.Close() })
	exchange, err := h.exchange(ctx, dir)
	if err != nil {
		return nil, err
	}
	w := sdkworker.New(h.temporal, activities.EagleQueue, sdkworker.Options{
		DisableWorkflowWorker: true,
		// Extraction is bound by processors: more at once would only make each slower.
		MaxConcurrentActivityExecutionSize: extractionSlots(),
		MaxConcurrentActivityTaskPollers:   pollers,
		WorkerStopTimeout:                  h.stopTimeout(),
		OnFatalError:                       h.fail,
		Interceptors:                       []interceptor.WorkerInterceptor{h.drain},
		DeploymentOptions:                  h.options.deployment(activities.EagleQueue),
	})
	activities.RegisterEagle(w, &activities.Eagle{
		Config: h.config, Exchange: exchange, Extractor: pool, Host: h.options.name, Boot: activities.BootID(), Meter: h.metrics,
	})
	return w, nil
}

// stopTimeout is more than drain takes: what is cut off is cut off there.
func (h *host) stopTimeout() time.Duration { return h.options.grace + 2*windDown }

// scratch is where this eagle works: tiger's stage, from where results need not be copied, or a directory of its own.
func (h *host) scratch() (*warehouse.Stage, error) {
	if !h.isRemote() {
		return h.warehouse.Stage, nil
	}
	stage, err := warehouse.OpenStage(h.config.Eagle.Scratch)
	if err != nil {
		return nil, fmt.Errorf("eagle.scratch: %w", err)
	}
	h.closers = append(h.closers, func() { _ = stage.Close() })
	h.stage = stage
	return stage, nil
}

// exchange is how this eagle gets at archives.
func (h *host) exchange(ctx context.Context, scratch string) (activities.Exchange, error) {
	if !h.isRemote() {
		return activities.SharedDisk{Warehouse: h.warehouse}, nil
	}
	remote := h.config.Eagle.Remote
	options := objectstore.Options{Endpoint: remote.Endpoint, Region: remote.Region, CA: h.config.Eagle.CA, Keys: h.config.Eagle.StoreKey, Log: h.log}
	if err := h.checkStore(ctx, options); err != nil {
		return nil, err
	}
	if err := h.watchStore(options); err != nil {
		return nil, err
	}
	store, err := objectstore.Open(options)
	if err != nil {
		return nil, err
	}
	h.closers = append(h.closers, store.Close)
	return activities.NewRemote(store, remote.Archives, remote.Stage, scratch)
}

// startPatience is how long an eagle looks for the gateway before it starts all the same.
const startPatience = 3 * time.Second

// checkStore tells at once, and not with the first archive, that tiger's directories cannot be reached. It is no reason not to start: hosts come up
// in any order.
func (h *host) checkStore(ctx context.Context, options objectstore.Options) error {
	options.Patience = startPatience
	store, err := objectstore.Open(options)
	if err != nil {
		return err
	}
	defer store.Close()
	for _, bucket := range []string{h.config.Eagle.Remote.Archives, h.config.Eagle.Remote.Stage} {
		if err := store.Check(ctx, bucket); err != nil {
			h.log.Warn("tiger's directories cannot be reached yet; archives will wait", "bucket", bucket, "error", err)
			break
		}
	}
	return nil
}

// fail ends the process: a worker that no longer polls must not look alive.
func (h *host) fail(err error) {
	select {
	case h.fatal <- fmt.Errorf("the worker cannot go on: %w", err):
	default:
	}
}
