package e2e

import (
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore/storetest"
)

// phase is how far an eagle's work is, as the files on its host and its requests tell.
type phase struct {
	name string
	op   storetest.Op // a request of this kind is held in its middle; "": none is
	at   func(scratch map[string]int64) bool
}

var phases = []phase{
	{"fetching", storetest.Get, func(scratch map[string]int64) bool {
		return has(scratch, "archive-", ".zip") && !has(scratch, "parcel-", "")
	}},
	{"extracting", "", isExtracting},
	{"packing", "", func(scratch map[string]int64) bool { return has(scratch, "parcel-", "bundle") }},
	{"putting", storetest.Put, func(scratch map[string]int64) bool { return has(scratch, "parcel-", "bundle") }},
}

func isExtracting(scratch map[string]int64) bool {
	return has(scratch, "parcel-", "tree/1.bin") && !has(scratch, "parcel-", "bundle")
}

// has tells whether there is a file below a directory of the eagle's that begins with dir.
func has(scratch map[string]int64, dir, file string) bool {
	for name := range scratch {
		if strings.Contains(name, "/"+dir) && strings.HasSuffix(name, file) {
			return true
		}
	}
	return false
}

// TestRemoteEagleKilled kills an eagle with SIGKILL in each phase of its work. The next one, on the same host, removes what it left there; in the end one
// does all that the others had begun.
func TestRemoteEagleKilled(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.plain = true
	for _, phase := range phases {
		r.addSite(phase.name)
	}
	r.configure("")
	r.watch()
	r.startTigerHost()
	proxy := r.addProxy()
	eagle := r.addEagle("eagle", proxy.URL(), "")
	var runs []*call
	var results []runResult
	for i, phase := range phases {
		eagle.start()
		require.Empty(t, eagle.scratch(), "an eagle that starts has removed what another one has left")
		release := make(chan struct{})
		if phase.op != storetest.Any {
			proxy.Inject(storetest.Fault{Op: phase.op, Times: 1, At: 10 << 20, Do: func() { <-release }})
		}
		puts := len(proxy.Requests(storetest.Put))
		run, missed := r.meet(eagle.process, r.sites[i], func() bool {
			now := len(proxy.Requests(storetest.Put))
			if phase.op != storetest.Put && now != puts {
				puts = now // too late: the next archive
				return false
			}
			return phase.at(eagle.scratch()) && (phase.op != storetest.Put || now != puts)
		})
		runs, results = append(runs, run), append(results, missed...)
		require.NoError(t, eagle.process.Kill())
		close(release)
		proxy.Heal()
		t.Logf("killed while %s: %v", phase.name, slices.Sorted(maps.Keys(eagle.scratch())))
	}
	require.NotEmpty(t, eagle.scratch())
	eagle.start()
	for _, run := range runs {
		results = append(results, run.result(complete))
	}
	r.requireWarehouse()
	r.requireFiles(results...)
	r.requireTidy(eagle)
	for _, result := range results {
		assert.Equal(t, 1, result.Decompress.Succeeded)
	}
	r.requireNothingNew()
}

// TestRemoteEagleFrozen freezes an eagle (SIGSTOP) in the middle of a delivery. When it has been given up for dead and another one has done its
// work, it wakes, and delivers: before it can hear that nobody waits for it, for its line to Temporal is silent. What it delivered is ignored, and the
// next run removes it and says so.
func TestRemoteEagleFrozen(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.plain = true
	r.addSite("a").putTwo("p.zip")
	r.configure("")
	r.watch()
	r.startTigerHost()
	proxy := r.addProxy()
	frozen, other := r.addEagle("frozen", proxy.URL(), ""), r.addEagle("other", r.addProxy().URL(), "")
	toTemporal := r.addLine(loopback, r.server.Address())
	frozen.temporal = toTemporal.address()
	held, release := make(chan struct{}, 1), make(chan struct{})
	proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, At: 10 << 20, Do: func() {
		held <- struct{}{}
		<-release
	}})

	frozen.start()
	run := r.beginCollect()
	await(r.stack, "delivery of the eagle that is to be frozen", held)
	r.freeze(frozen.process)
	toTemporal.hold()
	toTemporal.cut() // or the server would give it the second attempt as well: it has asked for work before it was frozen
	other.start()
	result := run.result(complete)
	r.requireHosts(result.Decompress, other)
	r.requireWarehouse()
	r.requireTidy(other)

	require.NoError(t, frozen.process.Signal(syscall.SIGCONT))
	close(release)
	r.eventually("the late delivery", func() bool { return len(r.bundled()) == 1 })
	r.eventually("the end of the work of the eagle that was frozen", func() bool { return len(frozen.scratch()) == 0 })
	toTemporal.release()
	r.requireLog(frozen.process, "RecordActivityHeartbeat with error")
	next := r.collect(complete)
	assert.Equal(t, 1, r.leftovers(next.Run), "the plan of the next run counts what was delivered for nothing")
	assert.Zero(t, next.Servers["a"].NumberOfFiles)
	r.requireWarehouse()
	r.requireTidy(frozen, other)

	require.NoError(t, other.process.Stop(stopGrace))
	r.sites[0].putZip("q.zip", member("m.txt", text("q", 1000)))
	r.requireHosts(r.collect(complete).Decompress, frozen)
	r.requireWarehouse()
}

// TestTigerKilledWhileUnpacking kills tiger with SIGKILL in the middle of a bundle that it unpacks. The next one begins anew, and publishes once.
func TestTigerKilledWhileUnpacking(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	a := r.addSite("a")
	r.configure("")
	r.watch()
	r.startTigerHost()
	eagle := r.addEagle("eagle", r.url, "")
	eagle.start()
	run, missed := r.meet(r.tiger, a, func() bool {
		found, err := filepath.Glob(filepath.Join(r.root, "stage", "extract", "*", "received-*", "tree", "*"))
		require.NoError(t, err)
		return len(found) > 0
	})
	last := filepath.Join(r.root, "unzip", "a", fmt.Sprint("p", len(missed)))
	require.NoDirExists(t, last)
	require.NoError(t, r.tiger.Kill())
	require.Len(t, r.bundled(), 1, "the bundle is still there")
	r.startTiger()
	result := run.result(complete)
	assert.DirExists(t, last)
	r.requireWarehouse()
	r.requireFiles(append(missed, result)...)
	r.requireTidy(eagle)
	puts := 0
	for _, a := range r.accesses() {
		if a.Operation == "PutObject" && a.Status == http.StatusOK {
			puts++
		}
	}
	assert.Equal(t, len(missed)+1, puts, "the eagle's work is not done again")
	r.requireNothingNew()
}
