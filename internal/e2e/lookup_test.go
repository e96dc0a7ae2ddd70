package e2e

import (
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
)

// What programs read of `starter servers`, `runs` and `files` with -o json.
type (
	serverList struct {
		Servers []struct {
			Server      string    `json:"server"`
			Status      string    `json:"status"`
			Run         string    `json:"run"`
			Collected   int       `json:"collected"`
			Bytes       int64     `json:"bytes"`
			Reason      string    `json:"reason"`
			LastSuccess time.Time `json:"last_success"`
			Lag         *float64  `json:"lag"`
			Learned     struct {
				Listing string `json:"listing"`
			} `json:"learned"`
		} `json:"servers"`
	}
	runList struct {
		Runs []struct {
			Run      string `json:"run"`
			Status   string `json:"status"`
			Servers  int    `json:"servers"`
			Good     int    `json:"good"`
			Bad      int    `json:"bad"`
			Files    int    `json:"files"`
			Bytes    int64  `json:"bytes"`
			Archives int    `json:"archives"`
		} `json:"runs"`
		More bool `json:"more"`
	}
	fileList struct {
		Files []foundFile `json:"files"`
	}
	foundFile struct {
		State  string `json:"state"`
		Run    string `json:"run"`
		Server string `json:"server"`
		Name   string `json:"name"`
		Line   string `json:"line"`
		Reason string `json:"reason"`
		Gone   bool   `json:"gone"`
		File   struct {
			Path   string `json:"path"`
			SHA256 string `json:"sha256"`
		} `json:"file"`
		Archives []struct {
			Done      bool   `json:"done"`
			Result    int    `json:"result"`
			Received  int    `json:"received"`
			Directory string `json:"directory"`
		} `json:"archives"`
		Extracted struct {
			Path   string `json:"path"`
			Layer  string `json:"layer"`
			SHA256 string `json:"sha256"`
		} `json:"extracted"`
	}
)

// looked runs a command that lists and returns what it told programs.
func looked[T any](s *stack, args ...string) (answer T) {
	s.t.Helper()
	s.starter(append(args, "-o", "json")...).code(complete).decode(&answer)
	return answer
}

// TestLookup collects twice from a good branch and from one that is down, and then asks what operators ask: how the servers stand, how the runs went,
// what became of a remote file, and where each extracted file comes from. The answers must be what the test itself put on the servers.
func TestLookup(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	good := s.addSite("branch-001")
	good.settings = ", min_age: 1h"
	s.addClosedSite("branch-002")
	inner := []archivetest.File{member("deep/x.csv", text("x", 300))}
	members := []archivetest.File{member("a.csv", text("a", 200))}
	archive := packZip(members[0], member("inner.tar.gz", archivetest.TarGz(inner)))
	good.putArchive("day/statements.zip", archive, []archivetest.File{members[0], member("inner/deep/x.csv", inner[0].Data)})
	good.put("report.csv", text("report", 400))
	good.serve("young.csv", text("young", 100), time.Now())
	s.configure("")
	s.start()
	first := s.collect(partly)
	young := text("old enough", 500)
	good.put("young.csv", young)
	second := s.collect(partly)
	s.requireWarehouse()

	t.Run("servers", func(*testing.T) { s.requireServers(second, int64(len(young))) })
	t.Run("runs", func(*testing.T) { s.requireRuns(first, second) })
	t.Run("a remote file", func(t *testing.T) {
		found := looked[fileList](s, "files", "--name", "young.csv").Files
		require.Len(t, found, 2)
		assert.Equal(t, []string{"collected", second.Run, "deferred", first.Run}, []string{found[0].State, found[0].Run, found[1].State, found[1].Run})
		assert.Equal(t, []string{filepath.Join(s.root, "zip/branch-001/young.csv"), digest(young)}, []string{found[0].File.Path, found[0].File.SHA256})
		assert.NotEmpty(t, found[1].Reason)
		assert.Equal(t, found, looked[fileList](s, "files", "--server", "branch-001", "--since", "1h", "--name", "y*.csv").Files)

		found = looked[fileList](s, "files", "--server", "branch-001", "--name", "day/*", "--state", "collected").Files
		require.Len(t, found, 1)
		require.Len(t, found[0].Archives, 1)
		a := found[0].Archives[0]
		assert.Equal(t, []any{true, complete, 2, filepath.Join(s.root, "unzip/branch-001/day/statements")}, []any{a.Done, a.Result, a.Received, a.Directory})
		assert.Contains(t, s.starter("files", "--name", "statements.zip").code(complete).stdout.String(), "extraction complete: 2 files")
	})
	t.Run("extracted files", func(t *testing.T) {
		s.requireOrigins(first.Run, map[string]string{"day/statements/a.csv": "", "day/statements/inner/deep/x.csv": "/inner.tar.gz"})
	})
	refused := s.starter("servers", "brnch-001").code(unusable)
	assert.Contains(t, refused.stderr.String(), "did you mean branch-001")
}

// requireServers demands that the server that is down is told of first, and that the other stands as the last run left it.
func (s *stack) requireServers(last runResult, bytes int64) {
	s.t.Helper()
	servers := looked[serverList](s, "servers").Servers
	require.Len(s.t, servers, 2)
	down, good := servers[0], servers[1]
	assert.Equal(s.t, []any{"branch-002", "failed", "server_unreachable", true}, []any{down.Server, down.Status, down.Reason, down.LastSuccess.IsZero()})
	assert.Nil(s.t, down.Lag)
	assert.Equal(s.t, []any{"branch-001", "complete", last.Run, 1, bytes}, []any{good.Server, good.Status, good.Run, good.Collected, good.Bytes})
	assert.True(s.t, last.Servers["branch-001"].EndTime.Equal(good.LastSuccess))
	assert.Equal(s.t, "MLSD", good.Learned.Listing)
	lagging := looked[serverList](s, "servers", "--lagging", "1000").Servers
	require.Len(s.t, lagging, 1)
	assert.Equal(s.t, "branch-002", lagging[0].Server)
}

// requireRuns demands the same counts of the runs as their results have.
func (s *stack) requireRuns(first, second runResult) {
	s.t.Helper()
	list := looked[runList](s, "runs", "--since", "1h")
	require.Len(s.t, list.Runs, 2)
	for i, want := range []runResult{second, first} {
		got, server := list.Runs[i], want.Servers["branch-001"]
		assert.Equal(s.t, []any{want.Run, "partly", 2, 1, 1, server.NumberOfFiles, server.Bytes, want.Decompress.Total},
			[]any{got.Run, got.Status, got.Servers, got.Good, got.Bad, got.Files, got.Bytes, got.Archives})
	}
	latest := looked[runList](s, "runs", "--limit", "1")
	assert.Equal(s.t, []any{1, second.Run, true}, []any{len(latest.Runs), latest.Runs[0].Run, latest.More})
	assert.Empty(s.t, looked[runList](s, "runs", "--result", "complete").Runs)
	assert.Len(s.t, looked[runList](s, "runs", "--result", "failed", "--server", "branch-002").Runs, 2)
	assert.Len(s.t, looked[runList](s, "runs", "--result", "complete", "--server", "branch-001").Runs, 2)
	assert.Empty(s.t, looked[runList](s, "runs", "--kind", "decompress").Runs)
}

// requireOrigins asks where every file of the unzip warehouse comes from, by its path in two forms and by its hash. layers are those below the archive.
func (s *stack) requireOrigins(run string, layers map[string]string) {
	s.t.Helper()
	all, err := s.look()
	require.NoError(s.t, err)
	asked := map[string]string{}
	for name, hash := range all {
		relative, extracted := strings.CutPrefix(name, "unzip/")
		if !extracted {
			continue
		}
		absolute := filepath.Join(s.root, name)
		for _, args := range [][]string{{relative}, {absolute}, {"--sha256", hash}, {"--sha256", hash[:8]}, {"--state", "extracted", "--name", path.Base(name)}} {
			found := looked[fileList](s, append([]string{"files"}, args...)...).Files
			require.Len(s.t, found, 1, args)
			f := found[0]
			assert.Equal(s.t, []string{"extracted", absolute, hash}, []string{f.State, f.Extracted.Path, f.Extracted.SHA256})
			assert.Equal(s.t, []string{"branch-001", "day/statements.zip", run}, []string{f.Server, f.Name, f.Run})
			assert.Contains(s.t, f.Line, "statements.zip")
			below, _ := strings.CutPrefix(f.Extracted.Layer, "branch-001/day/statements.zip")
			asked[strings.TrimPrefix(relative, "branch-001/")] = below
		}
	}
	assert.Equal(s.t, layers, asked, "every extracted file, and no other: %v", slices.Collect(maps.Keys(all)))
}
