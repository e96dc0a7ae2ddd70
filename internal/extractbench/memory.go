package extractbench

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
)

// resetPeak gives memory back and has peak forget what was before (proc_pid_clear_refs(5)). Where that is not allowed, peak
// is higher than it need be.
func resetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0)
}

// peak is the largest resident set of this process since the last reset, in bytes; 0 if it is not known.
func peak() (bytes int64) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	if _, rest, ok := strings.Cut(string(status), "\nVmHWM:"); ok {
		_, _ = fmt.Sscan(rest, &bytes)
	}
	return bytes << 10
}
