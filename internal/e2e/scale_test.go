package e2e

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
)

const (
	manyFiles   = 10_000
	pageFiles   = 500 // what a page may hold, at most
	connections = 16
)

// TestManyFiles collects 10,000 files from one server: they all arrive and are reported, and no history gets too large.
func TestManyFiles(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.settings = fmt.Sprintf(", connections: %d", connections)
	for i := range manyFiles {
		a.put(fmt.Sprintf("dir-%02d/file-%05d.txt", i%50, i), []byte(fmt.Sprint("content of ", i)))
	}
	s.configure("")
	s.start()
	result := s.collect(complete)
	assert.Equal(t, manyFiles, result.Servers["a"].NumberOfFiles)
	s.requireWarehouse()
	s.requireFiles(result)
	assert.LessOrEqual(t, a.ftp.Stats().PeakConnections, connections)
	s.eventually("the connections to be closed", func() bool { return a.ftp.Stats().Connections == 0 })

	pages, events, files := 0, 0, 0
	for _, r := range s.histories() {
		largest := r.requireSmallPayloads(t)
		if r.kind != "CollectServerWorkflow" {
			continue
		}
		pages++
		events += len(r.history.Events)
		files += requireSmallPage(t, r)
		assert.Less(t, len(r.history.Events), 4096, "continue-as-new comes before the server has to suggest it")
		t.Logf("page %s: %d events, largest payload %d bytes", r.run, len(r.history.Events), largest)
	}
	assert.Equal(t, manyFiles/pageFiles, pages)
	assert.Equal(t, manyFiles, files)
	row := result.Servers["a"]
	t.Logf("%d files of one server in %s: %d events of history in %d pages", manyFiles, row.EndTime.Sub(row.StartTime), events, pages)
}

// requireSmallPage finds the listed page in a history and returns how many files it has.
func requireSmallPage(t *testing.T, r recorded) int {
	t.Helper()
	most := 0
	for _, event := range r.history.Events {
		visitPayloads(t, event, func(payload *common.Payload) {
			var page struct {
				Files []struct {
					ID   int64  `json:"id"`
					Name string `json:"name"`
				} `json:"files"`
			}
			if json.Unmarshal(payload.GetData(), &page) == nil {
				require.LessOrEqual(t, len(page.Files), pageFiles, r)
				most = max(most, len(page.Files))
			}
		})
	}
	return most
}
