package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
	sdkworker "go.temporal.io/sdk/worker"

	"talon/activities"
	"talon/internal/commandline"
)

const (
	// usualGrace is how long running activities may go on after a request to stop.
	usualGrace = 30 * time.Second
	// windDown is how long what is cut off at the end of the grace may take to say where it stands.
	windDown = 5 * time.Second
	// closeLimit is how long files, connections and child processes may take to be closed after that.
	closeLimit = 2 * time.Second
	// mostNamed bounds what a log line names of unfinished work.
	mostNamed = 20
)

// exitCutOff is the exit code of a worker that ended although work of its did not.
const exitCutOff = commandline.ExitCode(1)

// drain is an interceptor that knows what is at work in this process and brings it to rest. The SDK's own stop gives workflow tasks, local and
// ordinary activities each the whole grace, one after the other, starts local activities all the while, and cuts off without a word what is left.
type drain struct {
	interceptor.WorkerInterceptorBase
	mutex    sync.Mutex
	stopping bool
	tasks    map[*task]struct{}
}

// task is an activity at work.
type task struct {
	name, workflow string
	local          bool
	since          time.Time
	cancel         context.CancelCauseFunc
}

// handsOver tells that another attempt loses nothing by taking over at once: it continues the file where this one leaves it. Ten gigabytes must not
// hold up an upgrade for the whole grace.
func (t *task) handsOver() bool { return t.name == "DownloadFile" && !t.local }

func newDrain() *drain { return &drain{tasks: map[*task]struct{}{}} }

// InterceptActivity implements interceptor.WorkerInterceptor.
func (d *drain) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &drained{ActivityInboundInterceptorBase: interceptor.ActivityInboundInterceptorBase{Next: next}, drain: d}
}

type drained struct {
	interceptor.ActivityInboundInterceptorBase
	drain *drain
}

// ExecuteActivity implements interceptor.ActivityInboundInterceptor. Whatever an attempt says that was cut off here proves nothing: another one goes
// on.
func (a *drained) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	ctx, t, err := a.drain.begin(ctx)
	if err != nil {
		return nil, activities.Classify(err)
	}
	defer a.drain.end(t)
	result, err := a.Next.ExecuteActivity(ctx, in)
	if err != nil && errors.Is(context.Cause(ctx), activities.ErrWorkerStops) {
		return nil, activities.Classify(activities.ErrWorkerStops)
	}
	return result, err
}

// begin takes note of an activity. A local one does not begin any more when the worker stops: its workflow has it done by an ordinary one, which
// ends the workflow task, and whatever worker there is then does the rest.
func (d *drain) begin(ctx context.Context) (context.Context, *task, error) {
	info := activity.GetInfo(ctx)
	ctx, cancel := context.WithCancelCause(ctx)
	t := &task{name: info.ActivityType.Name, workflow: info.WorkflowExecution.ID, local: info.IsLocalActivity, since: time.Now(), cancel: cancel}
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.stopping && t.local {
		cancel(nil)
		return ctx, nil, activities.ErrWorkerStops
	}
	d.tasks[t] = struct{}{}
	if d.stopping && t.handsOver() {
		cancel(activities.ErrWorkerStops)
	}
	return ctx, t, nil
}

func (d *drain) end(t *task) {
	t.cancel(nil)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	delete(d.tasks, t)
}

// stop begins the rest: what can be handed over at once is, the other activities go on. It returns how many are at work.
func (d *drain) stop() int {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	d.stopping = true
	for t := range d.tasks {
		if t.handsOver() {
			t.cancel(activities.ErrWorkerStops)
		}
	}
	return len(d.tasks)
}

// cut cancels what is still at work.
func (d *drain) cut() {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	for t := range d.tasks {
		t.cancel(activities.ErrWorkerStops)
	}
}

// atWork describes what is at work, the oldest first.
func (d *drain) atWork() []string {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	tasks := slices.SortedFunc(maps.Keys(d.tasks), func(a, b *task) int { return a.since.Compare(b.since) })
	var lines []string
	for _, t := range tasks {
		lines = append(lines, fmt.Sprintf("%s of %s for %s", t.name, cmp.Or(t.workflow, "no workflow"), time.Since(t.since).Round(time.Second)))
	}
	return lines
}

// rest stops the workers and returns when they have stopped, or else a little after the grace, whatever is left: then with an error.
func (d *drain) rest(workers []sdkworker.Worker, grace time.Duration, log *slog.Logger) error {
	begun := time.Now()
	log.Info("worker stops", "grace", grace, "running", d.stop())
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		var all sync.WaitGroup
		for _, w := range workers {
			all.Go(w.Stop)
		}
		all.Wait()
	}()
	if within(grace, stopped) {
		log.Info("worker stopped: everything it had begun is finished or handed over", "after", time.Since(begun).Round(time.Millisecond))
		return nil
	}
	d.log(log, "the grace is over; work that is not finished is cut off, and other attempts go on from its checkpoints")
	d.cut()
	if within(windDown, stopped) {
		log.Info("worker stopped: what it had not finished is handed over", "after", time.Since(begun).Round(time.Millisecond))
		return nil
	}
	d.log(log, "the worker ends although work does not: other attempts begin when its heartbeats are missed")
	return exitCutOff.Because(fmt.Errorf("%d activities did not end within %s after the grace of %s", len(d.atWork()), windDown, grace))
}

// log names what is at work.
func (d *drain) log(log *slog.Logger, message string) {
	running := d.atWork()
	log.Warn(message, "running", len(running), "activities", running[:min(len(running), mostNamed)])
}

func within(limit time.Duration, done <-chan struct{}) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}
