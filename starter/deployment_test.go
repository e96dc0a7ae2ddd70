package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
)

// fakeVersions is a Temporal that knows versions of workers.
type fakeVersions struct {
	client.Client
	deployments map[string]client.WorkerDeploymentInfo
	pinned      map[string]int64 // by query
	broken      error
	set         []client.WorkerDeploymentSetCurrentVersionOptions
}

func (f *fakeVersions) Close() {}

func (f *fakeVersions) WorkerDeploymentClient() client.WorkerDeploymentClient {
	return fakeHandles{fake: f}
}

type fakeHandles struct {
	client.WorkerDeploymentClient
	fake *fakeVersions
}

func (h fakeHandles) GetHandle(name string) client.WorkerDeploymentHandle {
	return &fakeDeployment{fake: h.fake, name: name}
}

func (f *fakeVersions) CountWorkflow(
	_ context.Context, in *workflowservice.CountWorkflowExecutionsRequest,
) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	if in.GetNamespace() == "" {
		return nil, errors.New("no namespace")
	}
	return &workflowservice.CountWorkflowExecutionsResponse{Count: f.pinned[in.GetQuery()]}, f.broken
}

type fakeDeployment struct {
	client.WorkerDeploymentHandle
	fake *fakeVersions
	name string
}

func (d *fakeDeployment) Describe(context.Context, client.WorkerDeploymentDescribeOptions) (client.WorkerDeploymentDescribeResponse, error) {
	info, ok := d.fake.deployments[d.name]
	if !ok {
		return client.WorkerDeploymentDescribeResponse{}, serviceerror.NewNotFound("no such deployment")
	}
	return client.WorkerDeploymentDescribeResponse{ConflictToken: []byte("token"), Info: info}, nil
}

func (d *fakeDeployment) SetCurrentVersion(
	_ context.Context, options client.WorkerDeploymentSetCurrentVersionOptions,
) (client.WorkerDeploymentSetCurrentVersionResponse, error) {
	d.fake.set = append(d.fake.set, options)
	return client.WorkerDeploymentSetCurrentVersionResponse{}, d.fake.broken
}

func (f *fakeVersions) start(ctx context.Context, args ...string) call {
	var stdout, stderr bytes.Buffer
	a := &app{stdout: &stdout, stderr: &stderr, dial: func(context.Context) (client.Client, error) { return f, nil }}
	code := a.execute(ctx, args)
	return call{code, stdout.String(), stderr.String()}
}

// upgrade is an installation in the middle of an upgrade.
func upgrade() *fakeVersions {
	day := time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)
	of := func(deployment, id string) worker.WorkerDeploymentVersion {
		return worker.WorkerDeploymentVersion{DeploymentName: deployment, BuildID: id}
	}
	current, ramping := of("tiger", "v3"), of("tiger", "v4")
	draining := client.WorkerDeploymentVersionDrainageStatus(client.WorkerDeploymentVersionDrainageStatusDraining)
	drained := client.WorkerDeploymentVersionDrainageStatus(client.WorkerDeploymentVersionDrainageStatusDrained)
	return &fakeVersions{
		deployments: map[string]client.WorkerDeploymentInfo{
			"tiger": {
				Name: "tiger",
				VersionSummaries: []client.WorkerDeploymentVersionSummary{
					{Version: of("tiger", "v1"), CreateTime: day, DrainageStatus: drained},
					{Version: of("tiger", "v2"), CreateTime: day.Add(time.Hour), DrainageStatus: draining},
					{Version: current, CreateTime: day.Add(2 * time.Hour)},
					{Version: ramping, CreateTime: day.Add(3 * time.Hour)},
					{Version: of("tiger", "v5"), CreateTime: day.Add(4 * time.Hour)},
				},
				RoutingConfig: client.WorkerDeploymentRoutingConfig{
					CurrentVersion: &current, RampingVersion: &ramping, CurrentVersionChangedTime: day.Add(2 * time.Hour),
				},
			},
			"eagle": {Name: "eagle", VersionSummaries: []client.WorkerDeploymentVersionSummary{{Version: of("eagle", "it's"), CreateTime: day}}},
		},
		pinned: map[string]int64{
			"ExecutionStatus = 'Running' AND TemporalWorkflowVersioningBehavior = 'Pinned' AND TemporalWorkerDeploymentVersion = 'tiger:v2'": 7,
		},
	}
}

// TestDeployment: each version with what it is, the newest first, and how many runs need it.
func TestDeployment(t *testing.T) {
	got := upgrade().start(t.Context(), "deployment", "-o", "csv")
	assert.Equal(t, call{stdout: `deployment,build_id,state,pinned_runs,created,since
tiger,v5,waiting,0,2026-11-28T12:00:00Z,
tiger,v4,ramping,0,2026-11-28T11:00:00Z,
tiger,v3,current,0,2026-11-28T10:00:00Z,2026-11-28T10:00:00Z
tiger,v2,draining,7,2026-11-28T09:00:00Z,
tiger,v1,drained,0,2026-11-28T08:00:00Z,
eagle,it's,waiting,0,2026-11-28T08:00:00Z,
eagle,,current,0,,
`}, got)

	var versions []version
	require.NoError(t, json.Unmarshal([]byte(upgrade().start(t.Context(), "deployment", "-o", "json").stdout), &versions))
	require.Len(t, versions, 7)
	assert.Equal(t, version{
		Deployment: "tiger", BuildID: "v2", State: "draining", Created: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC), Pinned: 7,
	}, versions[3])
	assert.Contains(t, upgrade().start(t.Context(), "deployment").stdout, "(unversioned)")

	none := (&fakeVersions{}).start(t.Context(), "deployment")
	assert.Zero(t, none.code)
	assert.Contains(t, none.stdout, "no worker was started with --versioned yet")
	assert.Equal(t, "[]\n", (&fakeVersions{}).start(t.Context(), "deployment", "-o", "json").stdout)
	broken := upgrade()
	broken.broken = errors.New("no visibility")
	broken.start(t.Context(), "deployment").unusable(t, "count the runs of tiger:v", "no visibility")
}

func TestDeploymentCurrent(t *testing.T) {
	f := upgrade()
	assert.Equal(t, call{stdout: "tiger: new work goes to v5 (before: v3)\n"}, f.start(t.Context(), "deployment", "current", "tiger", "v5"))
	assert.Equal(t, call{stdout: "eagle: new work goes to (unversioned) (before: (unversioned))\n"},
		f.start(t.Context(), "deployment", "current", "eagle", "--unversioned"))
	assert.Equal(t, []client.WorkerDeploymentSetCurrentVersionOptions{
		{BuildID: "v5", ConflictToken: []byte("token")}, {ConflictToken: []byte("token")},
	}, f.set)

	got := (&fakeVersions{}).start(t.Context(), "deployment", "current", "tiger", "--unversioned")
	assert.Equal(t, call{stdout: "tiger: new work goes to (unversioned) (before: (unversioned))\n"}, got, "nothing else was ever there")

	f.broken = errors.New("somebody else was faster")
	f.start(t.Context(), "deployment", "current", "tiger", "v5").unusable(t, "make v5 the current version of tiger: somebody else was faster")
	f.broken = serviceerror.NewNotFound("no such version")
	f.start(t.Context(), "deployment", "current", "tiger", "v9").unusable(t, "start it first, with worker --role tiger --versioned --build-id v9")
	for _, args := range [][]string{{}, {"falcon", "v1"}} {
		f.start(t.Context(), append([]string{"deployment", "current"}, args...)...).unusable(t, "tiger or eagle", "--help")
	}
	for _, args := range [][]string{{"tiger"}, {"tiger", ""}, {"tiger", "v1", "v2"}, {"tiger", "v1", "--unversioned"}} {
		f.start(t.Context(), append([]string{"deployment", "current"}, args...)...).unusable(t, "needs one build ID", "--help")
	}
}
