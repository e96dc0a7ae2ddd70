package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"talon/internal/ftpclient/ftptest"
)

const (
	recordVariable = "TALON_RECORD_HISTORIES"
	historiesDir   = repository + "/workflows/testdata/histories"
	// maxHistory bounds a recorded history, in bytes: scenarios are small.
	maxHistory = 300 << 10
)

// scenario drives a run whose histories are worth replaying.
type scenario struct {
	name  string
	drive func(*stack)
	// proof is a text that a history of each type must contain, so that the scenario is what its name says.
	proof map[string]string
}

var scenarios = []scenario{
	{"all-good", (*stack).recordAllGood, map[string]string{
		"CollectWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`, "CollectServerWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`,
		"DecompressWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`,
	}},
	{"partial-failure", (*stack).recordPartialFailure, map[string]string{
		"CollectWorkflow": `login_refused`, "CollectServerWorkflow": `"FileVanished"`, "DecompressWorkflow": `"failed":1`,
	}},
	{"retried-activity", (*stack).recordRetriedActivity, map[string]string{
		"CollectWorkflow": `"attempt":2`, "CollectServerWorkflow": `"attempt":2`, "DecompressWorkflow": `"attempt":2`,
	}},
	{"cancelled", (*stack).recordCancelled, map[string]string{
		"CollectWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED"`, "CollectServerWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED"`,
		"DecompressWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED"`,
	}},
	{"continued-as-new", (*stack).recordContinuedAsNew, map[string]string{
		"CollectWorkflow": `"decompressions":`, "CollectServerWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"`,
		"DecompressWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW"`,
	}},
	{"eagle-absent-then-back", (*stack).recordEagleAbsent, map[string]string{
		"CollectWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`, "CollectServerWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`,
		"DecompressWorkflow": `waiting-for-eagle`,
	}},
	{"gateway-away-then-back", (*stack).recordGatewayAway, map[string]string{
		"CollectWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`, "CollectServerWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`,
		"DecompressWorkflow": `waiting-for-gateway`,
	}},
	{"ordered", (*stack).recordOrdered, map[string]string{
		"CollectWorkflow": `is held back until`, "CollectServerWorkflow": `"try":1`, "DecompressWorkflow": `is being cancelled`,
	}},
	{"stable-files", (*stack).recordStableFiles, map[string]string{
		"CollectWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`, "CollectServerWorkflow": `waiting-for-stability`,
	}},
	{"repaired", (*stack).recordRepaired, map[string]string{
		"VerifyWorkflow": `"missing":1`, "FindingsWorkflow": `"damaged"`, "ForgetWorkflow": `"forgotten"`, "CleanWorkflow": `"old versions"`,
		"DecompressWorkflow": `"EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED"`,
	}},
	{"asked", (*stack).recordAsked, map[string]string{"LookupWorkflow": `"findings"`, "ReportWorkflow": `"archives"`}},
	{"probed", (*stack).recordProbed, map[string]string{"ProbeWorkflow": `"login_refused"`}},
}

// TestRecordHistories adds the histories of all scenarios to those that the replay test of package workflows replays. See
// workflows/testdata/README.md for when to do so.
func TestRecordHistories(t *testing.T) {
	if os.Getenv(recordVariable) != "1" {
		t.Skipf("it records the fixtures of the replay tests, which is done with %s=1 (make histories) from released code", recordVariable)
	}
	for _, scenario := range scenarios {
		t.Run(scenario.name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t)
			scenario.drive(s)
			s.eventually("the end of all workflows", func() bool { return s.workflows("ExecutionStatus = 'Running'") == 0 })
			s.record(scenario)
		})
	}
}

// record writes the histories of the namespace into the scenario's directory, beside those that are there.
func (s *stack) record(scenario scenario) {
	s.t.Helper()
	dir := filepath.Join(historiesDir, scenario.name)
	require.NoError(s.t, os.MkdirAll(dir, 0o755))
	all := s.histories()
	slices.SortFunc(all, func(a, b recorded) int {
		return a.history.Events[0].GetEventTime().AsTime().Compare(b.history.Events[0].GetEventTime().AsTime())
	})
	contents := map[string]string{}
	for _, r := range all {
		content, err := protojson.Marshal(r.history)
		require.NoError(s.t, err)
		require.Less(s.t, len(content), maxHistory, r)
		contents[r.kind] += readable(s.t, r, content)
		name := unused(s.t, dir, r.kind)
		writeFile(s.t, name+".json", content)
		ids, err := json.Marshal(map[string]string{"workflow_id": r.id, "run_id": r.run})
		require.NoError(s.t, err)
		writeFile(s.t, name+".id.json", append(ids, '\n'))
		s.t.Logf("%s.json: %d events, %d bytes", name, len(r.history.Events), len(content))
	}
	for kind, proof := range scenario.proof {
		require.True(s.t, strings.Contains(contents[kind], proof), "no %s of scenario %s has %s", kind, scenario.name, proof)
	}
}

// readable is a history for text searches: its JSON without spaces, and its payloads decoded.
func readable(t *testing.T, r recorded, content []byte) string {
	t.Helper()
	var b strings.Builder
	b.WriteString(strings.ReplaceAll(string(content), " ", ""))
	for _, event := range r.history.Events {
		visitPayloads(t, event, func(payload *common.Payload) { b.Write(payload.GetData()) })
	}
	return b.String()
}

// unused returns the first path dir/<kind>-<n> that no file has.
func unused(t *testing.T, dir, kind string) string {
	t.Helper()
	for n := 1; ; n++ {
		name := filepath.Join(dir, fmt.Sprintf("%s-%d", kind, n))
		if _, err := os.Stat(name + ".json"); errors.Is(err, fs.ErrNotExist) {
			return name
		}
	}
}

// twoSites adds two servers with two files and an archive each.
func (s *stack) twoSites() (a, b *site) {
	s.t.Helper()
	a, b = s.addSite("branch-001"), s.addSite("branch-002")
	for _, site := range []*site{a, b} {
		site.put("1.csv", text("one", 300))
		site.put("2.csv", text("two", 300))
		site.putZip("3.zip", member("m.txt", text("m", 500)))
	}
	return a, b
}

func (s *stack) recordAllGood() {
	s.twoSites()
	s.configure("")
	s.start()
	s.collect(complete)
}

func (s *stack) recordPartialFailure() {
	a, b := s.twoSites()
	a.settings = ", connections: 1"
	a.onRetrieve(func(name string, data io.Reader) (io.Reader, error) {
		if name == "1.csv" {
			return data, a.files.Remove(remoteDir + "/2.csv")
		}
		return data, nil
	})
	broken := packZip(member("m.txt", text("m", 500)))
	b.put("broken.zip", broken[:len(broken)/2])
	s.addSite("locked").configured = "not the password"
	s.addClosedSite("down")
	s.configure("")
	s.start()
	s.collect(partly)
}

// recordRetriedActivity has one activity of each workflow fail twice: the run's plan, for which a file is in the way of the
// buffer; a transfer; and an extraction, for which a file is in the way of the stage.
func (s *stack) recordRetriedActivity() {
	a, _ := s.twoSites()
	tries := 0
	a.settings = ", connections: 1"
	a.onRetrieve(func(name string, data io.Reader) (io.Reader, error) {
		if name == "1.csv" {
			if tries++; tries <= 2 {
				return nil, errors.New("the disk of the branch is slow to wake up")
			}
		}
		return data, nil
	})
	s.configure("")
	s.start()
	beforeBuffer, beforeStage := filepath.Join(s.dir, "blocked"), filepath.Join(s.root, "stage", "extract")
	writeFile(s.t, beforeBuffer, nil)
	writeFile(s.t, beforeStage, nil)
	named := filepath.Join(s.dir, "run")
	run := s.beginCollect("--buffer", filepath.Join(beforeBuffer, "zip"), "--run-file", named)
	s.eventually("the name of the run", func() bool { _, err := os.Stat(named); return err == nil })
	id := s.runID(named)
	s.awaitSecondAttempt(id)
	require.NoError(s.t, os.Remove(beforeBuffer))
	s.awaitSecondAttempt("decompress/" + strings.TrimPrefix(id, "collect/") + "/branch-001")
	require.NoError(s.t, os.Remove(beforeStage))
	run.result(complete)
}

// awaitSecondAttempt waits until an activity of a workflow has failed once and is tried again.
func (s *stack) awaitSecondAttempt(workflow string) {
	s.t.Helper()
	s.eventually("a second attempt in "+workflow, func() bool {
		description, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), workflow, "")
		if err != nil {
			return false
		}
		for _, activity := range description.GetPendingActivities() {
			if activity.GetAttempt() > 1 {
				return true
			}
		}
		return false
	})
}

// recordCancelled cancels a run in its second page, and a decompression that waits for eagle.
func (s *stack) recordCancelled() {
	a, _ := s.twoSites()
	a.putZip("0.zip", member("m.txt", text("m", 500)))
	s.configure("collect: {page: 1}")
	held := a.hold("2.csv")
	s.startTiger()
	named := filepath.Join(s.dir, "run")
	s.starter("collect", "--run-file", named).code(complete)
	await(s, "transfer of 2.csv", held.held)
	id := s.runID(named)
	decompression := "decompress/" + strings.TrimPrefix(id, "collect/") + "/branch-001"
	s.eventually("the scheduled extraction", func() bool {
		description, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), decompression, "")
		return err == nil && len(description.GetPendingActivities()) > 0
	})
	for _, workflow := range []string{id, decompression} {
		require.NoError(s.t, s.temporal.CancelWorkflow(s.t.Context(), workflow, ""))
		assert.Error(s.t, s.temporal.GetWorkflow(s.t.Context(), workflow, "").Get(s.t.Context(), nil))
	}
	held.release()
	s.startEagle() // for the decompressions that were not cancelled
}

// recordContinuedAsNew collects in pages of two files, and decompresses more archives than a page of a decompression holds.
func (s *stack) recordContinuedAsNew() {
	s.twoSites()
	s.configure("collect: {page: 2}")
	s.start()
	s.collect(complete)
	const archives = 505
	source := filepath.Join(s.dir, "archives")
	for i := range archives {
		writeFile(s.t, filepath.Join(source, fmt.Sprintf("%d.zip", i)), packZip(member("m", []byte(fmt.Sprint(i)))))
	}
	var started struct {
		Run string `json:"run"`
	}
	s.starter("decompress", "-o", "json", source, filepath.Join(s.dir, "extracted")).code(complete).decode(&started)
	var result decompressResult
	require.NoError(s.t, s.temporal.GetWorkflow(s.t.Context(), started.Run, "").Get(s.t.Context(), &result))
	assert.Equal(s.t, archives, result.Succeeded)
}

// recordOrdered gives a run every order there is: to servers at work and waiting for their turn, to itself, and to a decompression.
func (s *stack) recordOrdered() {
	a, b, c := s.addSite("branch-001"), s.addSite("branch-002"), s.addFake("branch-003", ftptest.Options{})
	a.putZip("1.zip", member("m.txt", text("m", 500)))
	for i := range 4 {
		a.put(fmt.Sprintf("%d.csv", i), text(fmt.Sprint(i), 500))
	}
	b.put("1.csv", text("b", 500))
	c.put("1.csv", text("c", 500))
	a.settings = ", connections: 1"
	s.configure("collect: {window: 1, page: 3}")
	c.fake.On("PASS", ftptest.Say("530 Login incorrect."))
	held := a.hold("2.csv")
	s.startTiger()
	run, id := s.beginNamed("--server", "branch-001", "--server", "branch-002", "--server", "branch-003")
	await(s, "transfer of 2.csv", held.held)
	for _, order := range [][]string{{"pause", "branch-001"}, {"pause", "branch-002"}, {"pause", "branch-003"}, {"resume", "branch-003"}} {
		s.order(order...)
	}
	held.release()
	s.eventually("the pause", func() bool {
		return strings.Contains(s.details("server/branch-001"), "3 of 3 files fetched") || s.state("server/branch-001") == "paused"
	})
	s.order("resume", "branch-001")
	s.eventually("the refused login", func() bool { return s.progress(id).Done == 2 })
	c.behave()
	s.order("retry", "branch-003")
	s.eventually("the second try", func() bool {
		return s.workflows("WorkflowId = 'server/branch-003' AND ExecutionStatus = 'Completed'") == 2
	})
	s.order("skip", "branch-002")
	decompression := "decompress/" + strings.TrimPrefix(id, "collect/") + "/branch-001"
	s.eventually("the decompression", func() bool { return s.progress(decompression).State == "waiting-for-eagle" })
	s.order("cancel", decompression)
	run.end()

	a.put("later.csv", text("later", 500))
	again := a.hold("later.csv")
	run, id = s.beginNamed("--server", "branch-001")
	await(s, "transfer of later.csv", again.held)
	s.order("cancel", id)
	run.end()
	again.release()
}

// recordRepaired damages both warehouses and has them mended, then forgets a file and cleans up.
func (s *stack) recordRepaired() {
	a, _ := s.twoSites()
	s.configure("")
	s.start()
	s.collect(complete)
	a.serve("1.csv", text("newer", 600), written.Add(time.Hour))
	s.collect(complete)
	s.spoil("zip/branch-001/2.csv")
	require.NoError(s.t, os.Remove(filepath.Join(s.root, "zip/branch-002/2.csv")))
	s.verify(partly, "--fetch")
	s.eventually("what mends to end", func() bool { return s.workflows("ExecutionStatus = 'Running'") == 0 })
	s.verify(complete)
	s.starter("forget", "--server", "branch-002", "2.csv").code(complete)
	s.starter("clean", "--versions-older-than", "0s", "--yes").code(complete)
}

// recordAsked asks all that can be asked.
func (s *stack) recordAsked() {
	s.twoSites()
	s.configure("")
	s.start()
	run := s.collect(complete).Run
	for _, question := range [][]string{{"servers"}, {"runs"}, {"files", "--server", "branch-001"}, {"result", run}} {
		s.starter(question...).code(complete)
	}
}

// recordStableFiles has files looked at again before they are fetched.
func (s *stack) recordStableFiles() {
	s.twoSites()
	s.configure("")
	content, err := os.ReadFile(s.config)
	require.NoError(s.t, err)
	writeFile(s.t, s.config, []byte(strings.Replace(string(content), "defaults: {", "defaults: {stable: 1s, ", 1)))
	s.start()
	s.collect(complete)
}

func (s *stack) recordEagleAbsent() {
	s.twoSites()
	s.configure("")
	s.startTiger()
	run := s.beginCollect()
	s.eventually("both decompressions to wait", func() bool { return s.workflows("TalonState = 'waiting-for-eagle'") == 2 })
	s.startEagle()
	run.result(complete)
}

// recordGatewayAway has two eagles without tiger's disk wait for the gateway, with batches of one archive each.
func (s *stack) recordGatewayAway() {
	r := s.remote()
	a, _ := r.twoSites()
	a.putZip("4.zip", member("m.txt", text("m", 500)))
	r.configure("extract: {batch_archives: 1}")
	r.startTigerHost()
	for _, name := range []string{"eagle-1", "eagle-2"} {
		r.addEagle(name, r.url, "").start()
	}
	require.NoError(s.t, r.gateway.Kill())
	run := r.beginCollect()
	r.eventually("both decompressions to wait", func() bool { return r.workflows("TalonState = '"+waitingForGateway+"'") == 2 })
	r.startGateway()
	run.result(complete)
}

// recordProbed probes two servers that are fine, one with another password, and one that is down.
func (s *stack) recordProbed() {
	s.twoSites()
	s.addSite("locked").configured = "not the password"
	s.addClosedSite("down")
	s.configure("")
	s.startTiger()
	s.starter("probe").code(partly)
}
