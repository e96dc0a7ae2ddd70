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
	probed(workflows.Brief)                   // a server was probed
	probing(done, total int)                  // where the probe stands
	verifying(state string, done, total int)  // where a verification stands
	cleaning(done int)                        // how much a cleaning has removed or counted
	note(text string)                         // something else that people should know
	close()                                   // nothing is shown after it
}

// newDisplay returns bars on a terminal and plain lines elsewhere.
func newDisplay(w io.Writer) display {
	if f, ok := w.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil {
			return newBars(w, width)
		}
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

func (l *lines) probed(b workflows.Brief) { fmt.Fprintln(l.w, probedLine(b)) }

func (l *lines) probing(int, int) {}

func (l *lines) verifying(state string, _, total int) {
	if state != l.state {
		l.state = state
		fmt.Fprintf(l.w, "%s: %d files in the catalog\n", state, total)
	}
}

func (l *lines) cleaning(int) {}

func (l *lines) note(text string) { fmt.Fprintln(l.w, text) }

func (l *lines) close() {}

func serverLine(b workflows.Brief) string {
	line := fmt.Sprintf("%s: %s, %s, %s", b.Server, verdict(b.Result, b.Reason), count(b.Collected, "file"), size(b.Bytes))
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

// newBars draws on w, lines of at most width columns: a longer one would wrap, and then be drawn again and again.
func newBars(w io.Writer, width int) *bars {
	b := &bars{writer: progress.NewWriter(), rendered: make(chan struct{})}
	b.writer.SetOutputWriter(w)
	b.writer.SetTerminalWidth(width)
	b.writer.SetStyle(progress.StyleBlocks)
	b.writer.SetTrackerPosition(progress.PositionRight)
	b.writer.SetUpdateFrequency(100 * time.Millisecond)
	b.writer.SetMessageLength(40)
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
	b.servers = b.move(b.servers, fmt.Sprintf("servers (%d files, %s)", p.Books.Collected, size(p.Books.Bytes)), p.Done, p.Total)
}

func (b *bars) extracting(state string, done, total int) {
	b.archives = b.move(b.archives, fmt.Sprintf("archives (%s)", state), done, total)
}

// move shows where a bar stands; one that is not there yet appears.
func (b *bars) move(bar *progress.Tracker, message string, done, total int) *progress.Tracker {
	if bar == nil {
		bar = &progress.Tracker{Message: message, AutoStopDisabled: true} // totals grow: a full bar may not be the end
		b.writer.AppendTracker(bar)
	}
	bar.UpdateTotal(int64(total))
	bar.UpdateMessage(message)
	bar.SetValue(int64(done))
	return bar
}

// probed shows only what is not fine.
func (b *bars) probed(row workflows.Brief) {
	if row.Result != activities.Success {
		b.writer.Log("%s", probedLine(row))
	}
}

func (b *bars) probing(done, total int) { b.servers = b.move(b.servers, "servers probed", done, total) }

func (b *bars) verifying(state string, done, total int) {
	b.servers = b.move(b.servers, "files ("+state+")", done, total)
}

func (b *bars) cleaning(done int) {
	b.servers = b.move(b.servers, "files and rows of no more use", done, done)
}

func (b *bars) note(text string) { b.writer.Log("%s", text) }

// close draws the bars a last time. Stop does nothing before Render has begun, so it may take more than one.
func (b *bars) close() {
	for {
		b.writer.Stop()
		select {
		case <-b.rendered:
			return
		case <-time.After(time.Millisecond):
		}
	}
}
