package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"

	"talon/internal/archive/archivetest"
	"talon/internal/devstack"
	"talon/internal/objectstore/storetest"
	"talon/internal/pki"
)

// canaryStore is the beginning of the secrets that gateway and eagles share, and that nobody else may see.
const canaryStore = "canary-store-9d27b1"

// waitingForGateway is the state of a decompression whose eagles cannot get at tiger's directories.
const waitingForGateway = "waiting-for-gateway"

// remote is an installation whose eagles have no disk of tiger's: they reach it through a gateway alone.
type remote struct {
	*stack
	authority *pki.CA
	ca        string // the file with its certificate, as eagles have it
	key       string // the file with the eagles' key, as the gateway has it
	host      string // what the gateway listens on
	plain     bool   // it speaks no TLS: a proxy stands before it that does
	url       string // where it is, from its first start on
	gateway   *devstack.Process
}

// newRemote makes an installation; nothing runs yet.
func newRemote(t *testing.T) *remote {
	t.Helper()
	return newStack(t).remote()
}

// remote makes an installation one whose eagles have no disk of tiger's.
func (s *stack) remote() *remote {
	s.t.Helper()
	r := &remote{stack: s, host: loopback}
	var err error
	r.authority, err = pki.NewCA(filepath.Join(r.dir, "authority"))
	require.NoError(s.t, err)
	r.ca = filepath.Join(r.dir, "ca.pem")
	require.NoError(s.t, os.WriteFile(r.ca, r.authority.PEM(), 0o600))
	r.key = filepath.Join(r.dir, "keys", "eagles")
	r.setKey(r.key, 1)
	return r
}

// setKey writes a key into a file of the gateway or of an eagle: the number tells it from others.
func (r *remote) setKey(file string, number int) {
	r.t.Helper()
	require.NoError(r.t, os.MkdirAll(filepath.Dir(file), 0o700))
	content := fmt.Appendf(nil, "eagle-%d:%s-%d", number, canaryStore, number)
	require.NoError(r.t, os.WriteFile(file+".new", content, 0o600))
	require.NoError(r.t, os.Rename(file+".new", file))
}

// startTigerHost runs tiger and the gateway beside it.
func (r *remote) startTigerHost() {
	r.t.Helper()
	r.startTiger()
	r.startGateway()
}

var gatewayURL = regexp.MustCompile(`gateway started" url=(\S+)`)

// startGateway runs the gateway, at the same address as before if it has run, and returns when it serves. It ends with the test.
func (r *remote) startGateway() {
	r.t.Helper()
	args := []string{
		"--warehouse", r.root, "--state", filepath.Join(r.dir, "gateway"), "--listen", r.host + ":0", "--eagle-key", r.key,
		"--program", versitygw, "--access-log", r.log("gateway-access"),
	}
	if _, address, ok := strings.Cut(r.url, "://"); ok {
		args = append(args, "--listen", address)
	}
	if !r.plain {
		r.issue(r.authority, false)
		args = append(args, "--tls-cert", r.certificate()+".crt", "--tls-key", r.certificate()+".key")
	}
	var err error
	r.gateway, err = devstack.StartProcess(devstack.ProcessOptions{
		Name: "gateway", Path: gatewayProgram, Args: args, Env: []string{"PATH=" + os.Getenv("PATH")}, LogFile: r.log("gateway"),
	})
	require.NoError(r.t, err)
	r.others = append(r.others, r.gateway)
	r.t.Cleanup(func() { assert.NoError(r.t, r.gateway.Stop(stopGrace)) })
	r.requireLog(r.gateway, "gateway started")
	written, err := r.gateway.ReadLog(0)
	require.NoError(r.t, err)
	r.url = string(gatewayURL.FindSubmatch(written)[1])
}

// certificate is the path of the gateway's certificate and key, without their endings.
func (r *remote) certificate() string { return filepath.Join(r.dir, "certificates", "gateway") }

// issue gives the gateway a certificate of an authority.
func (r *remote) issue(authority *pki.CA, newKey bool) {
	r.t.Helper()
	request := pki.Request{Name: "gateway", Server: true, Hosts: []string{loopback, r.host}, NewKey: newKey}
	_, err := authority.IssueTo(filepath.Dir(r.certificate()), request)
	require.NoError(r.t, err)
}

// requireLog waits until a process has logged something.
func (s *stack) requireLog(process *devstack.Process, text string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	require.NoError(s.t, process.WaitForLog(ctx, text))
}

// addProxy puts a proxy that can be told to misbehave before a gateway that speaks no TLS itself.
func (r *remote) addProxy() *storetest.Proxy {
	r.t.Helper()
	pair, err := r.authority.Issue(pki.Request{Name: "proxy", Server: true, Hosts: []string{loopback}})
	require.NoError(r.t, err)
	certificate := pair.TLS()
	proxy, err := storetest.Start(r.url, &certificate)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { assert.NoError(r.t, proxy.Close()) })
	return proxy
}

// eagleHost is a host on which nothing but an eagle is: a configuration that names the object store, a key, and an empty environment.
type eagleHost struct {
	remote   *remote
	name     string
	dir      string // its working directory
	key      string // the file with its key
	temporal string // address of Temporal, as it is from there
	within   []string
	process  *devstack.Process
}

// addEagle makes a host on which an eagle can be started that finds the object store at a URL. more is for its configuration.
func (r *remote) addEagle(name, url, more string) *eagleHost {
	r.t.Helper()
	e := &eagleHost{remote: r, name: name, dir: filepath.Join(r.dir, name), temporal: r.server.Address()}
	e.key = filepath.Join(e.dir, "key")
	r.setKey(e.key, 1)
	config := fmt.Sprintf("eagle: {data: \"s3://stage?endpoint=%s\", key: {file: key}, ca: %q, scratch: scratch}\n%s\n", url, r.ca, more)
	require.NoError(r.t, os.WriteFile(filepath.Join(e.dir, "talon.yaml"), []byte(config), 0o600))
	return e
}

// start runs the eagle and returns when it polls. It ends with the test.
func (e *eagleHost) start() {
	t := e.remote.t
	t.Helper()
	// An eagle that gives way to others is easier to meet in a certain moment of its work.
	command := append(slices.Clone(e.within), "nice", workerProgram, "--config", "talon.yaml", "--role", "eagle", "--name", e.name)
	command = append(command, e.remote.flags...)
	process, err := devstack.StartProcess(devstack.ProcessOptions{
		Name: e.name, Path: command[0], Args: command[1:], Dir: e.dir, LogFile: e.remote.log(e.name),
		Env: []string{"PATH=" + os.Getenv("PATH"), "TEMPORAL_ADDRESS=" + e.temporal, "TEMPORAL_NAMESPACE=" + e.remote.namespace},
	})
	require.NoError(t, err)
	e.process = process
	e.remote.others = append(e.remote.others, process)
	t.Cleanup(func() {
		assert.NoError(t, process.Signal(syscall.SIGCONT)) // should it be frozen
		assert.NoError(t, process.Stop(stopGrace))
	})
	e.remote.requireLog(process, "worker started")
}

// scratch lists the files that the eagle works with, by their path below its scratch directory, with their sizes.
func (e *eagleHost) scratch() map[string]int64 {
	files := map[string]int64{}
	top := filepath.Join(e.dir, "scratch")
	err := filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // work goes on, things come and go
		}
		if err != nil || entry.IsDir() {
			return err
		}
		if info, err := entry.Info(); err == nil {
			files[strings.TrimPrefix(name, top)] = info.Size()
		}
		return nil
	})
	require.NoError(e.remote.t, err)
	return files
}

// requireTidy demands that a run has left nothing behind, in the stage, at the gateway and on the eagles' hosts.
func (r *remote) requireTidy(eagles ...*eagleHost) {
	r.t.Helper()
	require.Empty(r.t, r.staged(), "the stage")
	entries, err := os.ReadDir(r.bundles())
	require.NoError(r.t, err)
	for _, entry := range entries {
		assert.Equal(r.t, ".sgwtmp", entry.Name(), "in the directory of the bundles")
	}
	for _, eagle := range eagles {
		assert.Empty(r.t, eagle.scratch(), "on the host %s", eagle.name)
	}
}

func (r *remote) bundles() string { return filepath.Join(r.root, "stage", "bundles") }

// bundled lists the bundles that lie in the stage.
func (r *remote) bundled() []string {
	r.t.Helper()
	found, err := filepath.Glob(filepath.Join(r.bundles(), "*", "*.tar.zst"))
	require.NoError(r.t, err)
	return found
}

// access is a line of the gateway's access log.
type access struct {
	Operation string `json:"operation"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"`
	Status    int    `json:"status"`
}

// accesses are the requests that the gateway has answered so far.
func (r *remote) accesses() (all []access) {
	r.t.Helper()
	written, err := os.ReadFile(r.log("gateway-access"))
	require.NoError(r.t, err)
	for line := range bytes.Lines(written) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // it is being written
		}
		var a access
		require.NoError(r.t, json.Unmarshal(line, &a))
		all = append(all, a)
	}
	return all
}

// leftovers are the staged files that the janitor removed before a run, as its plan says.
func (s *stack) leftovers(run string) int {
	s.t.Helper()
	most := 0
	for _, event := range s.history(run, "").Events {
		visitPayloads(s.t, event, func(payload *common.Payload) {
			var plan struct{ Leftovers int }
			if json.Unmarshal(payload.GetData(), &plan) == nil {
				most = max(most, plan.Leftovers)
			}
		})
	}
	return most
}

// noise is content that no compression makes smaller, another one for each seed.
func noise(seed string, size int) []byte {
	var key [32]byte
	copy(key[:], seed)
	data := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(data) // never fails
	return data
}

// step is how long a process may run between two looks at what it does.
const step = 2 * time.Millisecond

// catch lets a process run step by step until a condition holds, and leaves it frozen (SIGSTOP) in that moment. It returns false, with the
// process running, if the run ends before.
func (s *stack) catch(process *devstack.Process, run *call, condition func() bool) bool {
	s.t.Helper()
	ticker := time.NewTicker(step)
	defer ticker.Stop()
	for {
		s.freeze(process)
		if condition() {
			return true
		}
		require.NoError(s.t, process.Signal(syscall.SIGCONT))
		select {
		case <-run.process.Done():
			return false
		case <-ticker.C:
		}
	}
}

// meet collects one archive after the other from a site until it meets a process in the middle of something, and leaves it frozen there: on a
// busy machine a moment can be over before anybody has looked. It returns that run, and the results of those before it.
func (s *stack) meet(process *devstack.Process, b *site, condition func() bool) (met *call, missed []runResult) {
	s.t.Helper()
	for i := range mostMeetings {
		b.putTwo(fmt.Sprintf("p%d.zip", i))
		run := s.beginCollect("--server", b.name)
		if s.catch(process, run, condition) {
			return run, missed
		}
		missed = append(missed, run.result(complete))
	}
	require.FailNow(s.t, "never met", "%s at work on %s", process.Name(), b.name)
	return nil, nil
}

// mostMeetings is how many moments may be missed in a row.
const mostMeetings = 20

// putTwo serves an archive of two files, the second of which takes a while.
func (b *site) putTwo(name string) {
	b.stack.t.Helper()
	members := []archivetest.File{member("1.bin", noise("1"+b.name+name, 1<<20)), member("2.bin", noise("2"+b.name+name, 15<<20))}
	entries := make([]archivetest.ZipEntry, len(members))
	for i, m := range members {
		entries[i] = archivetest.StoredEntry(m.Name, m.Data)
	}
	b.putArchive(name, archivetest.RawZip(entries...), members)
}

// freeze stops a process and returns when all of it stands still.
func (s *stack) freeze(process *devstack.Process) {
	s.t.Helper()
	require.NoError(s.t, process.Signal(syscall.SIGSTOP))
	stat := fmt.Sprintf("/proc/%d/task/*/stat", process.Pid())
	for {
		threads, err := filepath.Glob(stat)
		require.NoError(s.t, err)
		require.NotEmpty(s.t, threads, "%s has ended", process.Name())
		running := 0
		for _, thread := range threads {
			text, err := os.ReadFile(thread)
			_, state, _ := strings.Cut(string(text), ") ") // proc_pid_stat(5)
			if err == nil && !strings.HasPrefix(state, "T") {
				running++
			}
		}
		if running == 0 {
			return
		}
	}
}
