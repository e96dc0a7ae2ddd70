package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/term"

	"talon/activities"
	"talon/workflows"
)

// display shows a run's progress to people.
type display interface {
	server(workflows.Brief)                   // a server finished
	collecting(workflows.Progress)            // where the collection stands
	extracting(state string, done, total int) // where the decompression stands
	close()                                   // nothing is shown after it
}

// newDisplay returns bars on a terminal and plain lines elsewhere.
func newDisplay(w io.Writer) display {
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return newBars(w)
	}
	return &lines{w: w}
}

// lines is the display for logs and pipes: a line per finished server, and one when the decompression's state changes.
type lines struct {
	w     io.Writer
	state string
}

func (l *lines) server(b workflows.Brief) { fmt.Fprintln(l.w, serverLine(b)) }

func (l *lines) collecting(workflows.Progress) {}

func (l *lines) extracting(state string, done, total int) {
	if state != l.state {
		l.state = state
		fmt.Fprintf(l.w, "archives: %s, %d of %d finished\n", state, done, total)
	}
}

func (l *lines) close() {}

func serverLine(b workflows.Brief) string {
	line := fmt.Sprintf("%s: %s, %d files, %s", b.Server, verdict(b.Result), b.Collected, size(b.Bytes))
	if why := problem(b); why != "" {
		line += ": " + why
	}
	return line
}

// bars is the display for terminals.
type bars struct {
	writer            progress.Writer
	servers, archives *progress.Tracker
	rendered          chan struct{}
}

func newBars(w io.Writer) *bars {
	b := &bars{writer: progress.NewWriter(), servers: &progress.Tracker{Message: "servers"}, rendered: make(chan struct{})}
	b.writer.SetOutputWriter(w)
	b.writer.SetStyle(progress.StyleBlocks)
	b.writer.SetTrackerPosition(progress.PositionRight)
	b.writer.SetUpdateFrequency(100 * time.Millisecond)
	b.writer.SetMessageLength(40)
	b.writer.AppendTracker(b.servers)
	go func() {
		defer close(b.rendered)
		b.writer.Render()
	}()
	return b
}

// server shows only what is not complete: hundreds of good servers are what the bar is for.
func (b *bars) server(row workflows.Brief) {
	if row.Result != activities.Success {
		b.writer.Log("%s", serverLine(row))
	}
}

func (b *bars) collecting(p workflows.Progress) {
	b.servers.UpdateTotal(int64(p.Total))
	b.servers.UpdateMessage(fmt.Sprintf("servers (%d files, %s)", p.Books.Collected, size(p.Books.Bytes)))
	b.servers.SetValue(int64(p.Done))
}

func (b *bars) extracting(state string, done, total int) {
	if b.archives == nil {
		b.archives = &progress.Tracker{}
		b.writer.AppendTracker(b.archives)
	}
	b.archives.UpdateTotal(int64(total))
	b.archives.UpdateMessage(fmt.Sprintf("archives (%s)", state))
	b.archives.SetValue(int64(done))
}

func (b *bars) close() {
	b.writer.Stop()
	<-b.rendered
}
