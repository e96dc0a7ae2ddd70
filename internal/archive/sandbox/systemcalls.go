package sandbox

import (
	"runtime"

	"github.com/elastic/go-seccomp-bpf"
	"github.com/elastic/go-seccomp-bpf/arch"
	"golang.org/x/sys/unix"
)

// allowed are the system calls that Go's runtime and package os need to read, compute and write, and none that reaches
// another process. Names that an architecture does not have are left out there.
var allowed = []string{
	// memory; what asks for executable pages is below
	"brk", "madvise", "mincore", "mremap", "munmap",
	// threads and signals; clone and tgkill are below
	"exit", "exit_group", "futex", "getpid", "gettid", "nanosleep", "restart_syscall", "rt_sigaction", "rt_sigprocmask",
	"rt_sigreturn", "sched_yield", "sigaltstack",
	// the same where cgo makes the threads
	"rseq", "set_robust_list",
	// time, where the vDSO does not serve it
	"clock_gettime", "clock_nanosleep", "gettimeofday", "time",
	// waiting for descriptors
	"epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "eventfd2", "pipe2",
	// files
	"close", "copy_file_range", "dup3", "fadvise64", "fallocate", "fchmod", "fchmodat", "fchmodat2", "fdatasync", "fstat", "fstatfs", "fsync",
	"ftruncate", "getdents64", "lseek", "mkdirat", "newfstatat", "openat", "openat2", "pread64", "preadv", "pwrite64", "pwritev",
	"read", "readlinkat", "readv", "renameat", "renameat2", "statx", "sync_file_range", "unlinkat", "utimensat", "write", "writev",
	// the socket to the parent
	"recvmsg",
	"getrandom",
}

// systemCalls is a filter that refuses with EPERM what is not allowed, also every call by the numbers of another
// architecture. pid is that of the process that the filter is for.
func systemCalls(pid int) seccomp.Filter {
	where := func(name string, argument uint32, op seccomp.Operation, value uint64) seccomp.NameWithConditions {
		return seccomp.NameWithConditions{Name: name, Conditions: []seccomp.Condition{{Argument: argument, Operation: op, Value: value}}}
	}
	conditional := []seccomp.NameWithConditions{
		where("mmap", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
		where("mprotect", 2, seccomp.BitsNotSet, unix.PROT_EXEC),
		where("clone", 0, seccomp.BitsSet, unix.CLONE_THREAD), // no process
		where("tgkill", 0, seccomp.Equal, uint64(pid)),        // the runtime interrupts its threads
	}
	for _, command := range []uint64{unix.F_DUPFD_CLOEXEC, unix.F_GETFD, unix.F_SETFD, unix.F_GETFL, unix.F_SETFL} {
		conditional = append(conditional, where("fcntl", 1, seccomp.Equal, command))
	}
	return seccomp.Filter{
		NoNewPrivs: true,
		Flag:       seccomp.FilterFlagTSync,
		Policy: seccomp.Policy{
			DefaultAction: seccomp.ActionErrno,
			Syscalls: []seccomp.SyscallGroup{
				{Action: seccomp.ActionAllow, Names: known(allowed), NamesWithCondtions: conditional},
				// What falls back to something older must take this one for missing, not for forbidden.
				{Action: seccomp.ActionErrno | seccomp.Action(unix.ENOSYS), Names: known([]string{"clone3"})},
			},
		},
	}
}

// known are the names that this architecture has.
func known(names []string) []string {
	info, err := arch.GetInfo("")
	if err != nil {
		return nil
	}
	var have []string
	for _, name := range names {
		if _, ok := info.SyscallNames[name]; ok {
			have = append(have, name)
		}
	}
	return have
}

// loadFilter loads a filter from one thread for all: only that thread needs to have given up new privileges before.
func loadFilter(filter seccomp.Filter) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return seccomp.LoadFilter(filter)
}
