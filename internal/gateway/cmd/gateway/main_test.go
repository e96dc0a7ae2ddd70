package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/signer"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"talon/internal/gateway"
	"talon/internal/logtest"
	"talon/internal/pki"
)

const (
	// playEnv makes the test binary play the program.
	playEnv = "GATEWAY_TEST_PLAY"
	// patience bounds every wait for a condition in these tests.
	patience = 60 * time.Second

	access, secret = "eagle-1", "0123456789abcdef0123456789abcdef"
)

func TestMain(m *testing.M) {
	if os.Getenv(playEnv) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, 20*time.Millisecond, what)
}

// versitygw is built by the first test that needs it.
var versitygw = sync.OnceValues(func() (string, error) {
	return gateway.FindOrBuild(context.Background(), gateway.FindOptions{ToolsDir: filepath.Join("..", "..", "..", "..", "tools"), Log: os.Stderr})
})

// program is a gateway process over a warehouse.
type program struct {
	t           *testing.T
	root, state string
	args        []string
	cmd         *exec.Cmd
	out, log    logtest.Buffer
	done        chan struct{} // closed when it has ended
	result      error
}

// newProgram makes a warehouse and the command line of a gateway over it.
func newProgram(t *testing.T, more ...string) *program {
	t.Helper()
	path, err := versitygw()
	require.NoError(t, err)
	p := &program{t: t, root: t.TempDir(), state: filepath.Join(t.TempDir(), "state"), done: make(chan struct{})}
	for name, text := range map[string]string{
		"zip/b/a.zip": "archive", "unzip/b/x.txt": "secret", "state/catalog.db": "secret",
		"stage/run/1": "secret",
	} {
		p.write(name, text)
	}
	key := filepath.Join(t.TempDir(), "eagle.key")
	require.NoError(t, os.WriteFile(key, []byte(access+":"+secret+"\n"), 0o600))
	p.args = append([]string{
		"--warehouse", p.root, "--state", p.state, "--listen", "127.0.0.1:0", "--eagle-key", key, "--program", path, "--access-log", "-",
	}, more...)
	return p
}

func (p *program) write(name, text string) {
	p.t.Helper()
	path := filepath.Join(p.root, name)
	require.NoError(p.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(p.t, os.WriteFile(path, []byte(text), 0o644))
}

// start starts the program and waits until it serves.
func (p *program) start() *program {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0], p.args...)
	p.cmd.Env = append(os.Environ(), playEnv+"=1")
	p.run()
	return p
}

func (p *program) run() {
	p.t.Helper()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.log
	require.NoError(p.t, p.cmd.Start())
	go func() {
		p.result = p.cmd.Wait()
		close(p.done)
	}()
	p.t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.wait()
	})
	eventually(p.t, func() bool { return strings.Contains(p.log.String(), "gateway started") || !p.alive() }, "the gateway serves")
	require.Contains(p.t, p.log.String(), "gateway started")
}

func (p *program) alive() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// wait returns when the program has ended: nil for exit code 0.
func (p *program) wait() error {
	<-p.done
	return p.result
}

var startedAt = regexp.MustCompile(`url=(\S+)`)

func (p *program) url() string {
	p.t.Helper()
	match := startedAt.FindStringSubmatch(p.log.String())
	require.NotNil(p.t, match)
	return match[1]
}

func (p *program) client() *minio.Client {
	p.t.Helper()
	address, err := url.Parse(p.url())
	require.NoError(p.t, err)
	transport := &http.Transport{}
	p.t.Cleanup(transport.CloseIdleConnections)
	client, err := minio.New(address.Host, &minio.Options{
		Creds: credentials.NewStaticV4(access, secret, ""), Region: gateway.DefaultRegion, Transport: transport, MaxRetries: 1,
	})
	require.NoError(p.t, err)
	return client
}

// works fetches and delivers.
func (p *program) works(key string) {
	p.t.Helper()
	object, err := p.client().GetObject(p.t.Context(), gateway.BucketZip, "b/a.zip", minio.GetObjectOptions{})
	require.NoError(p.t, err)
	defer object.Close()
	content, err := io.ReadAll(object)
	require.NoError(p.t, err)
	assert.Equal(p.t, "archive", string(content))
	large := strings.Repeat("x", 11<<20)
	_, err = p.client().PutObject(p.t.Context(), gateway.BucketStage, key+"/small", strings.NewReader("x"), 1, minio.PutObjectOptions{})
	require.NoError(p.t, err)
	_, err = p.client().PutObject(p.t.Context(), gateway.BucketStage, key+"/parts", strings.NewReader(large), int64(len(large)),
		minio.PutObjectOptions{PartSize: 5 << 20})
	require.NoError(p.t, err)
}

// call runs a command line in this process, which must not be one that serves.
func call(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, log bytes.Buffer
	code = execute(t.Context(), args, &out, &log)
	return code, out.String(), log.String()
}

func TestHelp(t *testing.T) {
	code, out, _ := call(t, "--help")
	assert.Zero(t, code)
	assert.Contains(t, out, "gateway --warehouse /srv/talon")
	for _, flag := range []string{"--eagle-key", "--tls-cert", "--tls-key", "--state", "--listen", "--access-log"} {
		assert.Contains(t, out, flag)
	}
}

func TestBadCommandLines(t *testing.T) {
	good := newProgram(t)
	flags := func(more ...string) []string { return append(append([]string{}, good.args...), more...) }
	none := filepath.Join(t.TempDir(), "none")
	for want, args := range map[string][]string{
		"--warehouse is missing":       {"--state", "s", "--eagle-key", "k"},
		"--state is missing":           {"--warehouse", "w", "--eagle-key", "k"},
		"--eagle-key is missing":       {"--warehouse", "w", "--state", "s"},
		"gateway --help":               {"--nonsense"},
		`unknown command "serve"`:      {"serve"},
		`no log format "xml"`:          flags("--log", "xml"),
		"no such file or directory":    flags("--program", none),
		"there is no directory zip":    flags("--warehouse", none),
		"give a certificate":           flags("--listen", ":0"),
		"a certificate needs its key":  flags("--tls-cert", none),
		"address to listen on":         flags("--listen", "7070"),
		"none/log: no such file or di": flags("--access-log", none+"/log"),
	} {
		code, _, log := call(t, args...)
		assert.Equal(t, exitUnusable, code, want)
		assert.Contains(t, log, want)
		assert.True(t, strings.HasPrefix(log, "gateway: ") && !strings.HasPrefix(log, "gateway: gateway:"), log)
		assert.NotContains(t, log, secret)
	}
	assert.NoDirExists(t, none, "nothing is made where something is wrong")
}

func TestServeUntilTheEnd(t *testing.T) {
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := newProgram(t).start()
		p.works("d1")
		code, out, log := call(t, "health", p.url())
		assert.Zero(t, code, log)
		assert.Equal(t, "healthy\n", out)
		require.NoError(t, p.cmd.Process.Signal(signal))
		require.NoError(t, p.wait(), "exit code 0")
		assert.Contains(t, p.out.String(), `"key":"b/a.zip"`, "the access log")
		assert.NotContains(t, p.out.String()+p.log.String(), secret)
		code, _, log = call(t, "health", p.url())
		assert.Equal(t, exitUnusable, code)
		assert.Contains(t, log, "refused")
	}
}

func TestVersitygwDiesWithTheGateway(t *testing.T) {
	p := newProgram(t).start()
	socket := filepath.Join(p.state, "run", "s3.sock")
	require.NoError(t, p.cmd.Process.Kill())
	require.Error(t, p.wait())
	eventually(t, func() bool {
		conn, err := net.Dial("unix", socket)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, "nobody is behind the socket")
	again := newProgram(t)
	again.root, again.state = p.root, p.state
	again.args[1], again.args[3] = p.root, p.state
	again.start().works("d2")
}

func TestBadKeyEndsIt(t *testing.T) {
	p := newProgram(t)
	require.NoError(t, os.WriteFile(p.args[7], []byte("nonsense"), 0o600))
	cmd := exec.Command(os.Args[0], p.args...)
	cmd.Env = append(os.Environ(), playEnv+"=1")
	output, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, exitUnusable, exit.ExitCode())
	assert.Contains(t, string(output), "there is no colon")
}

func TestHealthOverTLS(t *testing.T) {
	p := newProgram(t)
	ca, err := pki.NewCA(filepath.Join(t.TempDir(), "ca"))
	require.NoError(t, err)
	files, err := ca.IssueTo(t.TempDir(), pki.Request{Name: "gateway", Server: true, Hosts: []string{"127.0.0.1"}})
	require.NoError(t, err)
	p.args = append(p.args, "--tls-cert", files.Cert, "--tls-key", files.Key)
	p.start()
	code, _, log := call(t, "health", p.url(), "--ca", files.CA)
	assert.Zero(t, code, log)
	code, _, log = call(t, "health", p.url())
	assert.Equal(t, exitUnusable, code)
	assert.Contains(t, log, "certificate")
	code, _, log = call(t, "health", p.url(), "--ca", files.Key)
	assert.Equal(t, exitUnusable, code)
	assert.Contains(t, log, "no certificate in it")
}

// attack is what versitygw alone would obey: see TestWhatTheDoorIsFor. It goes to versitygw past the door.
func (p *program) attack(method, upload string) int {
	p.t.Helper()
	target := "http://versitygw/stage/d1/up?uploadId=" + url.QueryEscape(upload)
	if method == http.MethodPut {
		target += "&partNumber=1"
	}
	request, err := http.NewRequestWithContext(p.t.Context(), method, target, http.NoBody)
	require.NoError(p.t, err)
	request.Header.Set("X-Amz-Content-Sha256", fmt.Sprintf("%x", sha256.Sum256(nil)))
	request = signer.SignV4(*request, access, secret, "", gateway.DefaultRegion)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", filepath.Join(p.state, "run", "s3.sock"))
	}}}
	response, err := client.Do(request)
	require.NoError(p.t, err)
	require.NoError(p.t, response.Body.Close())
	return response.StatusCode
}

// Even who gets past the door cannot leave the directories that a gateway needs.
func TestTheKernelKeepsItInPlace(t *testing.T) {
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, 1); errno != 0 {
		t.Skipf("no Landlock: %v", errno)
	}
	p := newProgram(t).start()
	p.works("d1")
	core := minio.Core{Client: p.client()}
	_, err := core.NewMultipartUpload(t.Context(), gateway.BucketStage, "d1/up", minio.PutObjectOptions{})
	require.NoError(t, err)
	outside, err := filepath.Rel(filepath.Join(p.state, "buckets"), p.root)
	require.NoError(t, err)
	up := "../../../../"
	for _, dir := range []string{outside + "/unzip/b", outside + "/state", outside + "/stage/run", "zip/b"} {
		p.attack(http.MethodPut, up+dir)
		p.attack(http.MethodDelete, up+dir)
	}
	for _, file := range []string{"zip/b/a.zip", "unzip/b/x.txt", "state/catalog.db", "stage/run/1"} {
		assert.FileExists(t, filepath.Join(p.root, file))
		entries, err := os.ReadDir(filepath.Dir(filepath.Join(p.root, file)))
		require.NoError(t, err)
		assert.Len(t, entries, 1, file)
	}
	p.works("d2")

	unprotected := newProgram(t, "--no-landlock").start()
	core = minio.Core{Client: unprotected.client()}
	_, err = core.NewMultipartUpload(t.Context(), gateway.BucketStage, "d1/up", minio.PutObjectOptions{})
	require.NoError(t, err)
	unprotected.attack(http.MethodDelete, up+"zip/b")
	assert.NoFileExists(t, filepath.Join(unprotected.root, "zip/b/a.zip"), "the attack is one that works without it")
}

// Key files and certificates are replaced by others of the same name, as tools do: the kernel must let the new ones be read.
func TestKeysChangeUnderLandlock(t *testing.T) {
	p := newProgram(t)
	dir := filepath.Dir(p.args[7])
	require.NoError(t, os.Mkdir(filepath.Join(dir, "..data-1"), 0o700))
	require.NoError(t, os.Rename(p.args[7], filepath.Join(dir, "..data-1/eagle.key")))
	require.NoError(t, os.Symlink("..data-1", filepath.Join(dir, "..data"))) // as Kubernetes mounts secrets
	require.NoError(t, os.Symlink("..data/eagle.key", p.args[7]))
	p.start().works("d1")
	require.NoError(t, os.Mkdir(filepath.Join(dir, "..data-2"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "..data-2/eagle.key"), []byte("eagle-2:"+secret), 0o600))
	require.NoError(t, os.Symlink("..data-2", filepath.Join(dir, "..data_tmp")))
	require.NoError(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
	eventually(t, func() bool { return strings.Contains(p.log.String(), "eagle-2") }, "the new key is in force")
}
