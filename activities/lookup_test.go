package activities

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/config"
	"talon/internal/archive/archivetest"
	"talon/internal/catalog"
	"talon/internal/ftpclient"
)

func TestReadServers(t *testing.T) {
	s := newSite(t, ", passive: pasv", "schedule: {every: 20m}\n")
	s.addServers("branch-002")
	s.put("a.txt", "hello")
	do(s, s.tiger.PlanRun, PlanInput{Run: run1})
	s.collect(run1)
	page := do(s, s.tiger.ReadServers, ServersInput{})
	assert.Equal(t, []any{2, "", 20 * time.Minute}, []any{page.Total, page.Next, page.Every})
	assert.WithinDuration(t, time.Now(), page.Now, time.Hour)
	require.Len(t, page.Servers, 2)
	good, other := page.Servers[0], page.Servers[1]
	row := s.report(run1).Servers[0]
	assert.Equal(t, []any{branch, run1, Success, 1, int64(5)}, []any{good.Server, good.Run, good.Result, good.Collected, good.Bytes})
	assert.True(t, row.End.Equal(good.LastSuccess))
	configured := s.config.Servers[branch]
	assert.Equal(t, net.JoinHostPort(configured.Host, strconv.Itoa(configured.Port)), good.Address)
	assert.Equal(t, []string{"PASV", "MLSD", "UTC"}, []string{good.Learned.Passive, good.Learned.Listing, good.Learned.Zone})
	assert.NotEmpty(t, good.Learned.Software)

	assert.Equal(t, "branch-002", other.Server)
	assert.Equal(t, catalog.ServerState{Server: "branch-002"}, other.ServerState, "no run has a row for it")
	assert.Equal(t, Learned{}, other.Learned, "what nobody has seen is not known")

	named := do(s, s.tiger.ReadServers, ServersInput{Servers: []string{"branch-002"}})
	assert.Equal(t, []any{1, "branch-002"}, []any{named.Total, named.Servers[0].Server})
	_, err := attempt(s, s.tiger.ReadServers, ServersInput{Servers: []string{"brnach-001"}})
	requireReason(t, err, "unknown_server", true)
	assert.ErrorContains(t, err, "did you mean "+branch)
}

// TestWhatIsKnownOfAServerInWords: the same words as those of a probe, of what the catalog holds.
func TestWhatIsKnownOfAServerInWords(t *testing.T) {
	s := newSite(t, "", "")
	s.set(func(server *config.Server) { server.Listing = config.ListingLIST })
	collected := time.Now()
	learned := func(known any) json.RawMessage {
		document, err := json.Marshal(known)
		require.NoError(t, err)
		return document
	}
	for name, test := range map[string]struct {
		known any
		last  time.Time
		want  Learned
	}{
		"a line elsewhere": {
			ftpclient.Behaviour{Software: "ftpd", Passive: ftpclient.PassivePASV, Resume: ftpclient.Yes, ZoneKnown: true, ZoneMinutes: 480, Sessions: 3},
			collected,
			Learned{Software: "ftpd", Passive: "PASV", Listing: "LIST", REST: "yes", Zone: "+08:00", Sessions: 3},
		},
		"in UTC":            {ftpclient.Behaviour{ZoneKnown: true}, collected, Learned{Passive: "EPSV", Listing: "LIST", Zone: "UTC"}},
		"zone unknown":      {ftpclient.Behaviour{}, collected, Learned{Passive: "EPSV", Listing: "LIST"}},
		"never collected":   {ftpclient.Behaviour{Software: "ftpd"}, time.Time{}, Learned{Software: "ftpd"}},
		"of another writer": {[]int{1}, collected, Learned{Passive: "EPSV", Listing: "LIST"}},
	} {
		status := s.tiger.status(catalog.ServerState{Server: branch, LastSuccess: test.last, Learned: learned(test.known)})
		assert.Equal(t, test.want, status.Learned, name)
	}
}

// TestServersComeInPages: far more than one payload may hold, each server once, in the order of their names.
func TestServersComeInPages(t *testing.T) {
	s := newSite(t, "", "")
	s.config.Servers = map[string]config.Server{}
	for i := range 3000 {
		s.addServers(fmt.Sprintf("branch-%04d", i))
	}
	var names []string
	pages := 0
	for in := (ServersInput{}); pages == 0 || in.After != ""; pages++ {
		page := do(s, s.tiger.ReadServers, in)
		document, err := json.Marshal(page)
		require.NoError(t, err)
		assert.Less(t, len(document), 200<<10)
		assert.Equal(t, 3000, page.Total)
		for _, server := range page.Servers {
			names = append(names, server.Server)
		}
		in.After = page.Next
	}
	assert.Equal(t, s.config.ServerNames(), names)
	assert.Greater(t, pages, 1)
}

// TestReasonsThatSayNothingOfABranch: the catalog must know them, and knows none of this package's names.
func TestReasonsThatSayNothingOfABranch(t *testing.T) {
	s := newSite(t, "", "")
	for i, reason := range []string{ReasonBusy, ReasonRunning, ReasonNotStarted, ReasonCancelled, ReasonSkipped} {
		row := catalog.ServerRow{Run: fmt.Sprint("collect/", i), Server: branch, Result: Failed, Reason: reason, End: time.Now()}
		require.NoError(t, s.tiger.Catalog.SaveServer(t.Context(), row))
		assert.Equal(t, catalog.ServerState{Server: branch, Latest: reason}, do(s, s.tiger.ReadServers, ServersInput{}).Servers[0].ServerState)
	}
}

func TestReadRuns(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.txt", "hello")
	for _, run := range []string{run1, run2} {
		do(s, s.tiger.PlanRun, PlanInput{Run: run})
		s.collect(run)
	}
	conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run2, Start: time.Now()})
	first := do(s, s.tiger.ReadRuns, RunsInput{Limit: 1})
	require.Len(t, first.Runs, 1)
	assert.Equal(t, []any{run2, 1, 1, 0}, []any{first.Runs[0].ID, first.Runs[0].Servers, first.Runs[0].Good, first.Runs[0].Files})
	assert.WithinDuration(t, time.Now(), first.Now, time.Hour)
	second := do(s, s.tiger.ReadRuns, RunsInput{Limit: 1, Cursor: first.Next})
	require.Len(t, second.Runs, 1)
	assert.Equal(t, []any{run1, 1, int64(5), true}, []any{second.Runs[0].ID, second.Runs[0].Files, second.Runs[0].Bytes, second.Runs[0].End.IsZero()})
	assert.Empty(t, second.Next)

	of := func(server string) RunsInput {
		return RunsInput{Limit: 1, RunsQuery: catalog.RunsQuery{Server: server}}
	}
	assert.Len(t, do(s, s.tiger.ReadRuns, of(branch)).Runs, 1)
	_, err := attempt(s, s.tiger.ReadRuns, of("brnach-001"))
	requireReason(t, err, "unknown_server", true)
	delete(s.config.Servers, branch)
	assert.Len(t, do(s, s.tiger.ReadRuns, of(branch)).Runs, 1, "what was taken out of the configuration has its history all the same")
}

// TestReadFiles follows an archive from the branch's listing to the files that came out of it, and back.
func TestReadFiles(t *testing.T) {
	s := newSite(t, ", encoding: gbk", "")
	const name = "day/\xc8\xd5\xb1\xa8.zip" // 日报 as the branch writes it
	s.put(name, string(archivetest.Zip([]archivetest.File{{Name: "a.txt", Data: []byte("alpha"), ModTime: written}})))
	do(s, s.tiger.PlanRun, PlanInput{Run: run1})
	s.collect(run1)
	zip, unzip := s.tiger.Warehouse.ZipDir(), s.tiger.Warehouse.UnzipDir()
	plan := do(s, s.tiger.PlanExtraction, ExtractionInput{Decompression: decompressionOf(run1), ZipDir: zip, UnzipDir: unzip})
	s.decompress(decompressionOf(run1), zip, plan.Batches[0])

	ask := func(in FilesInput) []FoundFile {
		in.Limit = 10
		page := do(s, s.tiger.ReadFiles, in)
		assert.Empty(t, page.Next)
		return page.Findings
	}
	remote := ask(FilesInput{FilesQuery: catalog.FilesQuery{Server: branch, Name: "日报.zip"}})
	require.Len(t, remote, 1)
	f := remote[0]
	assert.Equal(t, []any{catalog.StateCollected, run1, branch, "day/日报.zip", false}, []any{f.State, f.Run, f.Server, f.Name, f.Gone})
	assert.Contains(t, f.Line, "日报.zip", "the line is decoded, too")
	assert.Equal(t, path.Join(zip, branch, "day/日报.zip"), f.File.Path)
	require.Len(t, f.Archives, 1)
	assert.Equal(t, []any{true, Success, 1, path.Join(unzip, branch, "day/日报")}, []any{f.Archives[0].Done, f.Archives[0].Result, f.Archives[0].Received, f.Archives[0].Directory})

	extracted := path.Join(unzip, branch, "day/日报/a.txt")
	for what, in := range map[string]FilesInput{
		"absolute": {File: extracted}, "relative": {File: branch + "/day/日报/a.txt"}, "hash": {FilesQuery: catalog.FilesQuery{SHA256: sha("alpha")}},
	} {
		found := ask(in)
		require.Len(t, found, 1, what)
		assert.Equal(t, catalog.Extracted{Path: extracted, Layer: branch + "/day/日报.zip", Size: 5, SHA256: sha("alpha")}, *found[0].Member, what)
		assert.Equal(t, []any{branch, "day/日报.zip", run1, f.Line, false}, []any{found[0].Server, found[0].Name, found[0].Run, found[0].Line, found[0].ExtractedGone})
	}
	assert.Equal(t, remote, ask(FilesInput{File: branch + "/day/日报.zip"}), "of the zip warehouse, too")

	require.NoError(t, os.Remove(extracted))
	require.NoError(t, os.Remove(f.File.Path))
	found := ask(FilesInput{File: extracted})[0]
	assert.True(t, found.Gone && found.ExtractedGone)
	_, err := attempt(s, s.tiger.ReadFiles, FilesInput{Limit: 1, FilesQuery: catalog.FilesQuery{Server: "brnach-001"}})
	requireReason(t, err, "unknown_server", true)
	_, err = attempt(s, s.tiger.ReadFiles, FilesInput{Limit: 1, FilesQuery: catalog.FilesQuery{SHA256: "abc"}})
	requireReason(t, err, "bad_question", true)
}
