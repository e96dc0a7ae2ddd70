package e2e

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore/storetest"
)

// remoteFault is something that goes wrong once on the way between an eagle and the gateway, and mends itself.
type remoteFault struct {
	name   string
	faults []storetest.Fault
	gets   int // how often the archive is asked for
	puts   int // how often the bundle is sent
}

// archiveSize is that of the member of each archive: a transfer of it has a middle.
const archiveSize = 600 << 10

// remoteFaults are numbered as the fault catalogue does. Each is about the first request of its kind: a GET is the archive's, a PUT the bundle's.
var remoteFaults = []remoteFault{
	{name: "S01 errors at GET", gets: 5, puts: 1, faults: []storetest.Fault{
		{Op: storetest.Get, Times: 2, Status: http.StatusInternalServerError, Code: "InternalError"},
		{Op: storetest.Get, Times: 2, Status: http.StatusServiceUnavailable, Code: "SlowDown"},
	}},
	{name: "S01 errors at PUT", gets: 1, puts: 5, faults: []storetest.Fault{
		{Op: storetest.Put, Times: 2, Status: http.StatusServiceUnavailable, Code: "SlowDown"},
		{Op: storetest.Put, Times: 2, Status: http.StatusBadGateway, Plain: true},
	}},
	{name: "S02 GET cut", gets: 3, puts: 1, faults: []storetest.Fault{
		{Op: storetest.Get, Times: 1, Cut: storetest.Byte(archiveSize / 3)},
		{Op: storetest.Get, Times: 1, Cut: storetest.Byte(archiveSize / 3), Framing: storetest.ToEOF},
	}},
	{name: "S02 PUT cut", gets: 1, puts: 2, faults: []storetest.Fault{{Op: storetest.Put, Times: 1, CutRequest: storetest.Byte(archiveSize / 2)}}},
	{name: "S03 byte flipped in GET", gets: 2, puts: 1, faults: []storetest.Fault{{Op: storetest.Get, Times: 1, FlipReply: storetest.Byte(archiveSize / 2)}}},
	{name: "S03 byte flipped in PUT", gets: 1, puts: 2, faults: []storetest.Fault{{Op: storetest.Put, Times: 1, FlipRequest: storetest.Byte(archiveSize / 2)}}},
	// The second PUT learns that the first has been stored; the question for its checksum meets errors as well.
	{name: "S05 reply to PUT lost, S01 errors at HEAD", gets: 1, puts: 4, faults: []storetest.Fault{
		{Op: storetest.Put, Times: 1, DropReply: true},
		{Op: storetest.Head, Times: 2, Status: http.StatusServiceUnavailable, Code: "SlowDown"},
	}},
	{name: "S15 proxy that compresses", gets: 2, puts: 1, faults: []storetest.Fault{{Op: storetest.Get, Times: 1, Gzip: true}}},
	{name: "slow line", gets: 1, puts: 1, faults: []storetest.Fault{
		{Op: storetest.Get, Times: 1, Pause: 10 * time.Millisecond}, {Op: storetest.Put, Times: 1, Pause: 10 * time.Millisecond},
	}},
}

// TestRemoteFaults: what goes wrong on the way to the gateway costs another request and nothing else. Each fault has a run of its own, which
// ends with everything in its place and nothing left behind.
func TestRemoteFaults(t *testing.T) {
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
	var results []runResult
	for i, f := range remoteFaults {
		t.Run(strings.ReplaceAll(f.name, " ", "-"), func(t *testing.T) {
			name := fmt.Sprintf("%d.zip", i)
			a.putZip(name, member("m.bin", noise(name, archiveSize)), member("n.txt", text(name, 100)))
			before := proxy.Requests(storetest.Any)
			for _, fault := range f.faults {
				proxy.Inject(fault)
			}
			result := r.collect(complete)
			proxy.Heal()
			results = append(results, result)
			f.check(t, proxy.Requests(storetest.Any)[len(before):])
			assert.Equal(t, 1, result.Decompress.Succeeded)
			r.requireWarehouse()
			r.requireTidy(eagle)
			assert.Zero(t, r.leftovers(result.Run), "nothing was wasted in the stage")
		})
	}
	r.requireFiles(results...)
	r.requireNothingNew()
}

// check demands that each fault has happened as often as it was to, and how many requests there were in all.
func (f remoteFault) check(t *testing.T, requests []storetest.Seen) {
	want, happened, count := 0, 0, map[storetest.Op]int{}
	for _, fault := range f.faults {
		want += fault.Times
	}
	for _, request := range requests {
		count[request.Op]++
		if request.Fault {
			happened++
		}
	}
	require.Equal(t, want, happened, "the fault has happened")
	assert.Equal(t, f.gets, count[storetest.Get], "GETs: %v", count)
	assert.Equal(t, f.puts, count[storetest.Put], "PUTs: %v", count)
}

// TestRemoteStall: a line that falls silent in the middle of a transfer, for good, is left for another one; one archive is on its way here
// meanwhile and one on its way back.
func TestRemoteStall(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	r.plain = true
	a := r.addSite("a")
	for _, name := range []string{"1.zip", "2.zip"} {
		a.putZip(name, member("m.bin", noise(name, archiveSize)))
	}
	r.configure("extract: {batch_archives: 1}")
	r.watch()
	r.startTigerHost()
	proxy := r.addProxy()
	eagle := r.addEagle("eagle", proxy.URL(), "")
	eagle.start()
	before := len(proxy.Requests(storetest.Any))
	proxy.Inject(storetest.Fault{Op: storetest.Get, Times: 1, StallReply: storetest.Byte(archiveSize / 2)})
	proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, StallRequest: storetest.Byte(archiveSize / 2)})
	result := r.collect(complete)
	stalls := remoteFault{gets: 3, puts: 3, faults: []storetest.Fault{{Times: 1}, {Times: 1}}}
	stalls.check(t, proxy.Requests(storetest.Any)[before:])
	r.requireWarehouse()
	r.requireFiles(result)
	r.requireTidy(eagle)
	r.requireNothingNew()
}
