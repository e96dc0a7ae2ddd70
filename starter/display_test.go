package main

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/activities"
	"talon/workflows"
)

var (
	goodServer = workflows.Brief{Server: "branch-001", Collected: 2, Bytes: 2048}
	badServer  = workflows.Brief{
		Server: "branch-012", Result: activities.Failed, Reason: "login_refused",
		Detail: "server branch-012: PASS: login refused: 530 Login incorrect.",
	}
)

// TestPipesGetLines: what is no terminal gets a plain line per finished server and per state of the decompression.
func TestPipesGetLines(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	defer reader.Close()
	d := newDisplay(writer)
	assert.IsType(t, &lines{}, d)
	d.server(goodServer)
	d.server(badServer)
	d.server(workflows.Brief{Server: "b", Result: activities.Partial, Reason: "incomplete", Collected: 1})
	d.collecting(workflows.Progress{Done: 2, Total: 3})
	d.extracting(workflows.StateExtracting, 0, 4)
	d.extracting(workflows.StateExtracting, 1, 4)
	d.extracting(workflows.StateWaitingForEagle, 1, 4)
	d.note("decompress/x could not run")
	d.extracting(workflows.StateDone, 4, 4)
	d.close()
	require.NoError(t, writer.Close())
	var got bytes.Buffer
	_, err = got.ReadFrom(reader)
	require.NoError(t, err)
	assert.Equal(t, `branch-001: complete, 2 files, 2.0 KiB
branch-012: FAILED, 0 files, 0 B: login refused: PASS: 530 Login incorrect.
b: PARTLY, 1 file, 0 B: incomplete
archives: extracting, 0 of 4 finished
archives: waiting-for-eagle, 1 of 4 finished
decompress/x could not run
archives: done, 4 of 4 finished
`, got.String())
}

// screen is a terminal's memory of what was drawn.
type screen struct {
	mutex sync.Mutex
	drawn bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.drawn.Write(p)
}

// text is what was drawn, without what moves the cursor.
func (s *screen) text() string {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`).ReplaceAllString(s.drawn.String(), "")
}

// TestBarsShowTheLastState: whatever the bars had time to draw, the last thing drawn is how things stand.
func TestBarsShowTheLastState(t *testing.T) {
	var s screen
	b := newBars(&s, 100)
	b.server(goodServer)
	b.server(badServer)
	b.collecting(workflows.Progress{Done: 2, Total: 4, Books: activities.Books{Collected: 2, Bytes: 2048}})
	b.extracting(workflows.StateExtracting, 3, 3) // all that is known so far; more come
	require.Eventually(t, func() bool { return strings.Contains(s.text(), "100.00%") }, 10*time.Second, time.Millisecond)
	b.extracting(workflows.StateExtracting, 3, 9)
	b.note("decompress/x could not run")
	b.close()
	shown := s.text()
	assert.NotContains(t, shown, "branch-001", "hundreds of good servers are what the bar is for")
	assert.Contains(t, shown, "branch-012: FAILED, 0 files, 0 B: login refused: PASS: 530 Login incorrect.")
	assert.Contains(t, shown, "decompress/x could not run")
	last := shown[strings.LastIndex(shown, "servers ("):]
	assert.Contains(t, last, "servers (2 files, 2.0 KiB)")
	assert.Contains(t, last, "50.00%")
	assert.Contains(t, last, "archives (extracting)")
	assert.Contains(t, last, "33.33%", "a bar that was full moves on")
	assert.True(t, strings.HasSuffix(shown, "\n"), "what follows begins a line of its own")
}

// TestBarsFitTheTerminal: a line that wraps would be drawn again and again.
func TestBarsFitTheTerminal(t *testing.T) {
	const width = 40
	var s screen
	b := newBars(&s, width)
	b.collecting(workflows.Progress{Done: 2, Total: 4})
	b.close()
	assert.Contains(t, s.text(), "servers (0 files, 0 B)")
	for line := range strings.Lines(s.text()) {
		assert.LessOrEqual(t, text.StringWidth(strings.TrimRight(line, "\n")), width)
	}
}

// TestBarsEndAtOnce: bars that are closed before they were drawn end too, and leave no goroutine behind.
func TestBarsEndAtOnce(t *testing.T) {
	for range 50 {
		newBars(&screen{}, 80).close()
	}
}
