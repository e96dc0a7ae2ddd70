package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"talon/activities"
	"talon/config/dial"
	"talon/workflows"
)

const (
	// gatherWithin bounds everything that Temporal itself is asked, and lookupWithin what tiger's catalog is.
	gatherWithin = 8 * time.Second
	lookupWithin = 5 * time.Second
	// pollerSeen is how old the last poll of a live worker can be. Temporal goes on listing pollers for minutes after they died.
	pollerSeen = activities.PollerSeen
)

// gatherer asks Temporal, and through it tiger, how things stand.
type gatherer struct {
	temporal           client.Client
	address, namespace string
	polled             bool // a tiger worker takes workflow tasks: queries and lookups are answered

	mutex sync.Mutex // parts of the survey are gathered at the same time
	s     survey
}

func newGatherer(c client.Client) (*gatherer, error) {
	namespace, err := dial.Namespace()
	if err != nil {
		return nil, err
	}
	address, err := dial.Address()
	if err != nil {
		return nil, err
	}
	return &gatherer{temporal: c, address: address, namespace: namespace, s: newSurvey()}, nil
}

// gather makes the survey. What cannot be found out is in its Unknown.
func (g *gatherer) gather(ctx context.Context) survey {
	limited, cancel := context.WithTimeout(ctx, gatherWithin)
	defer cancel()
	g.queues(limited) // what follows need not wait for workers that are not there
	var parts sync.WaitGroup
	parts.Go(func() { g.server(limited) })
	parts.Go(func() { g.schedule(limited) })
	parts.Go(func() { g.collections(limited) })
	parts.Go(func() { g.serversAtWork(limited) })
	parts.Go(func() { g.decompressions(limited) })
	parts.Go(func() { g.servers(ctx) })
	parts.Wait()
	for i := range g.s.Queues {
		g.searchBusy(limited, &g.s.Queues[i])
	}
	return g.s
}

// learn changes the survey.
func (g *gatherer) learn(change func(*survey)) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	change(&g.s)
}

func (g *gatherer) unknown(what string, err error) {
	g.learn(func(s *survey) { s.Unknown = append(s.Unknown, unknownView{what, err.Error()}) })
}

// server asks what Temporal is and which of Talon's search attributes it lacks.
func (g *gatherer) server(ctx context.Context) {
	view := temporalView{Address: g.address, Namespace: g.namespace}
	info, err := g.temporal.WorkflowService().GetSystemInfo(ctx, &workflowservice.GetSystemInfoRequest{})
	if err != nil {
		g.unknown("the version of Temporal", err)
	}
	view.Version = info.GetServerVersion()
	known, err := g.temporal.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: g.namespace})
	if err != nil {
		g.unknown("the search attributes", err)
	} else {
		view.Missing = missingAttributes(known.GetCustomAttributes())
	}
	g.learn(func(s *survey) { s.Temporal = view })
}

func missingAttributes(known map[string]enumspb.IndexedValueType) (missing []string) {
	for _, name := range []string{
		workflows.AttributeServer.GetName(), workflows.AttributeRun.GetName(), workflows.AttributeState.GetName(),
		workflows.AttributeResult.GetName(), workflows.AttributeFiles.GetName(), workflows.AttributeFailed.GetName(),
	} {
		if _, ok := known[name]; !ok {
			missing = append(missing, name)
		}
	}
	return missing
}

// queues asks for the workers and the backlog of every queue.
func (g *gatherer) queues(ctx context.Context) {
	views := []queueView{
		{Queue: activities.TigerQueue, Type: "workflow"},
		{Queue: activities.TigerQueue, Type: "activity"},
		{Queue: activities.EagleQueue, Type: "activity"},
	}
	var asked sync.WaitGroup
	for i := range views {
		asked.Go(func() { g.queue(ctx, &views[i]) })
	}
	asked.Wait()
	g.learn(func(s *survey) { s.Queues = views })
	g.polled = len(views[0].Workers) > 0
}

// queue asks for one queue. The statistics are those of all its partitions, at most five seconds old (matching.TaskQueueInfoByBuildIdTTL); the
// mode "enhanced" would tell the same, but not of the deployment versions.
func (g *gatherer) queue(ctx context.Context, view *queueView) {
	kind := enumspb.TASK_QUEUE_TYPE_ACTIVITY
	if view.Type == "workflow" {
		kind = enumspb.TASK_QUEUE_TYPE_WORKFLOW
	}
	view.Workers = []workerView{}
	answer, err := g.temporal.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: g.namespace, TaskQueue: &taskqueuepb.TaskQueue{Name: view.Queue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
		TaskQueueType: kind, ReportStats: true,
	})
	if err != nil {
		g.unknown(fmt.Sprintf("the %s queue %s", view.Type, view.Queue), err)
		return
	}
	view.Known = true
	view.Backlog = answer.GetStats().GetApproximateBacklogCount()
	view.Oldest = answer.GetStats().GetApproximateBacklogAge().AsDuration()
	for _, poller := range answer.GetPollers() {
		if seen := poller.GetLastAccessTime().AsTime(); time.Since(seen) < pollerSeen {
			view.Workers = append(view.Workers, workerView{Identity: poller.GetIdentity(), Seen: seen})
		}
	}
}

// servers asks tiger's catalog how the servers stand.
func (g *gatherer) servers(ctx context.Context) {
	if !g.polled {
		g.learn(func(s *survey) { s.Servers.Why = "no tiger worker is there to ask" })
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupWithin)
	defer cancel()
	answer, err := readServers(ctx, g.temporal, nil)
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("tiger did not answer within %s", lookupWithin)
	}
	if err != nil { // with a worker there, a catalog that does not answer is no sign of health
		g.unknown("how the servers stand", err)
	}
	g.learn(func(s *survey) {
		if err != nil {
			s.Servers.Why = err.Error()
			return
		}
		s.Servers.Known, s.Servers.Total, s.standing = true, len(answer.Servers), answer.Servers
	})
}
