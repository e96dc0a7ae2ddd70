package e2e

import (
	"errors"
	"io"
	"path"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/devstack"
	"talon/internal/ftpclient/ftptest"
)

// Files of the branches that the Web UI shows.
const (
	ledger     = "ledger-20260630.csv"
	statements = "statements-20260630.zip"
	cards      = "cards-20260630.zip"
	limits     = "limits-20260630.csv"
	hostile    = "<img src=x>_a_*b*.csv"
)

// rude is what a server says that knows HTML and Markdown.
const rude = "<b>No</b> *entry* | for_you_ & [yours](http://example.com)"

// office is a collection that an operator looks at in the Web UI.
type office struct {
	*stack
	b          *browser
	held       *gate // the ledger of branch-002
	four, six  *site // fakes
	collection *call
	run        string
}

// TestWebUI looks at a run with an operator's eyes: while a file is held back by its server and no eagle is there, and after its end.
func TestWebUI(t *testing.T) {
	t.Parallel()
	server, err := devstack.StartTemporal(t.Context(), devstack.TemporalOptions{CLI: temporalCLI, Log: filepath.Join(t.TempDir(), "temporal.log")})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	s := newStackOn(t, server)
	o := &office{stack: s, b: s.newBrowser()}
	o.arrange()
	o.startTiger()
	o.collect()
	o.lookAtList()
	o.lookAtRun()
	o.lookAtServer()
	o.lookAtWaiting()
	o.startEagle()
	o.held.release()
	o.collection.result(partly)
	o.lookAtOutcome()
	o.lookAtSchedule()
}

// arrange makes branches that have a bit of everything.
func (o *office) arrange() {
	one := o.addSite("branch-001")
	one.put("报表-20260630.csv", text("report", 4000))
	inner := packZip(member("north-1.csv", text("one", 3000)), member("north-2.csv", text("two", 3000)))
	one.put(statements, packZip(member("north.zip", inner), member("south.csv", text("south", 500))))

	two := o.addSite("branch-002")
	two.settings = ", idle_timeout: 20m" // longer than the test
	two.put("accounts-20260630.csv", text("accounts", 4000))
	two.put(ledger, text("ledger", 3<<20))
	o.held = two.hold(ledger)
	var fetched atomic.Int32
	two.onRetrieve(func(name string, data io.Reader) (io.Reader, error) {
		if name == ledger && fetched.Add(1) == 1 {
			return nil, errors.New("the disk does not answer")
		}
		return o.held.retrieve(name, data)
	})

	three := o.addSite("branch-003")
	whole := packZip(member("cards.csv", text("cards", 9000)))
	three.put(cards, whole[:len(whole)/2])

	o.four = o.addFake("branch-004", ftptest.Options{})
	o.four.fake.On("PASS", ftptest.Say("530 Login incorrect."))
	o.addClosedSite("branch-005")
	o.six = o.addFake("branch-006", ftptest.Options{})
	o.six.put("accounts-20260630.csv", text("accounts six", 4000))
	o.six.refuse(limits, "550 Permission denied.")
	o.configure("")
}

// refuse serves a file that cannot be fetched.
func (b *site) refuse(file, reply string) {
	b.serve(file, text(file, 100), written)
	b.fake.On("RETR", func(session *ftptest.Session, name string) {
		reaction := ftptest.Default("RETR")
		if path.Base(name) == file {
			reaction = ftptest.Say(reply)
		}
		reaction(session, name)
	})
}

// collect starts the run and returns when it stands still: the ledger is held, archives wait for eagle, and all else is done.
func (o *office) collect() {
	o.collection = o.beginCollect()
	o.t.Cleanup(o.held.release) // before the worker stops, which waits for the transfer
	await(o.stack, "transfer of the ledger", o.held.held)
	o.eventually("the archives to wait for eagle", func() bool { return o.workflows("TalonState = 'waiting-for-eagle'") == 2 })
	o.eventually("all but branch-002", func() bool {
		return o.workflows("WorkflowType = 'CollectServerWorkflow' AND ExecutionStatus = 'Completed'") == len(o.sites)-1
	})
	o.run = o.executions("WorkflowType = 'CollectWorkflow'")[0].GetExecution().GetWorkflowId()
}

func (o *office) decompression(server string) string {
	return "decompress/" + o.run[len("collect/"):] + "/" + server
}

// lookAtList reads the list of workflows, and those views of it that README names.
func (o *office) lookAtList() {
	servers := []string{"server/branch-001", "server/branch-002", "server/branch-003", "server/branch-004", "server/branch-005", "server/branch-006"}
	o.b.setColumns("Status", "Workflow ID", "TalonState", "TalonResult", "TalonFiles", "TalonFailed", "Start")
	o.b.open("workflows")
	o.b.lists(append([]string{o.run, o.decompression("branch-001"), o.decompression("branch-003")}, servers...)...)
	o.b.sees("Running", "Completed", "collecting", "waiting-for-eagle", "done")
	o.b.picture("web-ui-list")
	for query, ids := range map[string][]string{
		`TalonServer = "branch-004"`:                          {"server/branch-004"},
		`TalonResult = 1`:                                     {"server/branch-004", "server/branch-005"},
		`TalonFailed > 0`:                                     {"server/branch-006"},
		`TalonState = "collecting"`:                           {o.run, "server/branch-002"},
		`WorkflowType = "CollectWorkflow"`:                    {o.run},
		`TalonRun = "` + o.run + `" AND TalonState != "done"`: {o.run, "server/branch-002", o.decompression("branch-001"), o.decompression("branch-003")},
	} {
		o.b.openList(query)
		o.b.lists(ids...)
	}
	o.b.openList(`TalonState = "waiting-for-eagle"`)
	o.b.lists(o.decompression("branch-001"), o.decompression("branch-003"))
	o.b.picture("web-ui-waiting-list")
}

// lookAtRun reads the run while it is at work.
func (o *office) lookAtRun() {
	o.b.openWorkflow(o.run, "history")
	o.b.sees("Running", "branch-001", "branch-002", "branch-003", "branch-004", "branch-005", "branch-006", "deadline of the run")
	o.b.picture("web-ui-run-history")
	o.b.openWorkflow(o.run, "user-metadata")
	o.b.sees("collect all servers", "starter result", "5 of 6 servers", "branch-002", "login_refused", "530 Login incorrect", "server_unreachable")
	o.b.requireTidy()
	o.b.picture("web-ui-run")
	o.b.openWorkflow(o.run, "memo")
	o.b.sees(`"by"`, "starter collect --wait -o json")
}

// lookAtServer reads the server whose file does not come.
func (o *office) lookAtServer() {
	const busy = "server/branch-002"
	o.b.openWorkflow(busy, "history")
	o.b.sees(o.run, "Attempt 2", ledger, "3.0 MiB")
	o.b.openWorkflow(busy, "pending-activities")
	o.b.sees("DownloadFile", "2 of 5", "Last Failure", ledger, "tiger-host", `"bytes"`)
	o.b.picture("web-ui-pending")
	o.b.openWorkflow(busy, "user-metadata")
	o.b.sees("branch-002", "starter pause branch-002", "1 of 2 files", ledger, "accounts-20260630.csv")
	o.b.requireTidy()
	o.b.picture("web-ui-server")
	o.b.openWorkflow("server/branch-001", "user-metadata")
	o.b.sees("2 files", statements, "报表-20260630.csv, 3.9 KiB")
	o.b.requireTidy()
	o.b.openWorkflow("server/branch-006", "user-metadata")
	o.b.sees(limits, "550 Permission denied")
	o.b.requireTidy()
}

// lookAtWaiting reads the decompression that no eagle takes.
func (o *office) lookAtWaiting() {
	id := o.decompression("branch-001")
	o.b.openWorkflow(id, "user-metadata")
	o.b.sees("waiting-for-eagle", "No eagle worker polls the queue", "worker --role eagle", statements, "then look whether an eagle is there")
	o.b.requireTidy()
	o.b.picture("web-ui-waiting")
	o.b.openWorkflow(id, "pending-activities")
	o.b.sees("ExtractArchives")
}

// lookAtOutcome reads the same pages after the end.
func (o *office) lookAtOutcome() {
	o.b.openWorkflow(o.run, "user-metadata")
	o.b.sees("3 of 6 servers", "branch-004", "login_refused", "branch-005", "server_unreachable", "branch-006", "starter result "+o.run)
	o.b.requireTidy()
	o.b.picture("web-ui-outcome")
	o.b.openWorkflow("server/branch-002", "user-metadata")
	o.b.sees("branch-002", "2 files", ledger)
	o.b.requireTidy()
	o.b.openWorkflow(o.decompression("branch-001"), "user-metadata")
	o.b.sees("1 of 1 archive", "3 files")
	o.b.requireTidy()
	o.b.openWorkflow(o.decompression("branch-003"), "user-metadata")
	o.b.sees("0 of 1 archive", cards)
	o.b.requireTidy()
	o.b.picture("web-ui-corrupt")
	o.b.openList(`TalonState = "waiting-for-eagle"`)
	o.b.sees("There are no results for the applied filters.")
	o.b.openList(`TalonServer = "branch-001" AND TalonState = "done"`)
	o.b.lists("server/branch-001", o.decompression("branch-001"))
}

// lookAtSchedule reads the schedule, and a run that it started in which servers have HTML and Markdown to say.
func (o *office) lookAtSchedule() {
	o.four.fake.On("PASS", ftptest.Say("530 "+rude))
	o.six.refuse(hostile, "550 "+rude)
	o.starter("schedule", "create", "--every", "1000h").code(complete)
	o.starter("schedule", "trigger").code(complete)
	o.eventually("the scheduled run", func() bool { return o.workflows("TemporalScheduledById = 'collect' AND TalonState = 'done'") == 1 })
	run := o.executions("TemporalScheduledById = 'collect'")[0].GetExecution().GetWorkflowId()
	o.b.open("schedules/collect")
	o.b.sees("CollectWorkflow", run)
	o.b.openWorkflow(run, "user-metadata")
	o.b.sees("started by the schedule: collect all servers", "By the schedule, every 41 d 16 h", "login_refused", rude)
	o.b.requireTidy()
	o.b.openWorkflow("server/branch-004", "user-metadata")
	o.b.sees("login_refused", rude)
	o.b.requireTidy()
	o.b.openWorkflow("server/branch-006", "user-metadata")
	o.b.sees(hostile, rude)
	o.b.requireTidy()
}
