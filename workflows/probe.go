package workflows

import (
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// ProbeWorkflow finds out what a page of servers can do and what is wrong with them, through a window of maxProbes. It exists because the starter may
// be anywhere and knows no FTP password: the probing is tiger's. A probe that comes to nothing is a result; the workflow fails only on unknown names.
func ProbeWorkflow(ctx workflow.Context, in ProbeInput) (ProbePage, error) {
	p := &probeRun{ProbeInput: in, run: workflow.GetInfo(ctx).WorkflowExecution.ID, state: StatePlanning}
	if err := workflow.SetQueryHandler(ctx, ProgressQuery, p.progress); err != nil {
		return ProbePage{}, err
	}
	err := cheaply(ctx, tigerCall, "which servers to probe", tiger.PlanProbe, activities.PlanProbeInput{Servers: in.Servers, After: in.After}, &p.plan)
	if err != nil {
		return ProbePage{}, err
	}
	p.state = StateProbing
	results := p.fanOut(ctx)
	if err := ctx.Err(); err != nil {
		return ProbePage{}, err
	}
	p.state = StateDone
	p.showResult(ctx, results)
	return ProbePage{Servers: results, Next: p.plan.Next}, nil
}

// probeRun is the state of a ProbeWorkflow.
type probeRun struct {
	ProbeInput
	run   string
	state string
	plan  activities.ProbePlan
	// finished are the servers whose probes have ended, in that order.
	finished []Brief
}

// progress answers ProgressQuery, from the position-th finished server on.
func (p *probeRun) progress(position int) (Progress, error) {
	position = min(max(position, 0), len(p.finished))
	return Progress{
		State: p.state, Servers: p.plan.Total, Done: len(p.finished), Total: len(p.plan.Servers),
		Finished: p.finished[position:], Position: len(p.finished),
	}, nil
}

// fanOut probes the servers and returns what was found, in their order. After a cancellation it waits for those under way: they remove what they
// stored.
func (p *probeRun) fanOut(ctx workflow.Context) []activities.ServerProbe {
	results := make([]activities.ServerProbe, len(p.plan.Servers))
	slots := workflow.NewSemaphore(ctx, maxProbes)
	inFlight := workflow.NewWaitGroup(ctx)
	for i, server := range p.plan.Servers {
		if err := slots.Acquire(ctx, 1); err != nil {
			break // cancelled
		}
		inFlight.Add(1)
		workflow.Go(ctx, func(ctx workflow.Context) {
			defer inFlight.Done()
			defer slots.Release(1)
			results[i] = p.probe(ctx, server)
			p.finished = append(p.finished, probeBrief(results[i]))
		})
	}
	inFlight.Wait(ctx)
	return results
}

func (p *probeRun) probe(ctx workflow.Context, server string) activities.ServerProbe {
	var result activities.ServerProbe
	in := activities.ProbeServerInput{Run: p.run, Server: server, Write: p.Write}
	if err := workflow.ExecuteActivity(probe(ctx, "probe "+server), tiger.ProbeServer, in).Get(ctx, &result); err != nil {
		return activities.FailedProbe(server, err)
	}
	return result
}

// probeBrief is a probed server in a line: the first problem stands for all.
func probeBrief(result activities.ServerProbe) Brief {
	row := Brief{Server: result.Server, Result: result.Result}
	if len(result.Problems) > 0 {
		row.Reason, row.Detail = result.Problems[0].What, result.Problems[0].Detail
	}
	return row
}

// showResult puts what was found where the Web UI shows it.
func (p *probeRun) showResult(ctx workflow.Context, results []activities.ServerProbe) {
	counts := map[int]int{}
	var problems [][]string
	for _, result := range results {
		counts[result.Result]++
		for _, problem := range result.Problems {
			problems = append(problems, []string{Quote(result.Server), Quote(problem.What), Quote(problem.Advice)})
		}
	}
	var d details
	d.add("**%d of %s fine**", counts[activities.Success], count(len(results), "server"))
	if trouble := tally(quantity{counts[activities.Partial], "with problems"}, quantity{counts[activities.Failed], "from which nothing can be collected"}); trouble != "" {
		d.add("%s", trouble)
	}
	d.table("server | problem | what to do", problems)
	d.show(ctx)
}
