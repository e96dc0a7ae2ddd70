package contest

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// ResetPeak gives memory back and has Peak forget what was before (proc_pid_clear_refs(5)). Where that is not allowed, Peak
// is higher than it need be.
func ResetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// Peak is the largest resident set of this process since the last reset, in bytes; 0 if it is not known.
func Peak() (bytes int64) { return PeakOf(os.Getpid()) }

// PeakOf is the largest resident set of a process since it began its program, in bytes (VmHWM of proc_pid_status(5)); 0 if it
// is not known, or the process is gone.
func PeakOf(pid int) (bytes int64) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	if _, rest, ok := strings.Cut(string(status), "\nVmHWM:"); ok {
		_, _ = fmt.Sscan(rest, &bytes)
	}
	return bytes << 10
}

// IsMemory says whether a directory lies in memory (tmpfs(5)) and has room for so many bytes.
func IsMemory(dir string, room int64) bool {
	var fs unix.Statfs_t
	err := unix.Statfs(dir, &fs)
	return err == nil && fs.Type == unix.TMPFS_MAGIC && int64(fs.Bavail)*fs.Bsize >= room
}
