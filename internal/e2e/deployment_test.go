package e2e

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

// version is a row of `starter deployment -o json`.
type version struct {
	Deployment string `json:"deployment"`
	BuildID    string `json:"build_id"`
	State      string `json:"state"`
	Pinned     int    `json:"pinned_runs"`
}

// versions is what `starter deployment` shows.
func (s *stack) versions() []version {
	s.t.Helper()
	var rows []version
	s.starter("deployment", "-o", "json").code(complete).decode(&rows)
	return rows
}

// makeCurrent makes a version the current one as soon as a worker of it has polled.
func (s *stack) makeCurrent(deployment, buildID string) {
	s.t.Helper()
	s.eventually(buildID+" as the current version of "+deployment, func() bool {
		return s.starter("deployment", "current", deployment, buildID).end().process.ExitCode() == complete
	})
}

// ranOn is the build ID of the version that a workflow ran on.
func (s *stack) ranOn(workflow string) string {
	s.t.Helper()
	description, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), workflow, "")
	require.NoError(s.t, err)
	return description.GetWorkflowExecutionInfo().GetVersioningInfo().GetDeploymentVersion().GetBuildId()
}

// TestVersionsSideBySide upgrades tiger and eagle as versions of worker deployments: a run under way ends on the version it began on, a new one begins
// on the new version, what waits for an eagle goes over to it, eagle is upgraded by itself, and the old version is seen to be needed no more.
func TestVersionsSideBySide(t *testing.T) {
	t.Parallel()
	upgraded := goodUpgrade(t)
	s := newStackOn(t, startDrainingTemporal(t))
	a := s.addFake("a", ftptest.Options{})
	a.put("large.bin", text("large", largeSize))
	a.putZip("p.zip", member("m.txt", text("m", 1000)))
	open := make(chan struct{})
	a.onFile("large.bin", ftptest.Stall(largeCut, open))
	s.addFake("b", ftptest.Options{}).put("large.bin", text("other", largeSize))
	s.configure("collect: {small_file: 256KiB}")
	s.watch()
	assert.Empty(t, s.versions())
	s.tiger = s.worker("tiger", "--versioned", "--build-id", "v1")
	s.eagle = s.worker("eagle", "--versioned", "--build-id", "v1")
	s.makeCurrent("tiger", "v1")
	s.makeCurrent("eagle", "v1")

	named := filepath.Join(s.dir, "run")
	first := s.beginCollect("--server", "a", "--run-file", named)
	s.eventually("a heartbeat with what is staged", func() bool { return s.checkpoint("server/a") == largeCut })
	old := s.tiger
	s.tiger = s.workerOf(upgraded, "tiger", "--versioned", "--build-id", "v2")
	s.makeCurrent("tiger", "v2")
	second := s.collect(complete, "--server", "b")
	assert.Equal(t, "v2", s.ranOn(second.Run))
	assert.Equal(t, "v2", s.ranOn("server/b"))
	assert.Equal(t, []int{1, 1}, s.changes("server/b"))
	s.eventually("the old version with its runs", func() bool {
		rows := s.versions()
		return assert.ObjectsAreEqual([]version{
			{"tiger", "v2", "current", 0}, {"tiger", "v1", "draining", 2}, {"eagle", "v1", "current", 0},
		}, rows)
	})

	oldEagle := s.eagle
	s.eagle = s.worker("eagle", "--versioned", "--build-id", "v7", "--name", "new-eagle")
	s.makeCurrent("eagle", "v7")
	s.stop(oldEagle)
	close(open)
	result := first.result(complete)
	run := s.runID(named)
	assert.Equal(t, "v1", s.ranOn(run), "it is pinned")
	assert.Equal(t, "v1", s.ranOn("server/a"), "so is its child")
	assert.Equal(t, []int{0, 0}, s.changes("server/a"))
	assert.Equal(t, "v2", s.ranOn("decompress/"+run[len("collect/"):]+"/a"), "it goes over to the current version")
	assert.Equal(t, "new-eagle", result.Decompress.Archives["a/p.zip"].Host)

	s.eventually("the end of the old version", func() bool {
		for _, v := range s.versions() {
			if v.Deployment == "tiger" && v.BuildID == "v1" {
				return v == version{"tiger", "v1", "drained", 0}
			}
		}
		return true // Temporal forgets a version that nobody needs
	})
	s.stop(old)
	s.requireWarehouse()
	s.requireFiles(result, second)
	s.requireNothingNew()
}

// TestBackToUnversioned: versions can be given up; without a worker of the name, or with a wrong one, nothing changes.
func TestBackToUnversioned(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	s.addSite("a").put("x.csv", text("x", 1000))
	s.configure("")
	s.watch()
	assert.Contains(t, s.starter("deployment", "current", "tiger", "v1").code(unusable).stderr.String(), "start it first, with worker --role tiger --versioned")
	s.tiger = s.worker("tiger", "--versioned", "--build-id", "v1")
	s.startEagle()
	s.makeCurrent("tiger", "v1")
	s.starter("deployment", "current", "tiger", "v2").code(unusable)
	first := s.collect(complete)
	assert.Equal(t, "v1", s.ranOn("server/a"))
	s.stop(s.tiger)
	s.startTiger()
	s.starter("deployment", "current", "tiger", "--unversioned").code(complete)
	s.requireNothingNew()
	assert.Empty(t, s.ranOn("server/a"))
	s.requireFiles(first)
}

// startDrainingTemporal starts a server that looks every second, not every few minutes, whether a version is still needed.
func startDrainingTemporal(t *testing.T) *devstack.Temporal {
	t.Helper()
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{
		CLI: temporalCLI, Headless: true, Log: filepath.Join(t.TempDir(), "temporal.log"),
		DynamicConfig: map[string]string{
			"matching.wv.VersionDrainageStatusRefreshInterval": `"1s"`, "matching.wv.VersionDrainageStatusVisibilityGracePeriod": `"1s"`,
		},
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	return server
}
