package compose

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/devstack"
)

const (
	// enableEnv is set by `make test-compose`: these tests build images and take minutes, so that `make test` leaves them out.
	enableEnv = "TALON_TEST_COMPOSE"
	// patience bounds every wait for a condition; containers start in seconds, but two processors may be busy with other things.
	patience = 10 * time.Minute
	glance   = 100 * time.Millisecond
	seed     = 1 // of the demo's files, the default of ftpdemo
)

// site is docker-compose.yml, up under a project name of its own. It ends with the test, and what it made with it.
type site struct {
	t       *testing.T
	compose []string // the command: docker compose, or docker-compose
	root    string   // of the repository
	project string
	ui      int // port of Temporal's Web UI
	bulk    int // further archives per branch
}

// newSite builds the images, if no test has done so yet, and starts everything, with so many eagles.
func newSite(t *testing.T, eagles, bulk int) *site {
	t.Helper()
	if os.Getenv(enableEnv) == "" {
		t.Skipf("`make test-compose` runs this: it needs Docker, builds images and takes minutes")
	}
	root, err := filepath.Abs("../..")
	require.NoError(t, err)
	port, err := devstack.FreePort()
	require.NoError(t, err)
	s := &site{
		t: t, compose: engine(t), root: root, ui: port, bulk: bulk,
		project: fmt.Sprintf("talontest%d%s", os.Getpid(), strings.ToLower(strings.TrimPrefix(t.Name(), "TestCompose"))),
	}
	images(t, root)
	t.Cleanup(s.down)
	s.must("up", "--detach", "--scale", "eagle="+strconv.Itoa(eagles))
	return s
}

// engine returns the compose command of this machine, or skips the test, with the reason.
func engine(t *testing.T) []string {
	t.Helper()
	if out, err := exec.Command("docker", "version", "--format", "{{.Server.Version}}").CombinedOutput(); err != nil {
		t.Skipf("no Docker engine answers: %v: %s", err, out)
	}
	if exec.Command("docker", "compose", "version").Run() == nil {
		return []string{"docker", "compose"}
	}
	out, err := exec.Command("docker-compose", "version", "--short").Output()
	version := strings.TrimSpace(string(out))
	if err != nil || strings.HasPrefix(version, "1.") && !strings.HasPrefix(version, "1.29.") {
		t.Skipf("neither docker compose nor docker-compose 1.29 is here: docker-compose is %q (%v)", version, err)
	}
	return []string{"docker-compose"}
}

var built sync.Once

// images builds the images once.
func images(t *testing.T, root string) {
	t.Helper()
	built.Do(func() {
		command := exec.Command("make", "images")
		command.Dir = root
		out, err := command.CombinedOutput()
		require.NoError(t, err, "make images: %s", out)
	})
}

// command prepares a compose command.
func (s *site) command(args ...string) *exec.Cmd {
	line := append(append(s.compose[1:len(s.compose):len(s.compose)], "--project-name", s.project), args...)
	command := exec.Command(s.compose[0], line...)
	command.Dir = s.root
	command.Env = append(os.Environ(), fmt.Sprintf("TALON_UI_PORT=%d", s.ui), fmt.Sprintf("TALON_DEMO_BULK=%d", s.bulk))
	return command
}

// must runs a compose command that has to succeed.
func (s *site) must(args ...string) {
	s.t.Helper()
	out, err := s.command(args...).CombinedOutput()
	if err != nil {
		s.tellLogs()
	}
	require.NoError(s.t, err, "compose %v: %s", args, out)
}

// docker runs a docker command that has to succeed and returns what it prints.
func (s *site) docker(args ...string) string {
	s.t.Helper()
	var stderr bytes.Buffer
	command := exec.Command("docker", args...)
	command.Stderr = &stderr
	out, err := command.Output()
	require.NoError(s.t, err, "docker %v: %s", args, stderr.String())
	return strings.TrimSpace(string(out))
}

// left lists what of the project exists: containers, volumes and networks.
func (s *site) left() []string {
	label := "label=com.docker.compose.project=" + s.project
	var all []string
	for _, list := range [][]string{{"ps", "--all"}, {"volume", "ls"}, {"network", "ls"}} {
		all = append(all, strings.Fields(s.docker(append(list, "--quiet", "--filter", label)...))...)
	}
	return all
}

// down removes everything, and sees that nothing is left behind. Images stay: they are the build's, not the test's.
func (s *site) down() {
	if s.t.Failed() {
		s.tellLogs()
	}
	var mounted []string // volumes without a name have no label, either
	for _, container := range s.containers("") {
		for _, mount := range s.inspect(container).Mounts {
			mounted = append(mounted, mount.Name)
		}
	}
	out, err := s.command("down", "--volumes", "--remove-orphans", "--timeout", "60").CombinedOutput()
	require.NoError(s.t, err, "compose down: %s", out)
	assert.Empty(s.t, s.left(), "left behind")
	there := strings.Fields(s.docker("volume", "ls", "--quiet"))
	for _, name := range mounted {
		if name != "" {
			assert.NotContains(s.t, there, name, "left behind")
		}
	}
}

// tellLogs shows what the containers said, after a failure.
func (s *site) tellLogs() {
	for _, container := range s.containers("") {
		s.t.Logf("%s:\n%s", s.inspect(container).Name, s.log(container, "--tail", "30"))
	}
}

// log is what a container has written, to stdout and stderr.
func (s *site) log(container string, args ...string) string {
	s.t.Helper()
	out, err := exec.Command("docker", append(append([]string{"logs"}, args...), container)...).CombinedOutput()
	require.NoError(s.t, err, "%s", out)
	return string(out)
}

// containers are the IDs of a service's containers, or of all with "".
func (s *site) containers(service string) []string {
	s.t.Helper()
	args := []string{"ps", "--all", "--quiet", "--no-trunc", "--filter", "label=com.docker.compose.project=" + s.project}
	if service != "" {
		args = append(args, "--filter", "label=com.docker.compose.service="+service)
	}
	return strings.Fields(s.docker(args...))
}

// container is the ID of the one container of a service.
func (s *site) container(service string) string {
	s.t.Helper()
	all := s.containers(service)
	require.Len(s.t, all, 1, service)
	return all[0]
}

// inspected is what docker inspect says of a container.
type inspected struct {
	Name         string
	RestartCount int
	State        struct {
		Status string
		Pid    int
		Health *struct{ Status string }
	}
	Config struct {
		User, Hostname string
		Env            []string
		Labels         map[string]string
	}
	HostConfig struct {
		Privileged, ReadonlyRootfs bool
		CapAdd, CapDrop            []string
		SecurityOpt                []string
		Memory                     int64
		RestartPolicy              struct{ Name string }
		LogConfig                  struct{ Config map[string]string }
	}
	Mounts          []struct{ Type, Name, Source, Destination string }
	NetworkSettings struct {
		Networks map[string]struct{ IPAddress string }
	}
}

func (i inspected) service() string { return i.Config.Labels["com.docker.compose.service"] }

func (s *site) inspect(container string) inspected {
	s.t.Helper()
	var all []inspected
	require.NoError(s.t, json.Unmarshal([]byte(s.docker("inspect", container)), &all))
	require.Len(s.t, all, 1)
	return all[0]
}

// health is what the health check of a container came to.
func (s *site) health(container string) string {
	s.t.Helper()
	if health := s.inspect(container).State.Health; health != nil {
		return health.Status
	}
	return "none"
}

// exec runs a program in a container; the error is that of the program.
func (s *site) exec(container string, args ...string) (string, error) {
	out, err := exec.Command("docker", append([]string{"exec", container}, args...)...).CombinedOutput()
	return string(out), err
}

// eventually waits for a condition.
func (s *site) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, patience, glance, what)
}

// files reads a directory of a container, volumes included, and hands over each regular file; anything else but directories is an error.
func (s *site) files(container, dir string, each func(name string, content io.Reader) error) {
	s.t.Helper()
	command := exec.Command("docker", "cp", container+":"+dir+"/.", "-")
	out, err := command.StdoutPipe()
	require.NoError(s.t, err)
	require.NoError(s.t, command.Start())
	for archive := tar.NewReader(out); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(s.t, err)
		switch header.Typeflag {
		case tar.TypeDir:
		case tar.TypeReg:
			require.NoError(s.t, each(strings.TrimPrefix(header.Name, "./"), archive), header.Name)
		default:
			assert.Fail(s.t, "neither file nor directory", "%s in %s", header.Name, dir)
		}
	}
	_, err = io.Copy(io.Discard, out) // the padding of the archive
	require.NoError(s.t, err)
	require.NoError(s.t, command.Wait())
}

// warehouse is the SHA-256 of every file that is visible in the warehouses, by path, and the names of the files in the stage.
func (s *site) warehouse() (sums map[string]string, staged []string) {
	s.t.Helper()
	sums = map[string]string{}
	s.files(s.container("tiger"), "/data", func(name string, content io.Reader) error {
		top, _, _ := strings.Cut(name, "/")
		switch top {
		case "zip", "unzip":
			sum := sha256.New()
			_, err := io.Copy(sum, content)
			sums[name] = hex.EncodeToString(sum.Sum(nil))
			return err
		case "stage":
			staged = append(staged, name)
		}
		return nil
	})
	return sums, staged
}

// manifest is what the program of the FTP servers says that they serve, and what is in it.
func (s *site) manifest() map[string]string {
	s.t.Helper()
	sums := map[string]string{}
	for _, branch := range devstack.SiteNames() {
		out, err := s.command("run", "--rm", "-T", "--no-deps", branch, "--manifest", "--branch="+branch, fmt.Sprintf("--bulk=%d", s.bulk)).Output()
		require.NoError(s.t, err, branch)
		for line := range strings.Lines(string(out)) {
			sum, name, found := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
			require.True(s.t, found, line)
			sums[name] = sum
		}
	}
	return sums
}

// result is the JSON of `starter collect --wait`, as far as it is judged here.
type result struct {
	Result  int
	Servers map[string]struct {
		Result          int
		Reason          string
		NumberOfFiles   int `json:"number_of_files"`
		Listed          int
		Refused, Failed []json.RawMessage
		Unchanged       int
		Deferred        int
	}
	Decompress struct {
		Result, Total, Succeeded int
		Archives                 map[string]struct {
			Result, Received int
			Reason, Host     string
		}
	}
}

// collection is a run of `starter collect --wait`.
type collection struct {
	s              *site
	stdout, stderr bytes.Buffer
	ended          chan struct{}
	code           int
}

// collect starts a collection.
func (s *site) collect() *collection {
	s.t.Helper()
	c := &collection{s: s, ended: make(chan struct{})}
	command := s.command("run", "--rm", "-T", "starter", "collect", "--wait", "-o", "json")
	command.Stdout, command.Stderr = &c.stdout, &c.stderr
	require.NoError(s.t, command.Start())
	go func() {
		defer close(c.ended)
		_ = command.Wait()
		c.code = command.ProcessState.ExitCode()
	}()
	return c
}

// running tells whether the run goes on; what is to happen in its middle must not come after it.
func (c *collection) running() bool {
	select {
	case <-c.ended:
		return false
	default:
		return true
	}
}

// wait waits for the end and returns the result.
func (c *collection) wait() result {
	c.s.t.Helper()
	select {
	case <-c.ended:
	case <-time.After(patience):
		require.FailNow(c.s.t, "the run does not end")
	}
	var r result
	require.NoError(c.s.t, json.Unmarshal(c.stdout.Bytes(), &r), "%s\n%s", c.stdout.String(), c.stderr.String())
	assert.Equal(c.s.t, 2, c.code, "one archive is corrupt, so not all is there")
	return r
}

// attempt is an activity that Temporal waits for.
type attempt struct {
	ActivityType       struct{ Name string }
	State              string
	Attempt            int
	LastWorkerIdentity string
}

// extractions are the attempts at extraction that are at work now, in all workflows.
func (s *site) extractions() []attempt {
	s.t.Helper()
	var list struct {
		Executions []struct {
			Execution struct{ WorkflowID string }
		}
	}
	s.temporal("workflows?query="+url.QueryEscape("WorkflowType='DecompressWorkflow' AND ExecutionStatus='Running'"), &list)
	var all []attempt
	for _, e := range list.Executions {
		var workflow struct{ PendingActivities []attempt }
		s.temporal("workflows/"+url.PathEscape(e.Execution.WorkflowID), &workflow)
		for _, a := range workflow.PendingActivities {
			if a.ActivityType.Name == "ExtractArchives" && a.State == "PENDING_ACTIVITY_STATE_STARTED" {
				all = append(all, a)
			}
		}
	}
	return all
}

// temporal asks the HTTP interface that comes with the Web UI.
func (s *site) temporal(path string, answer any) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
	defer cancel()
	address := fmt.Sprintf("http://127.0.0.1:%d/api/v1/namespaces/default/%s", s.ui, path)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	require.NoError(s.t, err)
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	require.Equal(s.t, http.StatusOK, response.StatusCode, "%s: %s", address, content)
	require.NoError(s.t, json.Unmarshal(content, answer), "%s", content)
}
