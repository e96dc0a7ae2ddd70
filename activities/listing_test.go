package activities

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"google.golang.org/protobuf/encoding/protojson"

	"talon/config"
)

func names(files []FileRef) []string {
	all := make([]string, len(files))
	for i, file := range files {
		all[i] = file.Name
	}
	return all
}

func TestListServerPages(t *testing.T) {
	s := newSite(t, "", "")
	for i := range 5 {
		s.put(fmt.Sprintf("%d.csv", i), "x")
	}
	s.put("sub/deep.csv", "12345678")
	in := ListInput{Run: run1, Server: branch, PageFiles: 4}
	first := do(s, s.tiger.ListServer, in)
	require.Len(t, first.Files, 4)
	assert.True(t, first.More)

	s.put("new.csv", "x") // both are the next run's business
	s.remove("4.csv")
	in.After = first.Files[3].ID
	second := do(s, s.tiger.ListServer, in)
	assert.False(t, second.More)
	assert.ElementsMatch(t, []string{"0.csv", "1.csv", "2.csv", "3.csv", "4.csv", "sub/deep.csv"}, names(append(first.Files, second.Files...)))
	for _, page := range []FilePage{first, second} {
		assert.Equal(t, Books{Listed: 6, Pending: 6}, page.Books, "the books speak of one listing")
	}
	for _, file := range append(first.Files, second.Files...) {
		if file.Name == "sub/deep.csv" {
			assert.EqualValues(t, 8, file.Size)
		}
	}
	assert.ElementsMatch(t, []string{"0.csv", "1.csv", "2.csv", "3.csv", "new.csv", "sub/deep.csv"}, names(s.list(run2).Files))
}

func TestListServerAgain(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "x")
	s.put("b.csv", "x")
	assert.Equal(t, s.list(run1), s.list(run1), "an attempt whose answer got lost")
}

func TestListServerUnchanged(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "one")
	s.put("b.csv", "two")
	s.collect(run1)
	s.put("b.csv", "three")
	s.putAt("c.csv", "new", written)
	page := s.list(run2)
	assert.ElementsMatch(t, []string{"b.csv", "c.csv"}, names(page.Files))
	assert.Equal(t, Books{Listed: 3, Unchanged: 1, Pending: 2}, page.Books)
}

func TestListServerPageIsBoundedByTheBytesOfItsNames(t *testing.T) {
	s := newSite(t, "", "")
	for i := range 300 {
		s.put(fmt.Sprintf("%0230d.csv", i), "")
	}
	in := ListInput{Run: run1, Server: branch, PageFiles: 500}
	seen := 0
	for more := true; more; {
		page := do(s, s.tiger.ListServer, in)
		require.NotEmpty(t, page.Files)
		assert.LessOrEqual(t, len(strings.Join(names(page.Files), "")), 64<<10)
		in.After, more = page.Files[len(page.Files)-1].ID, page.More
		seen += len(page.Files)
	}
	assert.Equal(t, 300, seen)
}

func TestListServerOnlyWhatIsWanted(t *testing.T) {
	s := newSite(t, `, include: ["*.csv"], exclude: ["tmp/", "old*"]`, "")
	for _, name := range []string{"a.csv", "a.txt", "old.csv", "tmp/b.csv", "sub/c.csv"} {
		s.put(name, "x")
	}
	page := s.list(run1)
	assert.ElementsMatch(t, []string{"a.csv", "sub/c.csv"}, names(page.Files))
	assert.Equal(t, Books{Listed: 2, Excluded: 3, Pending: 2}, page.Books, "what is excluded is not part of the books")
}

// TestListServerClosedDirectory: what is in it may be wanted, whatever the directory is called.
func TestListServerClosedDirectory(t *testing.T) {
	s := newSite(t, `, include: ["*.csv"], exclude: ["tmp/"]`, "")
	s.says("Type=dir;Size=0;Modify=20260630180000; closed")
	s.says("Type=dir;Size=0;Modify=20260630180000; tmp")
	assert.Equal(t, Books{Listed: 1, Refused: 1, Excluded: 1}, s.list(run1).Books)
	assert.Equal(t, map[string]string{"closed": "refused unreadable_directory"}, s.entries(run1))
}

func TestListServerNotRecursive(t *testing.T) {
	s := newSite(t, ", recursive: false", "")
	s.put("a.csv", "x")
	s.put("sub/c.csv", "x")
	assert.Equal(t, []string{"a.csv"}, names(s.list(run1).Files))
}

func TestListServerLeavesYoungFilesToTheNextRun(t *testing.T) {
	s := newSite(t, ", min_age: 1h", "")
	s.put("old.csv", "x")
	s.putAt("young.csv", "x", time.Now())
	page := s.list(run1)
	assert.Equal(t, []string{"old.csv"}, names(page.Files))
	assert.Equal(t, Books{Listed: 2, Deferred: 1, Pending: 1}, page.Books)
	assert.Equal(t, map[string]string{"old.csv": "pending", "young.csv": "deferred too_young"}, s.entries(run1))

	s.put("young.csv", "x")
	assert.ElementsMatch(t, []string{"old.csv", "young.csv"}, names(s.list(run2).Files))
}

// TestListServerClockAhead: LIST tells the branch's own wall clock, which may be hours ahead of UTC.
func TestListServerClockAhead(t *testing.T) {
	s := newSite(t, "", "")
	s.putAt("a.csv", "x", time.Now().Add(8*time.Hour))
	assert.Equal(t, []string{"a.csv"}, names(s.list(run1).Files), "no age was asked for")
}

func TestListServerRefusesWithReasons(t *testing.T) {
	s := newSite(t, "", "")
	const facts = "Size=4;Modify=20260630180000; "
	s.says("Type=OS.unix=slink;" + facts + "link.zip")
	s.says("Type=OS.unix=chr-1;" + facts + "device")
	s.says("Type=dir;" + facts + "closed") // CWD will find nothing
	s.says("what is this?")
	s.put("bell\a.zip", "x")
	s.put("car\rriage.zip", "x")
	s.put(strings.Repeat("n", 250), "x")
	s.put("good.csv", "x")
	page := s.list(run1)
	assert.Equal(t, []string{"good.csv"}, names(page.Files))
	assert.Equal(t, Books{Listed: 8, Refused: 7, Pending: 1}, page.Books)
	assert.Equal(t, map[string]string{
		"link.zip":               "refused not_regular",
		"device":                 "refused not_regular",
		"closed":                 "refused unreadable_directory",
		"what is this?":          "refused unparsed_line",
		"bell\a.zip":             "refused unsafe_name",
		"car\rriage.zip":         "refused unsafe_name",
		strings.Repeat("n", 250): "refused unsafe_name",
		"good.csv":               "pending",
	}, s.entries(run1))
	conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run1})
	for _, issue := range s.report(run1).Issues {
		assert.NotEmpty(t, issue.Detail, issue.Name)
	}
}

// TestListServerCountsEveryUnparsedLine: the engine keeps only the first of them.
func TestListServerCountsEveryUnparsedLine(t *testing.T) {
	s := newSite(t, "", "")
	for i := range 150 {
		s.says(fmt.Sprintf("nonsense %d", i))
	}
	s.put("good.csv", "x")
	s.put("sub/good.csv", "x")
	page := s.list(run1)
	assert.Len(t, page.Files, 2)
	assert.Equal(t, Books{Listed: 103, Refused: 101, Pending: 2}, page.Books)
	assert.Equal(t, "refused unparsed_line", s.entries(run1)["50 more unparsed lines"])
}

func TestListServerNamesThatAreNotInTheCharset(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a\xff.csv", "one")
	s.put("a\xfe.csv", "three")
	assert.ElementsMatch(t, []string{"a%FF.csv", "a%FE.csv"}, names(s.list(run1).Files), "different names stay different")
	s.collect(run1)
	assert.Equal(t, map[string]string{branch + "/a%FF.csv": "one", branch + "/a%FE.csv": "three"}, s.zip())
}

func TestListServerDirectoryMissing(t *testing.T) {
	s := newSite(t, "", "")
	require.NoError(t, os.Remove(s.remote))
	_, err := attempt(s, s.tiger.ListServer, ListInput{Run: run1, Server: branch, PageFiles: 10})
	requireReason(t, err, "directory_missing", true)
	_, detail := ReasonOf(err)
	assert.Contains(t, detail, "/outgoing")
}

func TestListServerUnknown(t *testing.T) {
	s := newSite(t, "", "")
	_, err := attempt(s, s.tiger.ListServer, ListInput{Run: run1, Server: "brunch-001", PageFiles: 10})
	requireReason(t, err, "unknown_server", true)
	_, detail := ReasonOf(err)
	assert.Contains(t, detail, branch, "near misses help")
}

func TestListServerLoginRefused(t *testing.T) {
	s := newSite(t, "", "")
	const wrong = "incorrect horse"
	s.set(func(server *config.Server) { server.Password = config.NewSecret(wrong) })
	in := ListInput{Run: run1, Server: branch, PageFiles: 10}
	_, ordinary := attempt(s, s.tiger.ListServer, in)
	_, local := locally(s, s.tiger.ListServer, in)
	for _, err := range []error{ordinary, local} {
		requireReason(t, err, "login_refused", true)
		assert.True(t, IsServerGone(err))
		failure := protojson.Format(temporal.GetDefaultFailureConverter().ErrorToFailure(err))
		assert.NotContains(t, failure, wrong)
		assert.NotContains(t, failure, password)
	}
	assert.Equal(t, 1, s.ftp.Stats().RefusedLogins, "a run tries once")
}

func TestListServerUnreachable(t *testing.T) {
	s := newSite(t, "", "")
	s.set(func(server *config.Server) { server.Port = 1 }) // nobody listens there
	_, err := attempt(s, s.tiger.ListServer, ListInput{Run: run1, Server: branch, PageFiles: 10})
	requireReason(t, err, "server_unreachable", false)
}

func TestListServerRemovesLeftoversOfEarlierRuns(t *testing.T) {
	s := newSite(t, "", "")
	for _, name := range []string{
		"collect/branch-001/collect%2Fsunday/7-1-A", "collect/branch-001/collect%2Fsunday/8-1-B", "collect/branch-001/collect%2Fsaturday/1-1-C",
		serverStage(run1, branch) + "/9-1-D", serverStage("collect/sunday", "branch-002") + "/1-1-E",
		decompressionStage(decompressionOf("collect/sunday")) + "/1-1-F/manifest.json",
	} {
		file, err := s.tiger.Warehouse.CreateStaged(name)
		require.NoError(t, err)
		_, err = file.Close()
		require.NoError(t, err)
	}
	assert.Equal(t, 3, s.list(run1).Leftovers)
	assert.Equal(t, map[string]string{
		serverStage(run1, branch) + "/9-1-D":                                           "",
		serverStage("collect/sunday", "branch-002") + "/1-1-E":                         "",
		decompressionStage(decompressionOf("collect/sunday")) + "/1-1-F/manifest.json": "",
	}, s.stage(), "what a running attempt may own stays")
	assert.Zero(t, s.list(run1).Leftovers)
}

// TestStageOfEveryWorkflowIsItsOwn: to remove one must never remove another's.
func TestStageOfEveryWorkflowIsItsOwn(t *testing.T) {
	owner := map[string]string{}
	for _, id := range []string{
		"decompress/a/b_c", "decompress/a_b/c", "decompress/a/b/c", "decompress_a/b_c", "decompress/a%2Fb/c", "decompress/a_/b", "decompress/a/_b",
	} {
		dir := decompressionStage(id)
		assert.Equal(t, 1, strings.Count(dir, "/"), "one level below extract/: %s", dir)
		assert.Empty(t, owner[dir], "%s has the stage of", id)
		owner[dir] = id
	}
}
