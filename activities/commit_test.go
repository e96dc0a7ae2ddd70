package activities

import (
	"context"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
	"talon/internal/warehouse"
)

// zipOf is an archive of one file.
func zipOf(name, content string) string {
	return string(archivetest.Zip([]archivetest.File{{Name: name, Data: []byte(content), ModTime: written}}))
}

// pending are the archives that wait for the decompression of a run.
func (s *site) pending(run string) []string {
	s.t.Helper()
	archives, err := s.tiger.Catalog.PendingArchives(s.t.Context(), decompressionOf(run), 0, 100)
	require.NoError(s.t, err)
	paths := make([]string, len(archives))
	for i, a := range archives {
		paths[i] = a.Path
	}
	return paths
}

func TestCommitServer(t *testing.T) {
	s := newSite(t, "", "")
	archive := zipOf("a.txt", "alpha")
	s.put("day/a.zip", archive)
	s.put("b.csv", "beta")
	page := s.list(run1)
	s.download(run1, page) // by attempts whose answers got lost
	outcomes := s.download(run1, page)
	require.Equal(t, 1, s.ftp.Stats().Connections)
	in := s.commitInput(run1, outcomes)
	in.Close.Leftovers = 3
	result := do(s, s.tiger.CommitServer, in)

	want := map[string]string{branch + "/day/a.zip": archive, branch + "/b.csv": "beta"}
	assert.Equal(t, want, s.zip())
	assert.Empty(t, s.stage(), "the server is done")
	assert.Zero(t, s.tiger.Pool.Len(), "nobody needs its connections now")
	assert.Equal(t, 1, result.Archives)
	assert.Empty(t, result.Lost)
	assert.Equal(t, []string{branch + "/day/a.zip"}, s.pending(run1))

	books := Books{Listed: 2, Collected: 2, Bytes: int64(len(archive) + len("beta"))}
	require.NotNil(t, result.Row)
	assert.Equal(t, ServerResult{Server: branch, Books: books, Start: result.Row.Start, End: result.Row.End}, *result.Row)
	assert.True(t, result.Row.Start.Equal(written))
	assert.True(t, result.Row.End.After(written))

	conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run1})
	report := s.report(run1)
	require.Len(t, report.Servers, 1)
	assert.Equal(t, books, report.Servers[0].Books)
	assert.Equal(t, 3, report.Servers[0].Leftovers)
	assert.Equal(t, path.Join(in.ZipDir, branch), report.Servers[0].BufferPath)
	require.Len(t, report.Files, 2)
	for _, file := range report.Files {
		assert.Equal(t, sha(want[file.LocalPath]), file.SHA256)
	}
}

func TestCommitServerBetweenPages(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	in := s.commitInput(run1, s.download(run1, s.list(run1)))
	in.Close = nil
	assert.Equal(t, CommitResult{}, do(s, s.tiger.CommitServer, in))
	assert.Equal(t, map[string]string{branch + "/a.csv": "alpha"}, s.zip())
	assert.Equal(t, 1, s.tiger.Pool.Len(), "the next page needs the connection")
}

// TestCommitServerRepeated: whatever an attempt had done when it died, the next one ends where a single one would have.
func TestCommitServerRepeated(t *testing.T) {
	for name, die := range map[string]func(s *site, in CommitInput){
		"before anything": func(s *site, in CommitInput) {
			ctx, cancel := context.WithCancel(s.t.Context())
			cancel()
			s.ctx = ctx
			_, err := attempt(s, s.tiger.CommitServer, in)
			require.Error(s.t, err)
			s.ctx = context.Background()
			assert.Empty(s.t, s.zip())
		},
		"after some renames": func(s *site, in CommitInput) { s.publish(in, in.Files[:1]) },
		"after the renames":  func(s *site, in CommitInput) { s.publish(in, in.Files) },
		"after the transaction": func(s *site, in CommitInput) {
			in.Close = nil
			do(s, s.tiger.CommitServer, in)
		},
		"at the very end": func(s *site, in CommitInput) { do(s, s.tiger.CommitServer, in) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ", after: delete", "")
			s.put("a.zip", zipOf("a.txt", "alpha"))
			s.put("b.csv", "beta")
			s.put("same.csv", "beta")
			want := map[string]string{branch + "/a.zip": zipOf("a.txt", "alpha"), branch + "/b.csv": "beta", branch + "/same.csv": "beta"}
			in := s.commitInput(run1, s.download(run1, s.list(run1)))
			die(s, in)
			result := do(s, s.tiger.CommitServer, in)
			assert.Equal(t, 1, result.Archives)
			assert.Empty(t, result.Lost)
			require.NotNil(t, result.Row)
			assert.Equal(t, Books{Listed: 3, Collected: 3, Bytes: int64(len(want[branch+"/a.zip"]) + 8)}, result.Row.Books)
			assert.Equal(t, want, s.zip())
			assert.Empty(t, s.stage())
			assert.Equal(t, []string{branch + "/a.zip"}, s.pending(run1))
			assert.Empty(t, tree(t, s.remote))
			conclude(s, s.tiger.CloseRun, CloseRunInput{Run: run1})
			assert.Len(t, s.report(run1).Files, 3)
		})
	}
}

// publish does what CommitServer does before its transaction.
func (s *site) publish(in CommitInput, files []FileOutcome) {
	s.t.Helper()
	require.NoError(s.t, s.tiger.Warehouse.Sync(s.t.Context()))
	visible, err := s.tiger.Warehouse.Visible(in.ZipDir)
	require.NoError(s.t, err)
	defer visible.Close()
	publication := visible.NewPublication()
	for _, file := range files {
		_, err := s.tiger.settle(s.t.Context(), in, file, publication)
		require.NoError(s.t, err)
	}
}

func TestCommitServerKeepsBothVersionsOfAChangedFile(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	s.collect(run1)
	s.putAt("a.csv", "other", written.Add(time.Second)) // of the same length: only the time tells
	result := s.collect(run2)
	assert.Equal(t, map[string]string{branch + "/a.csv": "alpha", branch + "/a~2.csv": "other"}, s.zip())
	assert.Equal(t, Books{Listed: 1, Collected: 1, Bytes: 5}, result.Row.Books)

	// Somebody took the newest one away. Its name is not given to another, nor is a version dropped because an older one holds the same.
	require.NoError(t, os.Remove(filepath.Join(s.tiger.Warehouse.ZipDir(), branch, "a~2.csv")))
	s.putAt("a.csv", "alpha", written.Add(time.Minute))
	s.collect("collect/wednesday")
	assert.Equal(t, map[string]string{branch + "/a.csv": "alpha", branch + "/a~3.csv": "alpha"}, s.zip())
}

func TestCommitServerTwoNamesThatBecomeOne(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a\xff.csv", "one")
	s.put("a%FF.csv", "three")
	result := s.collect(run1)
	assert.Equal(t, 2, result.Row.Books.Collected)
	var contents []string
	for name, content := range s.zip() {
		assert.Contains(t, []string{branch + "/a%FF.csv", branch + "/a%FF~2.csv"}, name)
		contents = append(contents, content)
	}
	assert.ElementsMatch(t, []string{"one", "three"}, contents)

	assert.Equal(t, Books{Listed: 2, Unchanged: 2}, s.list(run2).Books)
}

// TestCommitServerForeignFile: what somebody else put into the warehouse is not Talon's to replace.
func TestCommitServerForeignFile(t *testing.T) {
	s := newSite(t, "", "")
	foreign := filepath.Join(s.tiger.Warehouse.ZipDir(), branch, "a.csv")
	require.NoError(t, os.MkdirAll(filepath.Dir(foreign), 0o755))
	require.NoError(t, os.WriteFile(foreign, []byte("precious"), 0o600))
	s.put("a.csv", "alpha")
	s.collect(run1)
	assert.Equal(t, map[string]string{branch + "/a.csv": "precious", branch + "/a~2.csv": "alpha"}, s.zip())
}

func TestCommitServerLostData(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	s.put("b.csv", "beta")
	page := s.list(run1)
	outcomes := s.download(run1, page)
	lost := 0
	if page.Files[1].Name == "a.csv" {
		lost = 1
	}
	s.loseStaged(*outcomes[lost].Download)
	result := do(s, s.tiger.CommitServer, s.commitInput(run1, outcomes))
	assert.Equal(t, []int64{page.Files[lost].ID}, result.Lost)
	assert.Nil(t, result.Row, "the books stay open")
	assert.Equal(t, map[string]string{branch + "/b.csv": "beta"}, s.zip(), "the others are not held up")
	assert.Equal(t, map[string]string{"a.csv": "pending", "b.csv": "collected"}, s.entries(run1))

	page.Files = page.Files[lost : lost+1]
	result = do(s, s.tiger.CommitServer, s.commitInput(run1, s.download(run1, page)))
	require.NotNil(t, result.Row)
	assert.Equal(t, Books{Listed: 2, Collected: 2, Bytes: 9}, result.Row.Books)
}

func (s *site) loseStaged(d Download) {
	s.t.Helper()
	files, err := s.tiger.Warehouse.RemoveStaged(path.Join(serverStage(run1, branch), d.Staged))
	require.NoError(s.t, err)
	require.Equal(s.t, 1, files)
}

// TestCommitServerDamagedData: after a crash a file may have its size and not its contents.
func TestCommitServerDamagedData(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	outcomes := s.download(run1, s.list(run1))
	staged := filepath.Join(s.tiger.Warehouse.StageDir(), serverStage(run1, branch), outcomes[0].Download.Staged)
	require.NoError(t, os.WriteFile(staged, []byte("\x00\x00\x00\x00\x00"), 0o600))
	s.open() // the host has started again
	result := do(s, s.tiger.CommitServer, s.commitInput(run1, outcomes))
	assert.Equal(t, []int64{outcomes[0].ID}, result.Lost)
	assert.Empty(t, s.zip())
}

func TestCommitServerClosesTheBooks(t *testing.T) {
	for name, test := range map[string]struct {
		fetched int
		end     ServerEnd
		result  int
		reason  string
		books   Books
		entries map[string]string
	}{
		"broken off": {
			fetched: 1, end: ServerEnd{Reason: "server_unreachable", Detail: "gone"},
			result: Partial, reason: "server_unreachable", books: Books{Listed: 3, Refused: 1, Failed: 1, Collected: 1, Bytes: 5},
			entries: map[string]string{"a.csv": "collected", "b.csv": "failed server_unreachable", "link": "refused not_regular"},
		},
		"nothing had": {
			end: ServerEnd{Reason: "cancelled", Detail: "the run was cancelled"}, result: Failed, reason: "cancelled",
			books:   Books{Listed: 3, Refused: 1, Failed: 2},
			entries: map[string]string{"a.csv": "failed cancelled", "b.csv": "failed cancelled", "link": "refused not_regular"},
		},
		"refused alone": {
			fetched: 2, result: Partial, reason: "incomplete", books: Books{Listed: 3, Refused: 1, Collected: 2, Bytes: 9},
			entries: map[string]string{"a.csv": "collected", "b.csv": "collected", "link": "refused not_regular"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, "", "")
			s.put("a.csv", "alpha")
			s.put("b.csv", "beta")
			s.says("Type=OS.unix=slink;Size=4;Modify=20260630180000; link")
			page := s.list(run1)
			if page.Files[0].Name != "a.csv" {
				page.Files[0], page.Files[1] = page.Files[1], page.Files[0]
			}
			page.Files = page.Files[:test.fetched]
			in := s.commitInput(run1, s.download(run1, page))
			in.Close = &test.end
			row := do(s, s.tiger.CommitServer, in).Row
			require.NotNil(t, row)
			assert.Equal(t, test.result, row.Result)
			assert.Equal(t, test.reason, row.Reason)
			assert.NotEmpty(t, row.Detail)
			assert.Equal(t, test.books, row.Books)
			assert.Equal(t, test.entries, s.entries(run1))
			b := row.Books
			assert.Equal(t, b.Listed, b.Collected+b.Unchanged+b.Deferred+b.Refused+b.Failed, "the books balance")
		})
	}
}

func TestCommitServerMissingFiles(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	s.put("b.csv", "beta")
	page := s.list(run1)
	changed := MissingFile(page.Files[0].ID, refuse(FileChanged, "it grew"))
	lost := LostFiles([]int64{page.Files[1].ID})
	row := do(s, s.tiger.CommitServer, s.commitInput(run1, append(lost, changed))).Row
	require.NotNil(t, row)
	assert.Equal(t, Books{Listed: 2, Deferred: 1, Failed: 1}, row.Books)
	assert.Equal(t, map[string]string{
		page.Files[0].Name: "deferred file_changed", page.Files[1].Name: "failed staged_lost",
	}, s.entries(run1))
	assert.Len(t, s.list(run2).Files, 2, "both are fetched again")
}

func TestCommitServerWithoutAListing(t *testing.T) {
	s := newSite(t, "", "")
	in := s.commitInput(run1, nil)
	in.Close.Reason, in.Close.Detail = "login_refused", "530"
	row := do(s, s.tiger.CommitServer, in).Row
	require.NotNil(t, row)
	assert.Equal(t, []any{Failed, "login_refused", Books{}}, []any{row.Result, row.Reason, row.Books})
}

func TestCommitServerOnAnotherFileSystem(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	in := s.commitInput(run1, s.download(run1, s.list(run1)))
	in.ZipDir = otherFileSystem(t, s.tiger.Warehouse)
	_, err := attempt(s, s.tiger.CommitServer, in)
	requireReason(t, err, "two_file_systems", true)
	assert.Len(t, s.stage(), 1, "what was fetched is not thrown away")
}

// otherFileSystem is a directory, not there yet, from which the stage cannot be reached by renaming.
func otherFileSystem(t *testing.T, house *warehouse.Warehouse) string {
	t.Helper()
	const memory = "/dev/shm"
	shm, err := os.Stat(memory)
	if err != nil {
		t.Skip("there is no second file system:", err)
	}
	stage, err := os.Stat(house.StageDir())
	require.NoError(t, err)
	if deviceOf(shm) == deviceOf(stage) {
		t.Skip(memory, "is the file system of the tests")
	}
	dir := filepath.Join(memory, filepath.Base(t.TempDir())+"-"+filepath.Base(t.Name()))
	t.Cleanup(func() { assert.NoDirExists(t, dir, "nothing is made there") })
	return dir
}
