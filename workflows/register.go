package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// Register registers every workflow. Workers, tests and the replayer all call it.
//
// Where workers are versions of a deployment, a workflow that says nothing here ends on the version that it began on (pinned): it is over in minutes,
// and what began with one code ends with it. DecompressWorkflow may wait for an eagle for two days, and would keep an old tiger needed for as long:
// it goes over to the current version (auto-upgrade), so its changes need workflow.GetVersion even there. See docs/upgrades.md.
func Register(r worker.WorkflowRegistry) {
	r.RegisterWorkflow(CollectWorkflow)
	r.RegisterWorkflow(CollectServerWorkflow)
	r.RegisterWorkflowWithOptions(DecompressWorkflow, workflow.RegisterOptions{VersioningBehavior: workflow.VersioningBehaviorAutoUpgrade})
	r.RegisterWorkflow(ReportWorkflow)
	r.RegisterWorkflow(LookupWorkflow)
	r.RegisterWorkflow(ProbeWorkflow)
	r.RegisterWorkflow(ForgetWorkflow)
	r.RegisterWorkflow(VerifyWorkflow)
	r.RegisterWorkflow(FindingsWorkflow)
	r.RegisterWorkflow(CleanWorkflow)
}
