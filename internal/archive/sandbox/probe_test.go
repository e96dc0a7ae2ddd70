package sandbox_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"talon/internal/archive"
	"talon/internal/archive/sandbox"
)

// inheritedFD is a descriptor that nobody meant to give away.
const inheritedFD = 4

// findings are what a confined process says it could do.
type findings struct {
	Confinement sandbox.Confinement
	Errors      map[string]string // by the name of an attempt; "" = it succeeded
	Status      string            // of the process, see proc(5)
}

// attempts are what a process might try, with a directory, a TCP and a Unix socket that are none of its business, and with
// its parent.
func attempts(outside, tcp, socket string) map[string]func() error {
	parent := os.Getppid()
	call := func(number uintptr, args ...uintptr) func() error {
		args = append(args, 0, 0, 0)
		return func() error {
			if _, _, errno := syscall.Syscall(number, args[0], args[1], args[2]); errno != 0 {
				return errno
			}
			return nil
		}
	}
	dial := func(network, address string) func() error {
		return func() error {
			_, err := net.Dial(network, address)
			return err
		}
	}
	return map[string]func() error{
		"read a file": func() error { _, err := os.ReadFile("/etc/passwd"); return err },
		"read proc":   func() error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", parent)); return err },
		"list":        func() error { _, err := os.ReadDir(outside); return err },
		"write":       func() error { return os.WriteFile(filepath.Join(outside, "written"), nil, 0o600) },
		"move out":    func() error { return os.Rename("mine", filepath.Join(outside, "mine")) },
		"dial TCP":    dial("tcp", tcp),
		"dial Unix":   dial("unix", socket),
		"listen":      func() error { _, err := net.Listen("tcp", "127.0.0.1:0"); return err },
		"socketpair":  func() error { _, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0); return err },
		"run":         func() error { return exec.Command("/bin/true").Run() },
		"signal":      func() error { return unix.Kill(parent, unix.SIGWINCH) },
		"signal by thread": func() error {
			return unix.Tgkill(parent, parent, unix.SIGWINCH)
		},
		"trace":       call(unix.SYS_PTRACE, unix.PTRACE_GETSIGINFO, uintptr(parent)),
		"read memory": call(unix.SYS_PROCESS_VM_READV, uintptr(parent)),
		"limit":       func() error { return unix.Prlimit(parent, unix.RLIMIT_CORE, nil, &unix.Rlimit{}) },
		"raise":       func() error { return unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 600, Max: 600}) },
		"symlink":     func() error { return os.Symlink("/etc/passwd", "symlink") },
		"link":        func() error { return os.Link("large", "link") },
		"FIFO":        func() error { return unix.Mkfifo("fifo", 0o600) },
		"code": func() error {
			_, err := unix.Mmap(-1, 0, 4096, unix.PROT_EXEC, unix.MAP_ANON|unix.MAP_PRIVATE)
			return err
		},
		"unshare":    func() error { return unix.Unshare(unix.CLONE_NEWUSER) },
		"mount":      func() error { return unix.Mount("none", ".", "none", 0, "") },
		"keys":       call(unix.SYS_KEYCTL),
		"io_uring":   call(unix.SYS_IO_URING_SETUP),
		"bpf":        call(unix.SYS_BPF),
		"inherited":  func() error { return unix.Fstat(inheritedFD, &unix.Stat_t{}) },
		"large file": func() error { return truncate("large", 1<<30) },
	}
}

func truncate(name string, size int64) error {
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Truncate(size)
}

// duties are what an extraction must be able to do.
func duties() error {
	steps := []error{
		os.MkdirAll("a/b", 0o750), os.WriteFile("a/b/file", []byte("text"), 0o600), os.Rename("a/b/file", "moved"),
		os.Chmod("moved", 0o640), truncate("moved", 2), os.RemoveAll("a"),
	}
	for _, err := range steps {
		if err != nil {
			return err
		}
	}
	done := make(chan int)
	for i := range 50 { // threads, collection, interruption
		go func() {
			runtime.GC()
			done <- len(make([]byte, i<<10))
		}()
	}
	for range 50 {
		<-done
	}
	_, err := os.ReadDir(".")
	return err
}

// probe is a program that gives up what its first argument says, tries everything and prints its findings.
func probe(args []string) int {
	var found findings
	var err error
	try := attempts(args[1], args[2], args[3])
	_ = errors.Join(os.WriteFile("mine", nil, 0o600), os.WriteFile("large", nil, 0o600))
	status, _ := os.Open("/proc/self/status")
	switch args[0] {
	case "all":
		found.Confinement, err = sandbox.Confine(archive.Limits{FileBytes: 1 << 20})
	case "files":
		found.Confinement.Landlock, err = sandbox.RestrictFiles()
	case "calls":
		found.Confinement.Seccomp, err = sandbox.FilterSystemCalls()
	}
	found.Errors = map[string]string{}
	note := func(name string, err error) {
		if found.Errors[name] = ""; err != nil {
			found.Errors[name] = err.Error()
		}
	}
	text, _ := io.ReadAll(status)
	found.Status = string(text)
	note("confine", err)
	note("duties", duties())
	for name, attempt := range try {
		note(name, attempt())
	}
	if err := json.NewEncoder(os.Stdout).Encode(found); err != nil {
		return 1
	}
	return 0
}

// runProbe runs probe in a directory of its own.
func runProbe(t *testing.T, what string) findings {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer tcp.Close()
	outside := t.TempDir()
	socket, err := net.Listen("unix", filepath.Join(outside, "socket"))
	require.NoError(t, err)
	defer socket.Close()
	command := exec.Command("/proc/self/exe", probeArgument, what, outside, tcp.Addr().String(), socket.Addr().String())
	command.Dir = t.TempDir()
	secret, err := os.Open("/etc/passwd")
	require.NoError(t, err)
	defer secret.Close()
	command.ExtraFiles = []*os.File{secret, secret} // 3 and inheritedFD
	output, err := command.CombinedOutput()
	require.NoError(t, err, string(output))
	var found findings
	require.NoError(t, json.Unmarshal(output, &found), string(output))
	assert.Empty(t, found.Errors["confine"])
	assert.Empty(t, found.Errors["duties"])
	return found
}

func TestWhatAProcessCannotDo(t *testing.T) {
	byFiles := "read a file,read proc,list,write,move out,dial TCP,run,symlink,FIFO,signal,signal by thread"
	byCalls := "dial TCP,dial Unix,listen,socketpair,run,signal,signal by thread,trace,read memory,limit,raise,symlink,link,FIFO,code," +
		"unshare,mount,keys,io_uring,bpf"
	for what, c := range map[string]struct {
		denied string
		has    func(sandbox.Confinement) bool
		needs  string
	}{
		"files": {byFiles, func(c sandbox.Confinement) bool { return c.Landlock >= 6 }, "Landlock of ABI 6"},
		"calls": {byCalls, func(c sandbox.Confinement) bool { return c.Seccomp }, "seccomp filters"},
		"all": {
			byFiles + "," + byCalls + ",large file,inherited",
			func(c sandbox.Confinement) bool { return c.Seccomp && c.Landlock >= 6 }, "Landlock of ABI 6 and seccomp filters",
		},
	} {
		t.Run(what, func(t *testing.T) {
			found := runProbe(t, what)
			if !c.has(found.Confinement) {
				t.Skipf("this kernel has no %s: %+v", c.needs, found.Confinement)
			}
			for _, name := range strings.Split(c.denied, ",") {
				message, tried := found.Errors[name]
				require.True(t, tried, name)
				refused := strings.Contains(message, "not permitted") || strings.Contains(message, "permission denied") ||
					strings.Contains(message, "file too large") || strings.Contains(message, "bad file descriptor") || strings.Contains(message, "cross-device link")
				assert.True(t, refused, "%s: %q", name, message)
			}
			if what == "all" {
				assert.Contains(t, found.Status, "\nCapPrm:\t0000000000000000\nCapEff:\t0000000000000000\n")
				assert.Contains(t, found.Status, "\nNoNewPrivs:\t1\n")
			}
		})
	}
}

// Unconfined, a process can do most of that: the probe is worth something.
func TestTheProbeItself(t *testing.T) {
	found := runProbe(t, "nothing")
	for _, name := range strings.Split("read a file,read proc,list,write,dial TCP,dial Unix,listen,socketpair,run,signal,symlink,link,FIFO,code,large file,inherited", ",") {
		assert.Empty(t, found.Errors[name], name)
	}
}

// nobodyResult is what asNobody prints.
type nobodyResult struct {
	UID         int
	Confinement sandbox.Confinement
	Report      archive.Report
	Error       string
}

// asNobody is a program without rights that extracts an archive in a pool.
func asNobody(args []string) int {
	result := nobodyResult{UID: os.Getuid()}
	err := func() error {
		pool, err := sandbox.NewPool(sandbox.Options{Scratch: args[0], Children: 1})
		if err != nil {
			return err
		}
		defer pool.Close()
		result.Confinement = pool.Confinement()
		result.Report, err = pool.Extract(context.Background(), archive.Request{Archive: args[1], Dest: args[2]})
		return err
	}()
	if err != nil {
		result.Error = err.Error()
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		return 1
	}
	return 0
}

// asParent is a program that prints the process ID of its only child when that has stopped itself.
func asParent(args []string) int {
	pool, err := sandbox.NewPool(sandbox.Options{Scratch: args[0], Children: 1, Command: []string{"/proc/self/exe", faultyArgument}})
	if err != nil {
		return 1
	}
	go func() {
		for {
			stats, _ := filepath.Glob("/proc/[0-9]*/stat")
			for _, name := range stats {
				stat, _ := os.ReadFile(name)
				if strings.Contains(string(stat), fmt.Sprintf(") T %d ", os.Getpid())) {
					fmt.Println(filepath.Base(filepath.Dir(name)))
				}
			}
		}
	}()
	_, _ = pool.Extract(context.Background(), archive.Request{Archive: args[1], Dest: args[2], Limits: archive.Limits{Ratio: 1 << 20}})
	return 1
}

func TestWithoutRights(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this test is not root: it has no rights to give up, and all others ran without them")
	}
	const nobody = 65534
	home, err := os.MkdirTemp("", "nobody-")
	require.NoError(t, err)
	defer os.RemoveAll(home)
	paths := []string{filepath.Join(home, "scratch"), filepath.Join(home, "archive.zip"), filepath.Join(home, "dest")}
	require.NoError(t, os.Mkdir(paths[0], 0o700))
	require.NoError(t, os.WriteFile(paths[1], mixed(), 0o600))
	require.NoError(t, os.Mkdir(paths[2], 0o700))
	for _, path := range append(paths, home) {
		require.NoError(t, os.Chown(path, nobody, nobody))
	}
	command := exec.Command("/proc/self/exe", append([]string{nobodyArgument}, paths...)...)
	command.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	output, err := command.Output()
	require.NoError(t, err)
	var result nobodyResult
	require.NoError(t, json.Unmarshal(output, &result), string(output))
	assert.Equal(t, nobody, result.UID)
	assert.Empty(t, result.Error)
	assert.Equal(t, "alpha", onDisk(t, paths[2])["a.txt"])
	pool := newPool(t)
	got := result.Confinement
	got.AddressSpace = pool.Confinement().AddressSpace
	assert.Equal(t, pool.Confinement(), got, "confined as those of root are")
	left, err := os.ReadDir(paths[0])
	require.NoError(t, err)
	assert.Empty(t, left)
}
