package e2e

import (
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"talon/internal/ftpclient/ftptest"
)

// TestFaults has a server for each way in which servers misbehave: every one is named in its row, nothing gets lost, doubled or
// cut, healthy servers wait for none of them, and once the fault is gone the next run has everything.
func TestFaults(t *testing.T) {
	t.Parallel()
	newFaultRun(t, slices.Concat(transferFaults(), plainFaults(t)), nil).run()
}

// plainFaults are those for which it is all one whether the server speaks TLS.
func plainFaults(t *testing.T) []fault {
	return slices.Concat(fileFaults(), changeFaults(), listingFaults(), sizeFaults(), nameFaults(), timeFaults(),
		silences(), connectionFaults(t), crowdedFaults(), supportFaults(), dataPortFaults())
}

// fault is one way in which a server misbehaves, and what an operator is to see of it.
type fault struct {
	name     string // unique; it names the subtest and the server
	settings string // of the server, as site.settings
	options  ftptest.Options
	bare     bool              // without the files that every server has
	forever  bool              // nobody mends it; the later runs leave it out
	arrange  func(b *site)     // what is wrong from the first run on
	want     outcome           // of the first run
	ledger   func(b *observed) // more that the first run must have done, or not
	heal     func(b *site)     // before the second run; nil: the server behaves from now on
	healed   outcome           // of the second run
	finally  func(b *observed) // after the third run
}

// outcome is what a row says. The zero outcome is that of a server that was worked through, without anything missing.
type outcome struct {
	result   int
	reason   string
	failed   map[string]string // reasons by file
	refused  map[string]string
	deferred int
	says     []string // phrases that tell the operator what is wrong
}

// failedHit is the outcome where only the file hit did not come.
func failedHit(reason string, says ...string) outcome {
	return outcome{result: partly, reason: "incomplete", failed: map[string]string{hit: reason}, says: says}
}

// nothing is the outcome of a server of which not even the listing came.
func nothing(reason string, says ...string) outcome {
	return outcome{result: failed, reason: reason, says: says}
}

// observed is a server after a run, for the checks of a subtest.
type observed struct {
	*testing.T
	site *site
	row  serverResult
}

const (
	healthyServers = 10
	// impatient are the settings of servers on which something stands still.
	impatient = ", connect_timeout: 2s, idle_timeout: 1s"
	// patient ones would wait longer than the test takes.
	patient = ", connect_timeout: 10m, idle_timeout: 10m, min_rate: 0"
	// hit is the file that a fault is about; its neighbours are a.csv and c.csv.
	hit = "b.csv"
)

// faultRun is one installation with a server for each fault, beside healthy servers and ones that stand still.
type faultRun struct {
	*stack
	secure  *security // nil: without TLS
	faults  []fault
	sites   map[string]*site // by the fault's name
	healthy []*site
	held    []*site
	release chan struct{} // ends the standstill
}

// newFaultRun arranges the faults. secure is nil for servers without TLS.
func newFaultRun(t *testing.T, faults []fault, secure *security) *faultRun {
	t.Helper()
	r := &faultRun{stack: newStack(t), secure: secure, faults: faults, sites: map[string]*site{}, release: make(chan struct{})}
	for _, f := range faults {
		require.Nil(t, r.sites[f.name], f.name)
		b := r.add(f.name, f.options)
		b.settings += f.settings
		r.sites[f.name] = b
		if !f.bare {
			b.putSome()
		}
		if f.arrange != nil {
			f.arrange(b)
		}
	}
	for i := range healthyServers {
		b := r.add(fmt.Sprint("healthy ", i), ftptest.Options{})
		b.putSome()
		b.putZip("d.zip", member("m.txt", text(b.name, 700)))
		r.healthy = append(r.healthy, b)
	}
	for command, stall := range map[string]ftptest.Reaction{
		"greeting": ftptest.Delayed(r.release, ftptest.Default("greeting")),
		"MLSD":     ftptest.Stall(100, r.release),
		"RETR":     ftptest.Stall(100, r.release),
	} {
		b := r.add("held "+command, ftptest.Options{})
		b.settings += patient
		b.putSome()
		b.fake.On(command, stall)
		r.held = append(r.held, b)
	}
	r.configure("collect: {small_file: 256KiB}")
	r.watch()
	return r
}

// add adds a server, with TLS if the run is one with it.
func (r *faultRun) add(name string, opt ftptest.Options) *site {
	r.t.Helper()
	name = strings.ToLower(strings.NewReplacer(" ", "-", ",", "").Replace(name))
	if r.secure == nil {
		return r.addFake(name, opt)
	}
	opt.TLS, opt.Config = ftptest.TLSExplicit, r.secure.server.Config()
	b := r.addFake(name, opt)
	b.settings = fmt.Sprintf(", tls: explicit, tls_ca: %q", r.secure.authority)
	return b
}

// security is the trust of an installation in its servers.
type security struct {
	*ftptest.Authority
	authority string // the file with its certificate
	server    ftptest.Identity
}

func newSecurity(t *testing.T) *security {
	t.Helper()
	authority, err := ftptest.NewAuthority()
	require.NoError(t, err)
	s := &security{Authority: authority, authority: filepath.Join(t.TempDir(), "authority.pem")}
	require.NoError(t, os.WriteFile(s.authority, authority.CertPEM, 0o600))
	s.server, err = authority.Valid()
	require.NoError(t, err)
	return s
}

// putSome gives a site three files.
func (b *site) putSome() {
	for _, name := range []string{"a.csv", hit, "c.csv"} {
		b.put(name, text(b.name+"/"+name, 5000))
	}
}

// onHit misbehaves when the file hit is fetched.
func (b *site) onHit(r ftptest.Reaction) { b.onFile(hit, r) }

func (b *site) onFile(name string, r ftptest.Reaction) {
	b.fake.On("RETR", ftptest.ForPath(remoteDir+"/"+name, r, ftptest.Default("RETR")))
}

// behave ends all faults that are not in the tree or in the server's options.
func (b *site) behave() {
	for command := range strings.FieldsSeq("greeting USER PASS AUTH PROT FEAT OPTS TYPE CWD EPSV PASV MLSD LIST RETR REST SIZE") {
		b.fake.Off(command)
	}
	b.fake.Resume()
}

// run drives three runs: with all faults, after they were mended, and one more that must find nothing to do.
func (r *faultRun) run() {
	r.start()
	call := r.beginCollect()
	r.requireOthersFinish()
	close(r.release)
	first := call.result(partly)
	r.requireNoLoss(first)
	for _, b := range append(r.healthy, r.held...) {
		row := first.Servers[b.name]
		assert.Equal(r.t, complete, row.Result, "%s: %s", b.name, row.told())
		assert.Equal(r.t, row.Listed, row.NumberOfFiles, b.name)
	}
	r.check("first run", first, func(f fault) (outcome, func(*observed)) { return f.want, f.ledger })

	servers := r.heal()
	second := r.beginCollect(servers...).result(r.expected(func(f fault) outcome { return f.healed }))
	r.check("second run", second, func(f fault) (outcome, func(*observed)) { return f.healed, nil })
	r.requireWarehouse()
	r.requireFiles(first, second)

	third := r.beginCollect(servers...).end()
	var last runResult
	third.decode(&last)
	r.requireBooks(last)
	for _, f := range r.faults {
		r.t.Run(f.name+"/third run", func(t *testing.T) {
			row := last.Servers[r.sites[f.name].name]
			assert.Zero(t, row.NumberOfFiles, "nothing is collected twice: %+v", row.Files)
			requireNoSessions(t, r.sites[f.name])
			if f.finally != nil {
				f.finally(&observed{t, r.sites[f.name], row})
			}
		})
	}
	r.requireWarehouse()
}

// heal mends the servers that can be mended, and returns the arguments that leave the others out.
func (r *faultRun) heal() (servers []string) {
	r.faults = slices.DeleteFunc(r.faults, func(f fault) bool { return f.forever })
	for _, f := range r.faults {
		heal := (*site).behave
		if f.heal != nil {
			heal = f.heal
		}
		heal(r.sites[f.name])
		servers = append(servers, "--server", r.sites[f.name].name)
	}
	for _, b := range append(r.healthy, r.held...) {
		servers = append(servers, "--server", b.name)
	}
	return servers
}

// requireOthersFinish waits until the healthy servers have been worked through while those that stand still have not: no
// server waits for another. One that stands still costs one connection, however many it is allowed.
func (r *faultRun) requireOthersFinish() {
	r.t.Helper()
	r.eventually("the healthy servers to be finished", func() bool {
		for _, b := range r.healthy {
			if r.status(b) != enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED {
				return false
			}
		}
		return true
	})
	for _, b := range r.held {
		r.eventually(b.name+" to be at work", func() bool { now, _ := b.fake.Sessions(); return now > 0 })
		require.Equal(r.t, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, r.status(b), b.name)
		if b.fake.Commands("MLSD") == 0 || b.fake.Commands("RETR") == 0 {
			r.eventually(b.name+" to cost one connection", func() bool { now, _ := b.fake.Sessions(); return now == 1 })
		}
	}
}

// status is that of the latest workflow of a server.
func (s *stack) status(b *site) enumspb.WorkflowExecutionStatus {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	description, err := s.temporal.DescribeWorkflowExecution(ctx, "server/"+b.name, "")
	if err != nil {
		return enumspb.WORKFLOW_EXECUTION_STATUS_UNSPECIFIED // it has not begun
	}
	return description.GetWorkflowExecutionInfo().GetStatus()
}

// requireNoLoss demands of a run that every file that is on a server is in the warehouse, or that the server's row says that
// something is missing.
func (r *faultRun) requireNoLoss(result runResult) {
	r.t.Helper()
	visible, err := r.look()
	require.NoError(r.t, err)
	there := map[string]bool{}
	for _, sum := range visible {
		there[sum] = true
	}
	require.Empty(r.t, r.staged(), "the stage is empty after the run")
	for _, b := range r.stack.sites {
		row := result.Servers[b.name]
		named := reasons(append(row.Failed, row.Refused...))
		for name, version := range b.fake.Files() {
			missing := !there[version.SHA256()] && named[strings.TrimPrefix(name, remoteDir+"/")] == ""
			if path.Dir(name) == remoteDir && missing && row.Deferred == 0 && row.Reason == "" {
				assert.Fail(r.t, "lost in silence", "%s of %s", name, b.name)
			}
		}
	}
}

// expected is the exit code of a run in which every server ends as told.
func (r *faultRun) expected(of func(fault) outcome) int {
	for _, f := range r.faults {
		if of(f).result != complete {
			return partly
		}
	}
	return complete
}

// check holds every fault's row against what is wanted, in a subtest of its own.
func (r *faultRun) check(when string, result runResult, of func(fault) (outcome, func(*observed))) {
	for _, f := range r.faults {
		r.t.Run(f.name+"/"+when, func(t *testing.T) {
			b := r.sites[f.name]
			row := result.Servers[b.name]
			want, more := of(f)
			want.check(t, row)
			if more != nil {
				more(&observed{t, b, row})
			}
		})
	}
}

func (o outcome) check(t *testing.T, row serverResult) {
	t.Helper()
	told := row.told()
	assert.Equal(t, o.result, row.Result, told)
	assert.Equal(t, o.reason, row.Reason, told)
	assert.Equal(t, orEmpty(o.failed), reasons(row.Failed), told)
	assert.Equal(t, orEmpty(o.refused), reasons(row.Refused), told)
	assert.Equal(t, o.deferred, row.Deferred, told)
	for _, phrase := range o.says {
		assert.Contains(t, told, phrase)
	}
}

func orEmpty(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// requireNoSessions demands that nobody is logged in at a server any more. Its side notices that a moment later.
func requireNoSessions(t *testing.T, b *site) {
	t.Helper()
	require.Eventually(t, func() bool {
		now, _ := b.fake.Sessions()
		return now == 0
	}, patience, glance, "sessions are left on %s", b.name)
}
