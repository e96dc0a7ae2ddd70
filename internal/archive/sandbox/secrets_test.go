package sandbox_test

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/archive/archivetest"
)

// A password opens the archive, and whoever looks at the list of processes does not see it.
func TestPasswordsAreNotForEverybody(t *testing.T) {
	t.Setenv("ARCHIVE_PASSWORD", "geheim")
	pool := newPool(t)
	req := request(t, "a.rar", archivetest.RarEncrypted(files(file("a.txt", "alpha")), "geheim"))
	req.Passwords = []string{"wrong", "geheim"}
	looked := false
	req.Watch = &watch{opened: func(string) {
		looked = true
		for _, name := range []string{"cmdline", "environ"} {
			text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", onlyChild(t), name))
			assert.NoError(t, err)
			assert.NotEmpty(t, text)
			assert.NotContains(t, string(text), "geheim")
		}
	}}
	assert.Zero(t, extract(t, pool, req).Result)
	assert.True(t, looked)
	assert.Equal(t, map[string]string{"a.txt": "alpha"}, onDisk(t, req.Dest))
}

// A child does not outlive its parent, not even one that hangs.
func TestAnOrphan(t *testing.T) {
	req := request(t, "a.zip", long("hang.do"))
	parent := exec.Command("/proc/self/exe", parentArgument, t.TempDir(), req.Archive, req.Dest)
	output, err := parent.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, parent.Start())
	var pid int
	_, err = fmt.Fscanln(output, &pid)
	require.NoError(t, err)
	assert.True(t, isAlive(pid))
	require.NoError(t, parent.Process.Kill())
	_ = parent.Wait()
	assert.Eventually(t, func() bool { return !isAlive(pid) }, time.Minute, time.Millisecond)
}

func isAlive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && !strings.Contains(string(stat), ") Z ") // nobody may have waited for it
}
