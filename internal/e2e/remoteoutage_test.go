package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	"golang.org/x/sys/unix"

	"talon/internal/archive/archivetest"
	"talon/internal/objectstore/storetest"
	"talon/internal/pki"
)

// bulk is so much more than early that the buffers on the way (Linux lets those of a TCP connection grow to 4 and 6 MiB) do not hold the
// rest: when so much has passed, the transfer is in its middle on both sides.
const (
	bulk  = 20 << 20
	early = 1 << 20
)

// putLarge serves an archive of bulk that nothing makes smaller.
func (b *site) putLarge(name string) {
	b.stack.t.Helper()
	data := noise(name, bulk)
	b.putArchive(name, archivetest.RawZip(archivetest.StoredEntry("m.bin", data)), []archivetest.File{member("m.bin", data)})
}

// TestGatewayKilled kills the gateway, or versitygw alone, with SIGKILL in the middle of a transfer in either direction. When it is
// back the transfer goes on, or begins anew, within the same attempt.
func TestGatewayKilled(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.plain = true
	a := r.addSite("a")
	r.configure("")
	r.watch()
	r.startTigerHost()
	proxy := r.addProxy()
	eagle := r.addEagle("eagle", proxy.URL(), "")
	eagle.start()
	for i, kill := range []gatewayKill{{storetest.Get, false}, {storetest.Put, false}, {storetest.Get, true}, {storetest.Put, true}} {
		t.Run(fmt.Sprint(kill.op, "-", kill.alone), func(t *testing.T) {
			a.putLarge(fmt.Sprint(i, ".zip"))
			killed := make(chan int, 1)
			proxy.Inject(storetest.Fault{Op: kill.op, Times: 1, At: early, Do: func() { killed <- kill.strike(r) }})
			before := len(r.accesses())
			run := r.beginCollect()
			server := await(r.stack, "death of the gateway", killed)
			r.eventually("the end of versitygw", func() bool { return parentOf(server) == 0 })
			if !kill.alone {
				r.startGateway()
			}
			run.result(complete)
			proxy.Heal()
			r.requireWarehouse()
			r.requireTidy(eagle)
			goesOn := slices.ContainsFunc(r.accesses()[before:], func(a access) bool {
				return a.Operation == "GetObject" && a.Status == http.StatusPartialContent
			})
			assert.Equal(t, kill.op == storetest.Get, goesOn, "a GET goes on where it broke off")
		})
	}
	r.requireNothingNew()
}

// gatewayKill is the end of a gateway in the middle of a transfer.
type gatewayKill struct {
	op    storetest.Op
	alone bool // versitygw, which the gateway starts again
}

// strike kills, and returns the process ID that versitygw had.
func (k gatewayKill) strike(r *remote) int {
	server := r.versitygw()
	if k.alone {
		assert.NoError(r.t, unix.Kill(server, unix.SIGKILL))
	} else {
		assert.NoError(r.t, r.gateway.Kill())
	}
	return server
}

// versitygw is the process ID of the gateway's versitygw.
func (r *remote) versitygw() int {
	processes, err := filepath.Glob("/proc/[0-9]*")
	assert.NoError(r.t, err)
	for _, process := range processes {
		pid, err := strconv.Atoi(filepath.Base(process))
		if err == nil && parentOf(pid) == r.gateway.Pid() {
			return pid
		}
	}
	assert.Fail(r.t, "there is no versitygw")
	return 0
}

// parentOf is the parent of a process, 0 if there is no such process or it has ended.
func parentOf(pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	_, fields, ok := strings.Cut(string(stat), ") ") // proc_pid_stat(5)
	if err != nil || !ok || strings.HasPrefix(fields, "Z") {
		return 0
	}
	parent, _ := strconv.Atoi(strings.Fields(fields)[1])
	return parent
}

// waiting is a collection whose decompression waits for the gateway.
type waiting struct {
	*call
	decompression string
}

// collectAndWait starts a collection and returns when the decompression of server a waits for the gateway and says so, with the
// reason, where people look: query, details and search attribute.
func (r *remote) collectAndWait(reason ...string) waiting {
	r.t.Helper()
	named := filepath.Join(r.dir, fmt.Sprint("run-", r.workflows("")))
	w := waiting{call: r.beginCollect("--run-file", named)}
	r.eventually("the name of the run", func() bool { _, err := os.Stat(named); return err == nil })
	w.decompression = "decompress/" + strings.TrimPrefix(r.runID(named), "collect/") + "/a"
	r.eventually("the query to say that the archives wait", func() bool { return r.progress(w.decompression).State == waitingForGateway })
	r.eventually("TalonState", func() bool { return r.state(w.decompression) == waitingForGateway })
	r.eventually("the Web UI's list", func() bool { return r.workflows("TalonState = '"+waitingForGateway+"'") == 1 })
	details := r.details(w.decompression)
	for _, text := range append(reason, "The archives wait") {
		assert.Contains(r.t, details, text)
	}
	assert.NotContains(r.t, details, canaryStore)
	return w
}

// details are the current details of a workflow, as the Web UI shows them.
func (s *stack) details(workflow string) string {
	s.t.Helper()
	answer, err := s.temporal.QueryWorkflow(s.t.Context(), workflow, "", "__temporal_workflow_metadata")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return "" // not started yet
	}
	require.NoError(s.t, err)
	var metadata sdk.WorkflowMetadata
	require.NoError(s.t, answer.Get(&metadata))
	return strings.ReplaceAll(metadata.GetCurrentDetails(), `\`, "") // what was put before characters that Markdown has a use for
}

// requireDone demands that a run which waited has ended well and says so.
func (r *remote) requireDone(w waiting, eagles ...*eagleHost) {
	r.t.Helper()
	w.result(complete)
	r.requireWarehouse()
	r.requireTidy(eagles...)
	r.eventually("TalonState", func() bool { return r.state(w.decompression) == "done" })
}

// requireNoWait demands that no decompression has waited for the gateway in the run of a result.
func (r *remote) requireNoWait(run string) {
	r.t.Helper()
	for _, event := range r.history("decompress/"+strings.TrimPrefix(run, "collect/")+"/a", "").Events {
		visitPayloads(r.t, event, func(payload *common.Payload) {
			assert.NotContains(r.t, string(payload.GetData()), waitingForGateway)
		})
	}
}

// withoutGateway is a remote eagle that has found the gateway, which is killed, and an archive on a branch.
func withoutGateway(t *testing.T) (*remote, *eagleHost) {
	t.Helper()
	r := newRemote(t)
	a := r.addSite("a")
	a.putZip("p.zip", member("m.txt", text("m", 1000)))
	r.configure("")
	r.watch()
	r.startTigerHost()
	eagle := r.addEagle("eagle", r.url, "")
	eagle.start()
	require.NoError(t, r.gateway.Kill())
	return r, eagle
}

// TestGatewayAway: without a gateway the archives wait, for longer than any request is repeated, and are extracted when it is back. It is
// killed when the eagle knows it already.
func TestGatewayAway(t *testing.T) {
	t.Parallel()
	r, eagle := withoutGateway(t)
	run := r.collectAndWait("object store is unavailable", "connection refused", "is the endpoint up")
	r.startGateway()
	r.requireDone(run, eagle)
	r.requireNothingNew()
}

// TestKeysAndCertificatesChange: keys and certificates are exchanged while everything runs, without a pause if both sides have the new ones, and
// with one for as long as a side has not.
func TestKeysAndCertificatesChange(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	a := r.addSite("a")
	r.configure("")
	r.watch()
	r.startTigerHost()
	toGateway := r.addLine(loopback, strings.TrimPrefix(r.url, "https://"))
	eagle := r.addEagle("eagle", "https://"+toGateway.address(), "")
	eagle.start()
	put := func(name string) { a.putZip(name, member("m.txt", text(name, 1000))) }

	put("1.zip")
	r.changeAtGateway("the eagles' keys have changed", func() { r.setKey(r.key, 2) })
	r.setKey(eagle.key, 2)
	r.requireNoWait(r.collect(complete).Run)

	put("2.zip")
	r.changeAtGateway("an eagle's key is gone", func() { require.NoError(t, os.Remove(r.key)) })
	run := r.collectAndWait("access refused", "check the access key")
	r.changeAtGateway("the eagles' keys have changed", func() { r.setKey(r.key, 3) })
	r.setKey(eagle.key, 3)
	r.requireDone(run, eagle)

	put("3.zip")
	r.changeAtGateway("the certificate has changed", func() { r.issue(r.authority, true) })
	toGateway.cut()
	r.requireNoWait(r.collect(complete).Run)

	put("4.zip")
	other, err := pki.NewCA(filepath.Join(r.dir, "other authority"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(filepath.Join(filepath.Dir(r.certificate()), pki.CAFile)))
	r.changeAtGateway("the certificate has changed", func() { r.issue(other, true) })
	toGateway.cut()
	run = r.collectAndWait("certificate is not trusted", "check the CA file")
	require.NoError(t, os.WriteFile(r.ca, other.PEM(), 0o600))
	r.requireDone(run, eagle)
	r.requireNothingNew()
	r.requireNoSecretsOf(canaryStore)
}

// changeAtGateway changes a file of the gateway and returns when it says once more that it has noticed.
func (r *remote) changeAtGateway(sign string, change func()) {
	r.t.Helper()
	count := func() int {
		written, err := r.gateway.ReadLog(0)
		require.NoError(r.t, err)
		return strings.Count(string(written), sign)
	}
	before := count()
	change()
	r.eventually(sign, func() bool { return count() > before })
}

// TestStageFull: when tiger's disk has no room for a bundle the archives wait, and go on when there is some. So they do when the clocks
// differ: no clock can be set here, so a proxy answers what S3 answers then.
func TestStageFull(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.plain = true
	a := r.addSite("a")
	a.putLarge("large.zip")
	r.configure("")
	disk := r.mountBundles()
	r.watch()
	r.startTigerHost()
	proxy := r.addProxy()
	eagle := r.addEagle("eagle", proxy.URL(), "")
	eagle.start()
	disk.resize(bulk / 2)
	run := r.collectAndWait("no space left", "free space there, or raise the quota")
	disk.resize(4 * bulk)
	r.requireDone(run, eagle)

	a.putZip("late.zip", member("m.txt", text("m", 1000)))
	proxy.Inject(storetest.Fault{Status: http.StatusForbidden, Code: "RequestTimeTooSkewed"}) // every request: one refused alone is no outage
	run = r.collectAndWait("access refused", "the clock here says "+time.Now().UTC().Format(time.DateOnly), "set the clocks")
	proxy.Heal()
	r.requireDone(run, eagle)
	r.requireNothingNew()
}

// disk is a file system in memory, of a size that changes.
type disk struct {
	r   *remote
	dir string
}

// mountBundles gives the bundles a disk of their own, or skips the test.
func (r *remote) mountBundles() disk {
	r.t.Helper()
	d := disk{r, r.bundles()}
	require.NoError(r.t, os.MkdirAll(d.dir, 0o750))
	err := unix.Mount("talon-e2e", d.dir, "tmpfs", unix.MS_NODEV|unix.MS_NOSUID, "size=1m,mode=0750")
	if err != nil {
		r.t.Skipf("a full disk needs a file system of its own, and this user cannot mount one (root can): %v", err)
	}
	r.t.Cleanup(func() { assert.NoError(r.t, unix.Unmount(d.dir, 0)) })
	return d
}

func (d disk) resize(bytes int) {
	d.r.t.Helper()
	require.NoError(d.r.t, unix.Mount("", d.dir, "", unix.MS_REMOUNT|unix.MS_NODEV|unix.MS_NOSUID, fmt.Sprintf("size=%d", bytes)))
}
