package activities

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/config"
	"talon/internal/catalog"
)

// addServers adds further servers, which nobody connects to.
func (s *site) addServers(names ...string) {
	for i, name := range names {
		server := s.config.Servers[branch]
		server.Name, server.Connections = name, i+1
		s.config.Servers[name] = server
	}
}

func serverNames(plan Plan) []string {
	names := make([]string, len(plan.Servers))
	for i, server := range plan.Servers {
		names[i] = server.Name
	}
	return names
}

func TestPlanRun(t *testing.T) {
	s := newSite(t, ", connections: 7", "collect: {page: 40, small_file: 2KiB, window: 9, deadline: 3m}\nextract: {deadline: 5h}")
	s.addServers("branch-002", "branch-003")
	s.tiger.SearchAttributes = true
	plan := do(s, s.tiger.PlanRun, PlanInput{Run: run1})
	assert.Equal(t, Plan{
		Servers: []PlannedServer{{Name: branch, Connections: 7}, {Name: "branch-002", Connections: 1}, {Name: "branch-003", Connections: 2}},
		Window:  9, Deadline: 3 * time.Minute,
		Settings: ServerSettings{
			ZipDir: s.tiger.Warehouse.ZipDir(), UnzipDir: s.tiger.Warehouse.UnzipDir(), PageFiles: 40, SmallFile: 2048,
			ExtractDeadline: 5 * time.Hour, SearchAttributes: true,
		},
	}, plan)
	run := s.report(run1).Run
	require.NotNil(t, run, "the catalog knows of the run from its start")
	assert.False(t, run.Start.IsZero())
	assert.True(t, run.End.IsZero())
}

func TestPlanRunOfSomeServers(t *testing.T) {
	s := newSite(t, "", "")
	s.addServers("branch-002", "branch-003", "branch-004")
	for name, test := range map[string]struct {
		in   PlanInput
		want []string
	}{
		"named":         {PlanInput{Servers: []string{"branch-003", branch, "branch-003"}}, []string{branch, "branch-003"}},
		"from":          {PlanInput{From: "branch-003"}, []string{"branch-003", "branch-004"}},
		"until":         {PlanInput{Until: "branch-003"}, []string{branch, "branch-002"}},
		"between":       {PlanInput{From: "branch-002", Until: "branch-004"}, []string{"branch-002", "branch-003"}},
		"named between": {PlanInput{Servers: []string{branch, "branch-003"}, From: "branch-002"}, []string{"branch-003"}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, serverNames(do(s, s.tiger.PlanRun, test.in)))
		})
	}
}

func TestPlanRunUnknownServer(t *testing.T) {
	s := newSite(t, "", "")
	_, err := attempt(s, s.tiger.PlanRun, PlanInput{Run: run1, Servers: []string{"brnach-001", branch, "head-office"}})
	requireReason(t, err, "unknown_server", true)
	_, detail := ReasonOf(err)
	for _, part := range []string{`"brnach-001"`, "did you mean " + branch, `"head-office"`, s.config.Path} {
		assert.Contains(t, detail, part)
	}
	_, err = attempt(s, s.tiger.ReadReport, ReportInput{Run: run1})
	requireReason(t, err, "unknown_run", true)
}

func TestPlanRunIntoABuffer(t *testing.T) {
	s := newSite(t, "", "")
	buffer := filepath.Join(t.TempDir(), "buffer", "monday")
	plan := do(s, s.tiger.PlanRun, PlanInput{Run: run1, Buffer: buffer})
	assert.Equal(t, buffer, plan.Settings.ZipDir)
	assert.DirExists(t, buffer)

	_, err := attempt(s, s.tiger.PlanRun, PlanInput{Run: run2, Buffer: otherFileSystem(t, s.tiger.Warehouse)})
	requireReason(t, err, "two_file_systems", true)
}

// TestPlanRunInShards: every server is in one shard, and only in one.
func TestPlanRunInShards(t *testing.T) {
	for _, count := range []int{500, 501, 1000, 1201} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			s := newSite(t, "", "")
			s.config.Servers = map[string]config.Server{}
			for i := range count {
				s.addServers(fmt.Sprintf("branch-%d", i))
			}
			root := do(s, s.tiger.PlanRun, PlanInput{Run: run1})
			begun := s.report(run1).Run
			planned := serverNames(root)
			for _, shard := range root.Shards {
				plan := do(s, s.tiger.PlanRun, PlanInput{Run: run1, From: shard.From, Until: shard.Until})
				assert.Empty(t, plan.Shards)
				assert.LessOrEqual(t, len(plan.Servers), 500)
				assert.Equal(t, root.Settings, plan.Settings)
				planned = append(planned, serverNames(plan)...)
			}
			assert.Equal(t, begun, s.report(run1).Run, "only the root begins the run")
			slices.Sort(planned)
			assert.Equal(t, s.config.ServerNames(), planned)
			assert.Equal(t, count > 500, len(root.Shards) > 0)
		})
	}
}

func TestPlanRunKeepsWhatRunningAttemptsStaged(t *testing.T) {
	s := newSite(t, "", "")
	for _, name := range []string{serverStage("collect/sunday", branch) + "/1-1-A", decompressionStage("decompress/sunday") + "/1-1-B/tree/x"} {
		file, err := s.tiger.Warehouse.CreateStaged(name)
		require.NoError(t, err)
		_, err = file.Close()
		require.NoError(t, err)
	}
	waiting := catalog.Archive{Decompression: "decompress/sunday", ZipDir: "/zip", Path: "a.zip", UnzipDir: "/unzip"}
	require.NoError(t, s.tiger.Catalog.AddArchives(t.Context(), []catalog.Archive{waiting}))
	assert.Zero(t, do(s, s.tiger.PlanRun, PlanInput{Run: run1}).Leftovers)
	assert.Len(t, s.stage(), 2)
}

// TestPlanRunRemovesWhatFinishedDecompressionsStaged: it comes of attempts that were given up and did not know.
func TestPlanRunRemovesWhatFinishedDecompressionsStaged(t *testing.T) {
	s := newSite(t, "", "")
	gateways := path.Join(bundleStage, ".gateway", "upload")
	for _, name := range []string{
		decompressionStage("decompress/sunday") + "/1-1-B/tree/x", path.Join(bundleStage, newBundle("decompress/sunday", "1-2-C")), gateways,
	} {
		file, err := s.tiger.Warehouse.CreateStaged(name)
		require.NoError(t, err)
		_, err = file.Close()
		require.NoError(t, err)
	}
	assert.Equal(t, 2, do(s, s.tiger.PlanRun, PlanInput{Run: run1}).Leftovers)
	assert.Zero(t, do(s, s.tiger.PlanRun, PlanInput{Run: run1}).Leftovers, "the answer of the first attempt got lost")
	conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run1})
	assert.Equal(t, 2, s.report(run1).Run.Leftovers, "the run's account has them all the same")
	assert.Equal(t, []string{gateways}, slices.Collect(maps.Keys(s.stage())), "the gateway tidies its own")
}

func TestCloseRun(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	do(s, s.tiger.PlanRun, PlanInput{Run: run1})
	row := s.collect(run1).Row
	in := CloseRunInput{
		Run: run1, Result: Partial, Reason: "incomplete", Detail: "one server", Start: written, ZipDir: "/buffer",
		Servers: []ServerResult{
			{Server: branch, Result: Failed, Reason: "running"},
			{Server: "branch-002", Result: Failed, Reason: "busy", Detail: "another run", Start: written, End: written.Add(time.Minute)},
		},
	}
	conclude(s, s.tiger.CloseRun, in)
	conclude(s, s.tiger.CloseRun, in)
	report := s.report(run1)
	require.NotNil(t, report.Run)
	assert.Equal(t, []any{Partial, "incomplete", "one server", written}, []any{report.Run.Result, report.Run.Reason, report.Run.Detail, report.Run.Start})
	assert.False(t, report.Run.End.IsZero())
	require.Len(t, report.Servers, 2)
	assert.Equal(t, []any{branch, Success, row.Books}, []any{report.Servers[0].Server, report.Servers[0].Result, report.Servers[0].Books},
		"a server's own word counts more than its parent's")
	other := report.Servers[1]
	assert.Equal(t, []any{"branch-002", Failed, "busy", "another run", "/buffer/branch-002", written, written.Add(time.Minute)},
		[]any{other.Server, other.Result, other.Reason, other.Detail, other.BufferPath, other.Start, other.End})
}

func TestCloseRunOfAShard(t *testing.T) {
	s := newSite(t, "", "")
	do(s, s.tiger.PlanRun, PlanInput{Run: run1})
	conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run1, Shard: true, Servers: []ServerResult{{Server: branch, Reason: "busy"}}})
	report := s.report(run1)
	assert.Len(t, report.Servers, 1)
	assert.True(t, report.Run.End.IsZero(), "only the root ends the run")
}

func TestReadReportPages(t *testing.T) {
	s := newSite(t, "", "")
	in := CloseRunInput{Run: run1}
	for i := range 300 {
		in.Servers = append(in.Servers, ServerResult{Server: fmt.Sprintf("branch-%04d", i), Detail: strings.Repeat("d", 1500)})
	}
	conclude(s, s.tiger.CloseRun, in)
	seen := map[string]bool{}
	pages := 0
	for read := (ReportInput{Run: run1}); ; {
		page := do(s, s.tiger.ReadReport, read)
		assert.Equal(t, pages == 0, page.Run != nil)
		bytes := 0
		for _, server := range page.Servers {
			assert.False(t, seen[server.Server], "%s comes twice", server.Server)
			seen[server.Server] = true
			bytes += len(server.Detail)
		}
		assert.Less(t, bytes, 256<<10, "one payload")
		pages++
		if read.Cursor = page.Next; read.Cursor == "" {
			break
		}
	}
	assert.Len(t, seen, 300)
	assert.Greater(t, pages, 1)
}

func TestReadReportOfAnUnknownRun(t *testing.T) {
	s := newSite(t, "", "")
	_, err := attempt(s, s.tiger.ReadReport, ReportInput{Run: "collect/never"})
	requireReason(t, err, "unknown_run", true)
}

func TestBootID(t *testing.T) {
	if _, err := os.Stat("/proc/sys/kernel/random/boot_id"); err != nil {
		t.Skip("this kernel does not tell:", err)
	}
	assert.NotEmpty(t, BootID())
	assert.Equal(t, BootID(), BootID())
}
