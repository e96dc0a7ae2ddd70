package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient/ftptest"
)

// order gives an order that is carried out, and returns the answer.
func (s *stack) order(args ...string) string {
	s.t.Helper()
	return s.starter(args...).code(complete).stdout.String()
}

// refused gives an order that is refused, and demands that the answer says why.
func (s *stack) refused(why string, args ...string) {
	s.t.Helper()
	assert.Contains(s.t, s.starter(args...).code(unusable).stderr.String(), why, strings.Join(args, " "))
}

// beginNamed starts a collection and returns its workflow ID as well.
func (s *stack) beginNamed(args ...string) (run *call, id string) {
	s.t.Helper()
	named := filepath.Join(s.dir, fmt.Sprint("run-", s.workflows("")))
	run = s.beginCollect(append(args, "--run-file", named)...)
	s.eventually("the name of the run", func() bool { _, err := os.Stat(named); return err == nil })
	return run, s.runID(named)
}

// TestPausedServer: what is on its way when a server is paused arrives and is published; the rest comes when it is resumed. Meanwhile
// the server is busy for other runs.
func TestPausedServer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.settings = ", connections: 1"
	for i := range 5 {
		a.put(fmt.Sprintf("%d.csv", i), text(fmt.Sprint("a", i), 3000))
	}
	s.configure("")
	held := a.hold("2.csv")
	s.watch()
	s.start()

	run := s.beginCollect()
	await(s, "transfer of 2.csv", held.held)
	assert.Contains(t, s.order("pause", "a", "--why", "the line is needed"), "a is paused")
	s.refused("a is paused already, by ", "pause", "a")
	s.refused("the line is needed", "pause", "a")
	held.release()
	published := func(name string) bool { _, err := os.Stat(filepath.Join(s.root, "zip", "a", name)); return err == nil }
	s.eventually("what was on its way", func() bool { return published("2.csv") })
	assert.Equal(t, []bool{true, true, false, false}, []bool{published("0.csv"), published("1.csv"), published("3.csv"), published("4.csv")})
	s.eventually("TalonState", func() bool { return s.state("server/a") == "paused" })
	details := s.details("server/a")
	for _, text := range []string{"3 of 5 files fetched", "**paused** by ", "the line is needed", "starter resume a"} {
		assert.Contains(t, details, text)
	}
	busy := s.collect(failed)
	assert.Equal(t, "busy", busy.Servers["a"].Reason)

	assert.Contains(t, s.order("resume", "a"), "a goes on")
	result := run.result(complete)
	assert.Equal(t, 5, result.Servers["a"].NumberOfFiles)
	s.requireWarehouse()
	s.requireFiles(result)
	s.refused(`no collection of "a" is running`, "resume", "a")
}

// TestOrdersBeforeTheTurn: servers whose turn has not come are held back, let go, and left out.
func TestOrdersBeforeTheTurn(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b, c := s.addSite("a"), s.addSite("b"), s.addSite("c")
	a.put("1.csv", text("a", 3000))
	b.put("2.csv", text("b", 3000))
	c.serve("3.csv", text("c", 3000), written)
	s.configure("collect: {window: 1}")
	held := a.hold("1.csv")
	s.watch()
	s.start()

	run, id := s.beginNamed()
	await(s, "transfer of 1.csv", held.held)
	s.refused(`no collection of "nobody" is running`, "pause", "nobody")
	s.refused("b is not paused", "resume", "b")
	s.refused("b has not had its turn yet", "retry", "b")
	assert.Contains(t, s.order("pause", "b", "--why", "later"), "b is held back")
	assert.Contains(t, s.order("skip", "c", "--why", "closed today"), "c is left out")
	s.refused("c has finished in this run", "skip", "c")
	held.release()
	s.eventually("a to finish", func() bool { return s.progress(id).Done == 2 })
	for _, text := range []string{"**2 of 3 servers finished**", "Held back: b, paused by ", ": later", "<nobr>c</nobr> | failed | **skipped**: by ", ": closed today |"} {
		assert.Contains(t, s.details(id), text)
	}
	s.refused("a is complete", "retry", "a")
	assert.Equal(t, 0, s.workflows("WorkflowId = 'server/b'"))
	assert.Contains(t, s.order("resume", "b", "-o", "json"), `"answer": "b is collected when its turn comes"`)
	result := run.result(partly)
	assert.Equal(t, []int{complete, complete, failed}, []int{result.Servers["a"].Result, result.Servers["b"].Result, result.Servers["c"].Result})
	assert.Equal(t, "skipped", result.Servers["c"].Reason)
	assert.Contains(t, result.Servers["c"].Detail, "closed today")
	s.requireWarehouse()
	s.requireFiles(result)
}

// TestSkippedServer: what has arrived of a server that is skipped counts, the rest is accounted for and comes with the next run.
func TestSkippedServer(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.addSite("a"), s.addSite("b")
	a.settings = ", connections: 1"
	for i := range 4 {
		a.put(fmt.Sprintf("%d.csv", i), text(fmt.Sprint("a", i), 3000))
	}
	b.put("b.csv", text("b", 3000))
	s.configure("")
	held := a.hold("2.csv")
	s.watch()
	s.start()

	run := s.beginCollect()
	await(s, "transfer of 2.csv", held.held)
	assert.Contains(t, s.order("skip", "a", "--why", "down until Monday"), "a is being skipped")
	first := run.result(partly)
	assert.Equal(t, "skipped", first.Servers["a"].Reason)
	assert.Contains(t, first.Servers["a"].Detail, "down until Monday")
	assert.Equal(t, 2, first.Servers["a"].NumberOfFiles)
	assert.Equal(t, map[string]string{"2.csv": "skipped", "3.csv": "skipped"}, reasons(first.Servers["a"].Failed))
	assert.Equal(t, complete, first.Servers["b"].Result)
	require.Empty(t, s.staged())

	held.release()
	second := s.collect(complete)
	s.requireWarehouse()
	s.requireFiles(first, second)
}

// TestRetriedServers: in the same run a server that could not be logged in to is collected once more, and so is one that is still at
// work, at its end.
func TestRetriedServers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.addFake("a", ftptest.Options{}), s.addFake("b", ftptest.Options{})
	c := s.addSite("c")
	a.put("1.csv", text("a", 3000))
	a.putZip("2.zip", member("two.txt", text("two", 500)))
	b.put("1.csv", text("b1", 3000))
	b.putZip("2.zip", member("two.txt", text("b2", 500)))
	c.put("c.csv", text("c", 3000))
	s.configure("collect: {page: 1}")
	held := c.hold("c.csv")
	a.fake.On("PASS", ftptest.Say("530 Login incorrect."))
	b.onFile("1.csv", ftptest.Say("550 Permission denied."))
	s.watch()
	s.start()

	run, id := s.beginNamed()
	await(s, "transfer of c.csv", held.held)
	s.eventually("a and b to finish", func() bool { return s.progress(id).Done == 2 })
	assert.Contains(t, s.details(id), "<nobr>a</nobr> | failed | **login_refused**: ")
	a.behave()
	b.behave()
	assert.Contains(t, s.order("retry", "a"), "a is collected once more in "+id)
	assert.Contains(t, s.order("retry", "b"), "b is collected once more in "+id)
	s.eventually("both to be complete", func() bool {
		details := s.details(id)
		return !strings.Contains(details, "<nobr>a<") && !strings.Contains(details, "<nobr>b<") && strings.Contains(details, "1 at work")
	})
	s.refused("nothing of c has failed so far", "retry", "c")
	held.release()
	result := run.result(complete)
	assert.Equal(t, []int{2, 2}, []int{result.Servers["a"].NumberOfFiles, result.Servers["b"].NumberOfFiles})
	s.requireWarehouse()
	s.requireFiles(result)
	s.refused("starter collect --server a", "retry", "a")
}

// TestServerTriedAgainWhileAtWork: what failed on the first page of a server is fetched again after its last one.
func TestServerTriedAgainWhileAtWork(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addFake("a", ftptest.Options{})
	a.put("1.csv", text("a1", 3000))
	a.put("2.csv", text("a2", 3000))
	s.configure("collect: {page: 1}")
	release := make(chan struct{})
	a.fake.On("RETR", ftptest.ForPath(remoteDir+"/1.csv", ftptest.Say("550 Permission denied."), ftptest.Delayed(release, ftptest.Default("RETR"))))
	s.watch()
	s.start()

	run := s.beginCollect()
	s.eventually("the second page", func() bool { return strings.Contains(s.details("server/a"), "page 2") })
	assert.Contains(t, s.order("retry", "a"), "a is listed once more")
	s.refused("tried again already", "retry", "a")
	a.behave()
	close(release)
	result := run.result(complete)
	assert.Equal(t, 2, result.Servers["a"].NumberOfFiles)
	s.requireWarehouse()
	s.requireFiles(result)
}

// TestCancelByOrder: who cancelled a run, and why, is in its result.
func TestCancelByOrder(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.settings = ", connections: 1"
	for i := range 3 {
		a.put(fmt.Sprintf("%d.csv", i), text(fmt.Sprint("a", i), 3000))
	}
	s.configure("")
	held := a.hold("1.csv")
	s.start()

	run, id := s.beginNamed()
	await(s, "transfer of 1.csv", held.held)
	assert.Contains(t, s.order("cancel", strings.TrimPrefix(id, "collect/"), "--why", "wrong buffer"), "is being cancelled")
	result := run.result(partly)
	assert.Equal(t, "cancelled", result.Servers["a"].Reason)
	assert.Equal(t, 1, result.Servers["a"].NumberOfFiles)
	assert.Contains(t, s.details(id), "**cancelled** by ")
	assert.Contains(t, s.details(id), "wrong buffer")
	s.refused(id+" is not running", "cancel", id)
	held.release()
	s.collect(complete)
	s.requireWarehouse()
}

// TestDecompressionStartedAgain: a decompression that somebody terminated leaves archives without a result, until it is started again.
func TestDecompressionStartedAgain(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a := s.addSite("a")
	a.putZip("1.zip", member("one.txt", text("one", 500)))
	s.configure("")
	s.startTiger()

	run, id := s.beginNamed()
	decompression := "decompress/" + strings.TrimPrefix(id, "collect/") + "/a"
	s.eventually("the decompression", func() bool { return s.workflows("WorkflowId = '"+decompression+"'") == 1 })
	s.eventually("waiting for eagle", func() bool { return s.progress(decompression).State == "waiting-for-eagle" })
	s.refused("waits for an eagle", "retry", decompression)
	require.NoError(t, s.temporal.TerminateWorkflow(t.Context(), decompression, "", "by mistake"))
	first := run.result(partly)
	assert.Equal(t, "pending", first.Decompress.Archives["a/1.zip"].Reason)

	assert.Contains(t, s.order("retry", decompression), "is started again")
	s.startEagle()
	s.eventually("its end", func() bool {
		return s.workflows("WorkflowId = '"+decompression+"' AND ExecutionStatus = 'Completed'") == 1
	})
	var result runResult
	s.starter("result", id, "-o", "json").code(complete).decode(&result)
	assert.Equal(t, complete, result.Decompress.Archives["a/1.zip"].Result)
	s.requireWarehouse()
	s.refused("has finished", "retry", decompression)
	s.refused("there is no decompress/nothing at Temporal", "retry", "decompress/nothing")
}

// TestOrphanedArchives: archives whose decompression somebody terminated are taken care of by the next run; those of one that was cancelled have
// that for a result.
func TestOrphanedArchives(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	a, b := s.addSite("a"), s.addSite("b")
	a.putZip("1.zip", member("one.txt", text("one", 500)))
	b.put("2.zip", packZip(member("two.txt", text("two", 500))))
	s.configure("")
	s.startTiger()
	run, id := s.beginNamed()
	key := strings.TrimPrefix(id, "collect/")
	for _, server := range []string{"a", "b"} {
		s.eventually("waiting for eagle", func() bool { return s.progress("decompress/"+key+"/"+server).State == "waiting-for-eagle" })
	}
	require.NoError(t, s.temporal.TerminateWorkflow(t.Context(), "decompress/"+key+"/a", "", "by mistake"))
	s.order("cancel", "decompress/"+key+"/b", "--why", "not wanted")
	first := run.result(partly)
	assert.Equal(t, []string{"pending", "cancelled"}, []string{first.Decompress.Archives["a/1.zip"].Reason, first.Decompress.Archives["b/2.zip"].Reason})
	s.refused("was cancelled", "retry", "decompress/"+key+"/b")

	s.collect(complete)
	s.startEagle()
	s.eventually("the end of what was terminated", func() bool {
		return s.workflows("WorkflowId = 'decompress/"+key+"/a' AND ExecutionStatus = 'Completed'") == 1
	})
	assert.Equal(t, 1, s.workflows("WorkflowId = 'decompress/"+key+"/b'"), "nobody wants it")
	var later runResult
	s.starter("result", id, "-o", "json").code(partly).decode(&later)
	assert.Equal(t, complete, later.Decompress.Archives["a/1.zip"].Result)
	assert.Contains(t, later.Decompress.Archives["b/2.zip"].Detail, "not wanted")
	s.requireWarehouse()
}
