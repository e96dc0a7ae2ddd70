// Package mounttest lets a test mount what it likes, such as a small disk, where nobody else sees it and nothing is left of it. Tests
// alone import it.
package mounttest

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const (
	// insideEnv tells a test binary that it is the child.
	insideEnv = "TALON_TEST_MOUNTS"
	// limit bounds a test in the child; it ends with the stacks of what hangs.
	limit = "2m"
	// outputGrace is how long what the child started may hold its output open when the child is gone.
	outputGrace = 5 * time.Second
)

// Inside tells whether the calling test has a mount namespace of its own; its mounts end with it. If not, it runs the test again, in a
// child that has one, and the result here is the child's. A test begins with
//
//	if !mounttest.Inside(t) {
//		return
//	}
//
// Who is root stays root, and can become somebody else in there. Anybody else becomes root of a user namespace, which knows no other
// user. Where namespaces are forbidden, or mounts in them, the test is skipped with the reason.
func Inside(t *testing.T) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		if err := unix.Mount("none", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			t.Skipf("this user may mount nothing, even in a namespace of its own (root can): %v", err)
		}
		return true
	}
	output, err := runAgain(t)
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		t.Skipf("this user can have no mount namespace (root can): %v", err)
	}
	require.NoError(t, err, "%s", output)
	if strings.Contains(output, "--- SKIP: "+t.Name()+" ") {
		t.Skipf("in a mount namespace:\n%s", output)
	}
	require.Contains(t, output, "--- PASS: "+t.Name()+" ")
	return false
}

// runAgain runs the calling test in a child. An error that is no exec.ExitError says that there is no child.
func runAgain(t *testing.T) (output string, err error) {
	namespaces := []syscall.SysProcAttr{{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}}
	if os.Getuid() == 0 { // root of a container may be allowed the second only
		namespaces = append([]syscall.SysProcAttr{{Cloneflags: syscall.CLONE_NEWNS}}, namespaces...)
	}
	for _, attributes := range namespaces {
		child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout="+limit)
		child.Env = append(os.Environ(), insideEnv+"=1")
		child.SysProcAttr, child.WaitDelay = &attributes, outputGrace
		var combined []byte
		combined, err = child.CombinedOutput()
		if output = string(combined); child.Process != nil {
			return output, err
		}
	}
	return output, err
}

// Mount mounts for the rest of the test. Its arguments are those of mount(2).
func Mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	require.NoError(t, unix.Mount(source, target, kind, flags, data))
	t.Cleanup(func() { assert.NoError(t, unix.Unmount(target, unix.MNT_DETACH)) })
}
