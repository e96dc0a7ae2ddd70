package e2e

import (
	"encoding/csv"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/devstack"
)

// TestDemoArrives collects the demo's branches: every kind of archive, names in Chinese, an empty server, a corrupt archive, a
// refused login and a server that is down. Then it does so again, and asks for the result of the first run in every format.
func TestDemoArrives(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	branches := devstack.Branches(1)
	fleet, err := devstack.StartFleet(branches)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, fleet.Stop()) })
	require.NoError(t, devstack.WriteConfig(s.config, s.root, branches, fleet.Ports()))
	s.start()

	first := s.beginCollect()
	result := first.result(partly)
	require.NoError(t, devstack.Verify(s.root, branches, first.stdout.Bytes()))
	require.Empty(t, s.staged())
	before, err := s.look()
	require.NoError(t, err)

	again := s.collect(partly)
	for name, row := range again.Servers {
		assert.Zero(t, row.NumberOfFiles, name)
		assert.Equal(t, row.Listed, row.Unchanged, name)
		assert.Equal(t, result.Servers[name].Listed, row.Listed, name)
		assert.Equal(t, result.Servers[name].Reason, row.Reason, name)
	}
	assert.Zero(t, again.Decompress.Total)
	after, err := s.look()
	require.NoError(t, err)
	require.Equal(t, before, after)

	s.requireSameLater(result)
}

// requireSameLater asks for the result of a run that has ended, in every format.
func (s *stack) requireSameLater(result runResult) {
	s.t.Helper()
	var later runResult
	s.starter("result", result.Run, "-o", "json").code(result.Result).decode(&later)
	assert.Equal(s.t, result.Servers, later.Servers)
	assert.Equal(s.t, result.Decompress, later.Decompress)
	key := strings.TrimPrefix(result.Run, "collect/")
	table := s.starter("result", key).code(result.Result).stdout.String()
	for name := range result.Servers {
		assert.Contains(s.t, table, name)
	}
	for name := range result.Decompress.Archives {
		assert.Contains(s.t, table, name)
	}
	rows, err := csv.NewReader(&s.starter("result", key, "-o", "csv").code(result.Result).stdout).ReadAll()
	require.NoError(s.t, err)
	kinds := map[string]int{}
	for _, row := range rows[1:] {
		kinds[row[0]]++
	}
	files, missing := 0, 0
	for _, row := range result.Servers {
		files += row.NumberOfFiles
		missing += len(row.Failed)
	}
	assert.Equal(s.t, len(result.Servers), kinds["server"])
	assert.Equal(s.t, files, kinds["file"])
	assert.Equal(s.t, missing, kinds["failed"])
	assert.Equal(s.t, len(result.Decompress.Archives), kinds["archive"])
}

// TestChangedFiles: another size or another time makes a new version beside the first.
func TestChangedFiles(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.put("size.csv", text("one", 100))
	a.put("time.csv", text("two", 100))
	a.put("same.csv", text("three", 100))
	a.putZip("pack.zip", member("m.txt", text("four", 100)))
	s.configure("")
	s.watch()
	s.start()
	first := s.collect(complete)
	s.requireWarehouse()

	s.want.zip("a/size~2.csv", text("longer", 200))
	s.want.zip("a/time~2.csv", text("newer", 100))
	a.serve("size.csv", text("longer", 200), written)
	a.serve("time.csv", text("newer", 100), written.Add(time.Hour))
	second := s.collect(complete)
	assert.Equal(t, 2, second.Servers["a"].NumberOfFiles)
	assert.Equal(t, 2, second.Servers["a"].Unchanged)
	s.requireWarehouse()
	s.requireFiles(first, second)
}

// TestBuffer collects into another directory than the warehouse's own.
func TestBuffer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.serve("x.csv", text("x", 100), written)
	members := member("m.txt", text("m", 100))
	s.want.unzip("a/p", members.Name, members.Data)
	pack := packZip(members)
	a.serve("p.zip", pack, written)
	s.configure("")
	s.start()
	buffer := filepath.Join(s.dir, "buffer", "today")
	result := s.collect(complete, "--buffer", buffer)
	assert.Equal(t, filepath.Join(buffer, "a"), result.Servers["a"].BufferPath)
	requireTree(t, buffer, tree{"a/x.csv": digest(text("x", 100)), "a/p.zip": digest(pack)})
	s.requireWarehouse() // holds what came out of the archive, and nothing in zip/
	s.requireSameLater(result)
}
