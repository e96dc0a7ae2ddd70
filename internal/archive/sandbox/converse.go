package sandbox

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"

	"talon/internal/archive"
)

// grace is how long the engine may take to end by itself when the time for everything is over. Then what it has is kept.
const grace = 5 * time.Second

// conversation is one job as its parent follows it.
type conversation struct {
	child    *child
	request  archive.Request
	limits   archive.Limits
	deadline time.Time // of everything, with grace
	moved    time.Time // of the last sign of progress
	steps    int64
	open     []string // layers that are being decoded
	lists    lists
	outcome  *outcome
}

// converse has the child do a job, and hears what becomes of it. The error is a *failure if the engine returned one, a
// *death if the child is lost, or that of the context.
func (x *extraction) converse(ctx context.Context, c *child) (archive.Report, error) {
	fresh := c.jobs == 0
	c.jobs++
	talk := &conversation{child: c, request: x.request, limits: x.limits, deadline: x.deadline.Add(grace), moved: time.Now()}
	talk.lists = lists{files: []archive.File{}, refused: []archive.Refusal{}, layers: map[string]archive.Layer{}}
	defer context.AfterFunc(ctx, c.kill)()
	err := x.order(c)
	for err == nil && talk.outcome == nil {
		err = talk.hear()
	}
	switch {
	case ctx.Err() != nil:
		return archive.Report{}, ctx.Err()
	case err != nil:
		d := talk.mourn(err)
		// An archive before it may have spoilt a child, but not made it stand still.
		d.sure = (fresh || d.reason == archive.ReasonTimeout) && (x.careful || x.request.Parallel == 1 || len(d.open) == 1)
		return archive.Report{}, d
	case talk.outcome.Failure != nil:
		return archive.Report{}, talk.outcome.Failure
	}
	return talk.report(), nil
}

// order hands the job to the child, with the time that is left.
func (x *extraction) order(c *child) error {
	limits := x.limits
	limits.TreeTime = max(1, time.Until(x.deadline))
	parallel := x.request.Parallel
	if x.careful {
		parallel = 1
	}
	frame, err := jsonFrame(kindJob, job{
		Archive: x.request.Archive, Volumes: x.request.Volumes, Name: x.request.Name, Limits: limits,
		Passwords: x.request.Passwords, Encodings: x.request.Encodings, Avoid: x.avoid, Parallel: parallel,
	})
	if err != nil {
		return err
	}
	return sendFiles(c.conn, frame, x.files)
}

// hear waits for one message, as long as the limits of time allow.
func (t *conversation) hear() error {
	patience := t.moved.Add(t.limits.IdleTime)
	if t.deadline.Before(patience) {
		patience = t.deadline
	}
	if err := t.child.conn.SetReadDeadline(patience); err != nil {
		return err
	}
	k, body, err := readFrame(t.child.in)
	if err != nil {
		return err
	}
	if k == kindProgress {
		return t.progress(body)
	}
	t.moved = time.Now()
	switch k {
	case kindOpened:
		t.open = append(t.open, string(body))
		t.watch().Opened(string(body))
	case kindClosed:
		t.open = slices.DeleteFunc(t.open, func(layer string) bool { return layer == string(body) })
		t.watch().Closed(string(body))
	case kindFiles, kindRows:
		return t.lists.add(k, body)
	case kindDone:
		return json.Unmarshal(body, &t.outcome)
	default:
		return fmt.Errorf("an unknown message %q", k)
	}
	return nil
}

func (t *conversation) progress(body []byte) error {
	if len(body) != 16 {
		return errors.New("a progress message of a wrong size")
	}
	written, steps := int64(binary.BigEndian.Uint64(body)), int64(binary.BigEndian.Uint64(body[8:]))
	if steps != t.steps {
		t.steps, t.moved = steps, time.Now()
	}
	t.watch().Progress(written, steps)
	if t.request.Progress != nil {
		t.request.Progress(written)
	}
	return nil
}

func (t *conversation) watch() archive.Watcher {
	if t.request.Watch == nil {
		return deaf{}
	}
	return t.request.Watch
}

func (t *conversation) report() archive.Report {
	t.child.grown = t.outcome.Grown
	report := t.outcome.Report
	report.Layers, report.Files, report.Refused = t.lists.layers, t.lists.files, t.lists.refused
	return report
}

// mourn ends a child that will not finish, and finds out why. err is what its parent noticed.
func (t *conversation) mourn(err error) *death {
	now := time.Now()
	t.child.kill()
	state := t.child.wait()
	d := &death{reason: archive.ReasonCrashed, open: t.open}
	switch stderr := t.child.stderr; {
	case errors.Is(err, os.ErrDeadlineExceeded) && !now.Before(t.deadline):
		d.reason, d.detail = archive.ReasonTimeout, fmt.Sprintf("given up after %v in all", t.limits.TreeTime)
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.reason, d.detail = archive.ReasonTimeout, fmt.Sprintf("given up after %v without progress", t.limits.IdleTime)
	case errors.Is(err, errTooLong):
		d.reason, d.detail, d.final = archive.ReasonLimitMemory, fmt.Sprintf("its report would be longer than %d bytes", maxReport), true
	case stderr.outOfMemory():
		d.reason, d.detail = archive.ReasonLimitMemory, fmt.Sprintf("needs more than %d bytes of memory", t.limits.MemoryBytes)
	case stderr.reason() != "":
		d.detail = "the decoder crashed: " + stderr.reason()
	default:
		d.detail = "the process that read it ended: " + describe(state)
	}
	return d
}

// describe says how a process ended of which nothing else is known.
func describe(state *os.ProcessState) string {
	status, ok := state.Sys().(syscall.WaitStatus)
	if ok && status.Signaled() && status.Signal() == syscall.SIGKILL {
		return "killed from outside, perhaps because the machine had no memory left"
	}
	return state.String()
}

// deaf is the Watcher of a request that has none.
type deaf struct{}

func (deaf) Opened(string)         {}
func (deaf) Closed(string)         {}
func (deaf) Progress(int64, int64) {}
