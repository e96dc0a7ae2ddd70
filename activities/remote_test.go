package activities

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/config"
	"talon/internal/catalog"
)

// undone are the remote actions that are still to be done.
func (s *site) undone() []string {
	s.t.Helper()
	actions, err := s.tiger.Catalog.RemoteActions(s.t.Context(), branch, 1000)
	require.NoError(s.t, err)
	paths := make([]string, len(actions))
	for i, a := range actions {
		paths[i] = a.RawPath
	}
	return paths
}

func TestAfterKeep(t *testing.T) {
	s := newSite(t, "", "")
	s.put("a.csv", "alpha")
	s.collect(run1)
	assert.Equal(t, map[string]string{"a.csv": "alpha"}, tree(t, s.remote))
}

// TestAfterCollecting: the branch's copy goes only once the file is visible, and in the catalog.
func TestAfterCollecting(t *testing.T) {
	for after, test := range map[string]struct {
		command string
		left    map[string]string
	}{
		"delete":          {"DELE", map[string]string{}},
		"{move: /sorted}": {"RNTO", map[string]string{"a.csv": "alpha", "b.csv": "beta"}},
	} {
		t.Run(after, func(t *testing.T) {
			s := newSite(t, ", after: "+after, "")
			s.put("a.csv", "alpha")
			s.put("sub/b.csv", "beta")
			var commands []string
			s.onChange = func(command, _ string) error {
				commands = append(commands, command)
				assert.Equal(t, map[string]string{"a.csv": "collected", "sub/b.csv": "collected"}, s.entries(run1))
				assert.Equal(t, map[string]string{branch + "/a.csv": "alpha", branch + "/sub/b.csv": "beta"}, s.zip())
				return nil
			}
			s.collect(run1)
			assert.Equal(t, []string{test.command, test.command}, commands)
			assert.Empty(t, tree(t, s.remote))
			sorted := filepath.Join(filepath.Dir(s.remote), "sorted")
			require.NoError(t, os.MkdirAll(sorted, 0o755))
			assert.Equal(t, test.left, tree(t, sorted))
			assert.Empty(t, s.undone())
		})
	}
}

// TestAfterCollectingAChangedFile: what came after the listing is new data, which only the branch has.
func TestAfterCollectingAChangedFile(t *testing.T) {
	for name, change := range map[string]func(s *site){
		"longer":                 func(s *site) { s.put("a.csv", "alpha and omega") },
		"other, of equal length": func(s *site) { s.putAt("a.csv", "omega", written.Add(time.Second)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSite(t, ", after: delete", "")
			s.put("a.csv", "alpha")
			in := s.commitInput(run1, s.download(run1, s.list(run1)))
			change(s)
			want := tree(t, s.remote)
			do(s, s.tiger.CommitServer, in)
			assert.Equal(t, want, tree(t, s.remote))
			assert.Empty(t, s.undone(), "the version that was collected is no more")

			s.collect(run2)
			assert.Equal(t, map[string]string{branch + "/a.csv": "alpha", branch + "/a~2.csv": want["a.csv"]}, s.zip())
			assert.Empty(t, tree(t, s.remote))
		})
	}
}

func TestAfterCollectingAVanishedFile(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	s.put("a.csv", "alpha")
	in := s.commitInput(run1, s.download(run1, s.list(run1)))
	s.remove("a.csv")
	assert.Equal(t, Success, do(s, s.tiger.CommitServer, in).Row.Result)
	assert.Empty(t, s.undone())
}

func TestAfterCollectingFailsAndIsDoneInTheNextRun(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	s.put("a.csv", "alpha")
	s.put("b.csv", "beta")
	s.onChange = func(_, name string) error {
		if filepath.Base(name) == "a.csv" {
			return errors.New("permission denied")
		}
		return nil
	}
	assert.Equal(t, Success, s.collect(run1).Row.Result, "the file is collected all the same")
	assert.Equal(t, map[string]string{"a.csv": "alpha"}, tree(t, s.remote), "one that cannot be deleted does not hold up the others")
	assert.Equal(t, []string{"/outgoing/a.csv"}, s.undone())

	s.onChange = nil
	row := s.collect(run2).Row
	assert.Equal(t, Books{Listed: 1, Unchanged: 1}, row.Books, "nothing new to collect")
	assert.Empty(t, tree(t, s.remote))
	assert.Empty(t, s.undone())
}

// TestAfterCollectingFromAServerThatIsGone: every further try would take a timeout, or hammer the account.
func TestAfterCollectingFromAServerThatIsGone(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	for i := range 3 {
		s.put(fmt.Sprintf("%d.csv", i), "x")
	}
	in := s.commitInput(run1, s.download(run1, s.list(run1)))
	s.set(func(server *config.Server) { server.Password = config.NewSecret("changed overnight") })
	assert.Equal(t, Success, do(s, s.tiger.CommitServer, in).Row.Result)
	assert.Equal(t, 1, s.ftp.Stats().RefusedLogins)
	assert.Len(t, s.undone(), 3)

	in = s.commitInput(run2, nil)
	in.Close.Reason = "server_unreachable"
	do(s, s.tiger.CommitServer, in)
	assert.Equal(t, 1, s.ftp.Stats().RefusedLogins, "it is known to be gone")
}

// TestAfterCollectingFromAServerThatRefuses: each refusal costs a login.
func TestAfterCollectingFromAServerThatRefuses(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	for i := range 50 {
		s.put(fmt.Sprintf("%d.csv", i), "x")
	}
	tried := map[string]int{}
	s.onChange = func(_, name string) error {
		tried[name]++
		return errors.New("permission denied")
	}
	assert.Equal(t, Success, s.collect(run1).Row.Result)
	assert.Len(t, tried, 20)
	assert.Len(t, s.undone(), 50)
	s.collect(run2)
	assert.Len(t, tried, 40, "those that failed before come last")
}

// TestAfterCollectingAsConfiguredNow: who turns deleting off, or into moving, does not want the old files deleted either.
func TestAfterCollectingAsConfiguredNow(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	s.put("a.csv", "alpha")
	s.onChange = func(string, string) error { return errors.New("not now") }
	s.collect(run1)
	s.onChange = nil

	s.set(func(server *config.Server) { server.After = config.After{Action: config.AfterKeep} })
	s.collect(run2)
	assert.Equal(t, map[string]string{"a.csv": "alpha"}, tree(t, s.remote))

	s.set(func(server *config.Server) { server.After = config.After{Action: config.AfterMove, Move: "/sorted"} })
	s.collect("collect/wednesday")
	assert.Empty(t, tree(t, s.remote))
	assert.Equal(t, map[string]string{"a.csv": "alpha"}, tree(t, filepath.Join(filepath.Dir(s.remote), "sorted")))
}

// TestMovedFilesKeepTheirPredecessors: many servers rename over what is there.
func TestMovedFilesKeepTheirPredecessors(t *testing.T) {
	s := newSite(t, ", after: {move: /sorted}", "")
	sorted := filepath.Join(filepath.Dir(s.remote), "sorted")
	s.put("a.csv", "monday")
	s.put("north/a.csv", "elsewhere")
	s.collect(run1)
	s.put("a.csv", "tuesday, longer")
	s.collect(run2)
	assert.Empty(t, tree(t, s.remote))
	moved := tree(t, sorted)
	assert.Len(t, moved, 3)
	assert.ElementsMatch(t, []string{"monday", "elsewhere", "tuesday, longer"}, slices.Collect(maps.Values(moved)))
	assert.Equal(t, "tuesday, longer", moved["a~3.csv"])
}

// TestForgottenFileIsNotDeleted: an order to fetch a file again takes back what earlier runs could not do to it on the server: it may be the only copy.
func TestForgottenFileIsNotDeleted(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	s.onChange = func(string, string) error { return errors.New("not now") }
	s.put("a.csv", "a")
	s.collect(run1)
	s.onChange = nil
	do(s, s.tiger.ForgetFiles, ForgetInput{Files: []string{"a.csv"}})
	row := s.commitInput(run2, nil) // of other files, before this one's turn
	row.Close = &ServerEnd{}
	assert.Empty(t, do(s, s.tiger.CommitServer, row).Row.Warnings)
	assert.FileExists(t, filepath.Join(s.remote, "a.csv"))
	s.collect("collect/wednesday")
	assert.NoFileExists(t, filepath.Join(s.remote, "a.csv"), "it was fetched again")
}

// TestForgottenWhileOthersAreDeleted: a commit has a thousand actions to do, and the order comes while it does them.
func TestForgottenWhileOthersAreDeleted(t *testing.T) {
	s := newSite(t, ", after: delete", "")
	s.put("a.csv", "a")
	s.put("b.csv", "b")
	s.onChange = func(_, name string) error {
		if filepath.Base(name) == "a.csv" {
			_, err := s.tiger.Catalog.Forget(t.Context(), catalog.ForgetRequest{Name: "b.csv"})
			return err
		}
		return nil
	}
	s.collect(run1)
	assert.Equal(t, map[string]string{"b.csv": "b"}, tree(t, s.remote))
}
