package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/sdk/temporal"

	"talon/activities"
	"talon/internal/catalog"
	"talon/workflows"
)

// someServers are all kinds of servers at 5:30: in time, late, failing for long, failing since the last run, never seen, never collected.
func someServers() []activities.ServerStatus {
	status := func(name, reason string, result int, end, success time.Time) activities.ServerStatus {
		return activities.ServerStatus{Address: name + ".example:21", ServerState: catalog.ServerState{
			Server: name, Run: collectRun, Result: result, Reason: reason, Start: end.Add(-time.Minute), End: end, LastSuccess: success,
		}}
	}
	good, late := status("branch-002", "", 0, at(16, 0), at(16, 0)), status("branch-003", "", 0, at(-45, 0), at(-45, 0))
	good.Collected, good.Bytes = 12, 9_000_000
	good.Learned = activities.Learned{Passive: "PASV", Listing: "LIST", Zone: "+08:00", REST: "yes", TLSResume: "no", Sessions: 3}
	late.Latest = activities.ReasonNotStarted
	long := status("branch-004", "login_refused", activities.Failed, at(16, 0), at(15, 0).AddDate(0, 0, -3))
	long.Detail = "server branch-004: PASS: login refused: 530 \x1b[2JLogin incorrect."
	fresh := status("branch-005", "timeout", activities.Failed, at(16, 0), at(0, 0))
	never := status("branch-006", "incomplete", activities.Partial, at(16, 0), time.Time{})
	never.Collected = 1
	unseen := activities.ServerStatus{Address: "branch-001.example:21", ServerState: catalog.ServerState{Server: "branch-001"}}
	also := good
	also.Server, also.Address, also.Learned = "branch-000", "branch-000.example:21", activities.Learned{}
	return []activities.ServerStatus{unseen, good, late, long, fresh, never, also}
}

func serversPage(next string, servers ...activities.ServerStatus) workflows.LookupPage {
	return workflows.LookupPage{Servers: &activities.ServersPage{
		Servers: servers, Total: len(someServers()), Next: next, Every: 15 * time.Minute, Now: at(30, 0),
	}}
}

// serversIn returns the servers of a table or of CSV in their order.
func serversIn(text string) (names []string) {
	for line := range strings.Lines(text) {
		if _, rest, found := strings.Cut(line, "branch-"); found && !strings.HasPrefix(line, "{") {
			names = append(names, rest[:3])
		}
	}
	return names
}

func TestServers(t *testing.T) {
	for file, args := range map[string][]string{"servers.txt": nil, "servers.json": {"-o", "json"}, "servers.csv": {"-o", "csv"}} {
		f := newFake()
		all := someServers()
		f.answers = []workflows.LookupPage{serversPage("branch-003", all[:3]...), serversPage("", all[3:]...)}
		got := f.start(t.Context(), append([]string{"servers"}, args...)...)
		assert.Zero(t, got.code)
		assert.Empty(t, got.stderr)
		golden(t, file, got.stdout)
		assert.Equal(t, []workflows.LookupInput{
			{Servers: &activities.ServersInput{Servers: []string{}}}, {Servers: &activities.ServersInput{Servers: []string{}, After: "branch-003"}},
		}, f.lookups)
		assert.NotContains(t, got.stdout, "\x1b")
	}
}

// TestLaggingServers: what was never collected is always behind.
func TestLaggingServers(t *testing.T) {
	for lagging, want := range map[string][]string{
		"0": {"001", "006", "004", "003", "005", "000", "002"}, "1": {"001", "006", "004", "003", "005"}, "2": {"001", "006", "004", "003"}, "5": {"001", "006", "004"}, "1e9": {"001", "006"},
	} {
		f := newFake()
		f.answers = []workflows.LookupPage{serversPage("", someServers()...)}
		got := f.start(t.Context(), "servers", "-o", "csv", "--lagging", lagging)
		assert.ElementsMatch(t, want, serversIn(got.stdout), lagging)
	}
	f := newFake()
	f.answers = []workflows.LookupPage{serversPage("", someServers()...)}
	got := f.start(t.Context(), "servers", "--lagging", "5")
	assert.Contains(t, got.stdout, "3 of 7 servers, one interval is 15m0s\n")
}

func TestServersByName(t *testing.T) {
	f := newFake()
	f.answers = []workflows.LookupPage{serversPage("", someServers()[0])}
	f.start(t.Context(), "servers", "branch-001")
	assert.Equal(t, []workflows.LookupInput{{Servers: &activities.ServersInput{Servers: []string{"branch-001"}}}}, f.lookups)

	f = newFake()
	f.broken = workflowError(temporal.NewNonRetryableApplicationError(`there is no server "x" in talon.yaml`, activities.UnknownServer, nil))
	f.start(t.Context(), "servers", "x").unusable(t, `cannot look up servers: there is no server "x" in talon.yaml`)
	for _, wrong := range [][]string{{"--lagging", "-1"}, {"--lagging", "NaN"}, {"-o", "xml"}} {
		f = newFake()
		f.start(t.Context(), append([]string{"servers"}, wrong...)...).unusable(t, wrong[0])
		assert.Zero(t, f.dialled)
	}
}

func TestSpan(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"0s": -time.Hour, "120ms": 120 * time.Millisecond, "59s": 59*time.Second + 999*time.Millisecond, "1m00s": time.Minute, "59m59s": time.Hour - time.Nanosecond,
		"1h00m": time.Hour, "47h59m": 48*time.Hour - 1, "2d00h": 48 * time.Hour, "400d07h": 400*24*time.Hour + 7*time.Hour,
	} {
		assert.Equal(t, want, span(d))
	}
}
