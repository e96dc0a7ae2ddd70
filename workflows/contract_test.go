package workflows

import (
	"reflect"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"talon/activities"
)

// The names below are in the histories of running workflows: a change of one breaks every workflow that is open during an update.

func TestWorkflowTypes(t *testing.T) {
	w := newWorld(t)
	w.execute(ReportID("collect/k", "n"), "ReportWorkflow", activities.ReportInput{})
	require.NoError(t, w.env.GetWorkflowError())

	w = newWorld(t)
	w.execute(LookupID("servers", "n"), "LookupWorkflow", LookupInput{Servers: &activities.ServersInput{}})
	require.NoError(t, w.env.GetWorkflowError())

	w = newWorld(t)
	w.execute(ProbeID("k", 1), "ProbeWorkflow", ProbeInput{})
	require.NoError(t, w.env.GetWorkflowError())

	w = newWorld(t)
	w.execute(VerifyID("k"), "VerifyWorkflow", VerifyInput{From: activities.VerifyCursor{ID: 2}})
	require.NoError(t, w.env.GetWorkflowError())

	w = newWorld(t)
	w.execute(FindingsID("verify/k", "n"), "FindingsWorkflow", activities.FindingsInput{})
	require.NoError(t, w.env.GetWorkflowError())

	w = newWorld(t)
	w.execute(CleanID("k"), "CleanWorkflow", CleanInput{From: activities.VerifyCursor{Phase: 2}})
	require.NoError(t, w.env.GetWorkflowError())

	w = newWorld(t)
	w.execute(ForgetID("n"), "ForgetWorkflow", activities.ForgetInput{Files: []string{"a.zip"}})
	require.NoError(t, w.env.GetWorkflowError())

	w = threeServers(t)
	types := map[string]bool{}
	w.children(func(info *workflow.Info, _ converter.EncodedValues) { types[info.WorkflowType.Name] = true })
	w.execute(CollectID("k"), "CollectWorkflow", CollectInput{})
	require.NoError(t, w.env.GetWorkflowError())
	assert.Equal(t, map[string]bool{"CollectServerWorkflow": true, "DecompressWorkflow": true}, types)
}

func methods(of any) []string {
	var names []string
	for method := range reflect.TypeOf(of).Methods() {
		names = append(names, method.Name)
	}
	return names
}

func TestActivityTypes(t *testing.T) {
	assert.Equal(t, []string{
		"CleanWarehouse", "CloseDecompression", "CloseRun", "CommitServer", "DownloadFile", "FindEagle", "ForgetFiles",
		"ListServer", "MendFindings", "PlanExtraction", "PlanProbe", "PlanRun", "ProbeServer", "ReadFiles", "ReadFindings",
		"ReadReport", "ReadRuns", "ReadServers", "SealArchives", "VerifyFiles",
	}, methods(tiger))
	assert.Equal(t, []string{"ExtractArchives"}, methods(eagle))
	assert.Equal(t, []string{"tiger", "eagle"}, []string{activities.TigerQueue, activities.EagleQueue})
}

// TestFakesAreLikeTheOriginals: what the other tests prove of the fakes holds for the activities that workers register.
func TestFakesAreLikeTheOriginals(t *testing.T) {
	for original, fake := range map[any]any{tiger: &fakeTiger{}, eagle: &fakeEagle{}} {
		require.Equal(t, methods(original), methods(fake))
		for _, name := range methods(original) {
			want, _ := reflect.TypeOf(original).MethodByName(name)
			got := reflect.ValueOf(fake).MethodByName(name).Type()
			var in []reflect.Type
			for i := 1; i < want.Type.NumIn(); i++ {
				in = append(in, want.Type.In(i))
			}
			out := slices.Collect(want.Type.Outs())
			assert.Equal(t, reflect.FuncOf(in, out, false), got, name)
		}
	}
}

func TestIDs(t *testing.T) {
	for want, got := range map[string]string{
		"collect/k":           CollectID("k"),
		"server/b-001":        ServerID("b-001"),
		"decompress/k":        OwnDecompressID("k"),
		"decompress/k/b":      DecompressID("collect/k", "b", 1),
		"decompress/k/b/2":    DecompressID("collect/k", "b", 2),
		"report/run/n":        ReportID("run", "n"),
		"lookup/files/n":      LookupID("files", "n"),
		"probe/k":             ProbeID("k", 1),
		"probe/k/2":           ProbeID("k", 2),
		"forget/n":            ForgetID("n"),
		"verify/k":            VerifyID("k"),
		"verify/k/findings/n": FindingsID("verify/k", "n"),
		"clean/k":             CleanID("k"),
		"collect/x":           RunID("x"),
		"collect/given":       RunID("collect/given"),
		"decompress/given":    RunID("decompress/given"),
	} {
		assert.Equal(t, want, got)
	}
}

func TestSearchAttributeNames(t *testing.T) {
	for want, key := range map[string]temporal.SearchAttributeKey{
		"TalonServer": AttributeServer, "TalonRun": AttributeRun, "TalonState": AttributeState,
		"TalonResult": AttributeResult, "TalonFiles": AttributeFiles, "TalonFailed": AttributeFailed,
	} {
		assert.Equal(t, want, key.GetName())
	}
}

func TestReport(t *testing.T) {
	w := newWorld(t)
	in := activities.ReportInput{Run: "collect/k", Cursor: "c"}
	w.execute(ReportID("collect/k", "n"), ReportWorkflow, in)
	assert.Equal(t, activities.ReportPage{Next: "page after c"}, resultOf[activities.ReportPage](w))
	assert.Equal(t, []activities.ReportInput{in}, inputs[activities.ReportInput](w))
}
