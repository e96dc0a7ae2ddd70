package workflows

import "go.temporal.io/sdk/worker"

// Register registers every workflow. Workers, tests and the replayer all call it.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflow(CollectWorkflow)
	r.RegisterWorkflow(CollectServerWorkflow)
	r.RegisterWorkflow(DecompressWorkflow)
	r.RegisterWorkflow(ReportWorkflow)
	r.RegisterWorkflow(LookupWorkflow)
	r.RegisterWorkflow(ProbeWorkflow)
}
