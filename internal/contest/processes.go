package contest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Process is a process of this machine.
type Process struct {
	ID, Parent int
	CPU        time.Duration // user and system, with that of all descendants that were waited for
}

// tick is the unit of times in /proc: Linux gives programs 100 a second on all that Go runs on (sysconf(3), _SC_CLK_TCK).
const tick = time.Second / 100

// Processes are all that there are at this moment.
func Processes() (found []Process) {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// pid (name) state ppid pgrp session tty_nr tpgid flags minflt cminflt majflt cmajflt utime stime cutime cstime, see
		// proc_pid_stat(5). A name may hold anything, so what counts is behind the last parenthesis.
		fields := string(text[strings.LastIndexByte(string(text), ')')+1:])
		var p Process
		var ticks [4]int64
		var state string
		var skipped [9]int64
		_, err = fmt.Sscan(fields, &state, &p.Parent, &skipped[0], &skipped[1], &skipped[2], &skipped[3], &skipped[4], &skipped[5], &skipped[6],
			&skipped[7], &skipped[8], &ticks[0], &ticks[1], &ticks[2], &ticks[3])
		if _, idErr := fmt.Sscan(filepath.Base(filepath.Dir(file)), &p.ID); err != nil || idErr != nil {
			continue
		}
		p.CPU = time.Duration(ticks[0]+ticks[1]+ticks[2]+ticks[3]) * tick
		found = append(found, p)
	}
	return found
}

// CPUOfDescendants is how long all descendants of this process have kept processors busy so far, those that have ended as well
// if they were waited for.
func CPUOfDescendants() time.Duration {
	var ended unix.Rusage
	_ = unix.Getrusage(unix.RUSAGE_CHILDREN, &ended) // it cannot fail
	sum := time.Duration(ended.Utime.Nano() + ended.Stime.Nano())
	all := Processes()
	mine := map[int]bool{os.Getpid(): true}
	for grown := true; grown; { // children may come before their parents
		grown = false
		for _, p := range all {
			if mine[p.Parent] && !mine[p.ID] {
				mine[p.ID], grown = true, true
				sum += p.CPU
			}
		}
	}
	return sum
}
