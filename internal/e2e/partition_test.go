package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/debian"
	"talon/internal/devstack"
)

// TestPartitions cuts an eagle that is a host of its own off from Temporal, from the gateway and from both, in the middle of an extraction,
// and heals the network when something has got stuck in it.
func TestPartitions(t *testing.T) {
	t.Parallel()
	r := newRemote(t)
	far := r.addFarHost()
	toTemporal, toGateway := far.connect("temporal", 18), far.connect("gateway", 19)
	r.host = toGateway.near
	partitions := []partition{
		{"from-temporal", []*link{toTemporal}}, {"from-the-gateway", []*link{toGateway}}, {"from-both", []*link{toTemporal, toGateway}},
	}
	for _, p := range partitions {
		r.addSite(p.name)
	}
	r.configure("")
	r.watch()
	r.startTigerHost()
	temporal := r.addLine(toTemporal.near, r.server.Address())
	gateway, err := url.Parse(r.url)
	require.NoError(t, err)
	toTemporal.port, toGateway.port = temporal.port(), gateway.Port()
	eagle := r.addEagle("eagle", r.url, "")
	eagle.temporal, eagle.within = temporal.address(), far.enter()
	eagle.start()
	var results []runResult
	for i, p := range partitions {
		t.Run(p.name, func(t *testing.T) {
			run, missed := r.meet(eagle.process, r.sites[i], func() bool { return isExtracting(eagle.scratch()) })
			p.set("down")
			require.NoError(t, eagle.process.Signal(syscall.SIGCONT))
			p.awaitEffect(r, eagle)
			p.set("up")
			result := run.result(complete)
			assert.Equal(t, 1, result.Decompress.Succeeded)
			results = append(append(results, missed...), result)
			r.requireTidy(eagle)
		})
	}
	r.requireWarehouse()
	r.requireFiles(results...)
	r.requireNothingNew()
}

// partition is a cut through some of the links to a host.
type partition struct {
	name  string
	links []*link
}

func (p partition) set(state string) {
	for _, link := range p.links {
		link.set(state)
	}
}

// awaitEffect returns when something has got stuck on every link that is cut, and what can get through has.
func (p partition) awaitEffect(r *remote, eagle *eagleHost) {
	delivers := true
	for _, link := range p.links {
		r.eventually("bytes that do not get to "+link.name, func() bool { return link.isStuck(eagle.process) })
		delivers = delivers && link.name != "gateway"
	}
	if delivers {
		r.eventually("the delivery, without a word to Temporal", func() bool { return len(r.bundled()) == 1 })
	} else {
		assert.Empty(r.t, r.bundled())
	}
}

// farHost is a network namespace: a host that is reached over links that can be cut.
type farHost struct {
	s      *stack
	ip     string   // the program
	env    []string // its environment; nil: that of this process
	holder *devstack.Process
}

// iproute has the program ip for machines without it.
var iproute = debian.Set{
	Name: "iproute", Title: "Debian's iproute2", Size: "about 2 MB", Command: "go test ./internal/e2e -run TestPartitions",
	Packages: [][]string{{"iproute2"}}, Files: []string{"bin/ip"},
}

// addFarHost makes a host, or skips the test with the reason. It ends with the test, and its links with it.
func (s *stack) addFarHost() *farHost {
	s.t.Helper()
	if os.Geteuid() != 0 {
		s.t.Skip("a host of its own needs a network namespace, which only root can make")
	}
	h := &farHost{s: s}
	var err error
	if h.ip, err = exec.LookPath("ip"); err != nil {
		found, err := iproute.Fetch(s.t.Context(), os.Stderr)
		if err != nil {
			s.t.Skipf("a network namespace needs the program ip: %v", err)
		}
		h.ip, h.env = found.Path("bin/ip"), found.Environ()
	}
	if output, err := exec.Command("unshare", "--net", "true").CombinedOutput(); err != nil {
		s.t.Skipf("no network namespace can be made here: %v: %s", err, output)
	}
	h.holder, err = devstack.StartProcess(devstack.ProcessOptions{
		Name: "far host", Path: "unshare", Args: []string{"--net", "sh", "-c", "echo there; exec sleep infinity"}, LogFile: s.log("far-host"),
	})
	require.NoError(s.t, err)
	s.t.Cleanup(func() { assert.NoError(s.t, h.holder.Kill()) })
	s.requireLog(h.holder, "there")
	return h
}

// enter is the beginning of a command that runs on the host.
func (h *farHost) enter() []string {
	return []string{"nsenter", fmt.Sprintf("--net=/proc/%d/ns/net", h.holder.Pid())}
}

// link is a cable to a host.
type link struct {
	host *farHost
	name string
	card string // this end of it
	near string // address of this end
	port string // of what the host uses over it
}

// connect lays a link to the host, in 198.18.0.0/15, which is for tests of networks (RFC 2544); net is 18 or 19.
func (h *farHost) connect(name string, net int) *link {
	h.s.t.Helper()
	pid := h.holder.Pid()
	address := func(end int) string { return fmt.Sprintf("198.%d.%d.%d", net, pid>>6&255, pid&63<<2+end) }
	l := &link{host: h, name: name, card: fmt.Sprintf("tt%dn%d", pid, net), near: address(1)}
	h.run(nil, "link", "add", l.card, "type", "veth", "peer", "name", name, "netns", fmt.Sprint(pid))
	h.run(nil, "address", "add", address(1)+"/30", "dev", l.card)
	h.run(h.enter(), "address", "add", address(2)+"/30", "dev", name)
	h.run(h.enter(), "link", "set", name, "up")
	l.set("up")
	return l
}

// run runs ip here or, with a beginning, there.
func (h *farHost) run(within []string, args ...string) {
	h.s.t.Helper()
	command := append(append(within, h.ip), args...)
	ip := exec.Command(command[0], command[1:]...)
	ip.Env = h.env
	output, err := ip.CombinedOutput()
	require.NoError(h.s.t, err, "%s: %s", strings.Join(command, " "), output)
}

// set takes the link up or down. A link that is down drops what it gets.
func (l *link) set(state string) { l.host.run(nil, "link", "set", l.card, state) }

// isStuck tells whether a process has sent something over the link that has not been acknowledged.
func (l *link) isStuck(process *devstack.Process) bool {
	table, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", process.Pid()))
	require.NoError(l.host.s.t, err)
	var port int
	_, err = fmt.Sscan(l.port, &port)
	require.NoError(l.host.s.t, err)
	for line := range strings.Lines(string(table)) {
		fields := strings.Fields(line) // sl local_address rem_address st tx_queue:rx_queue … (proc_pid_net(5))
		if len(fields) > 4 && strings.HasSuffix(fields[2], fmt.Sprintf(":%04X", port)) && !strings.HasPrefix(fields[4], "00000000:") {
			return true
		}
	}
	return false
}
