package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"
	"unsafe"

	"github.com/landlock-lsm/go-landlock/landlock"
	ll "github.com/landlock-lsm/go-landlock/landlock/syscall"
	"golang.org/x/sys/unix"
	"kernel.org/pub/linux/libs/security/libcap/psx"
)

const (
	openFiles = 512     // descriptors of a child: maxFiles volumes and what it writes
	fileSlack = 1 << 20 // beyond Limits.FileBytes, which the engine counts itself
)

// Confinement is what a child has given up. The limits of memory, file size and descriptors, the capabilities and the
// way to new privileges are always gone; the rest is as the kernel has it.
type Confinement struct {
	// Landlock is the ABI in force: no file outside the scratch directory, no TCP (4), no signal to others (6). 0 = none.
	Landlock int `json:"landlock"`
	// Seccomp is whether a filter lets only those system calls through that extraction needs.
	Seccomp bool `json:"seccomp"`
	// AddressSpace and FileSize are limits in bytes, OpenFiles is one of descriptors (RLIMIT_AS, RLIMIT_FSIZE, RLIMIT_NOFILE).
	AddressSpace uint64 `json:"address_space"`
	FileSize     uint64 `json:"file_size"`
	OpenFiles    uint64 `json:"open_files"`
}

// confine takes from this process, for good, what reading archives does not need. The working directory is what remains
// of the file system.
func confine(s setup) (Confinement, error) {
	syscall.Umask(0)
	if err := closeInherited(); err != nil {
		return Confinement{}, err
	}
	c, err := limitResources(s)
	if err != nil {
		return c, err
	}
	if err := dropCapabilities(); err != nil {
		return c, err
	}
	if c.Landlock, err = restrictFiles(); err != nil {
		return c, err
	}
	c.Seccomp, err = filterSystemCalls()
	return c, err
}

// closeInherited closes what the parent got from its own parent without knowing: everything of Go's own is marked to be
// closed by exec, and what came through one is not.
func closeInherited() error {
	names, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		return err
	}
	for _, name := range names {
		fd, err := strconv.Atoi(filepath.Base(name))
		if err != nil || fd <= socketFD {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
	return nil
}

// limitResources sets limits that the process cannot raise again. Go reserves hundreds of megabytes of address space that
// it may never use: the limit is beyond what there is. The garbage collector works harder before it is reached.
func limitResources(s setup) (Confinement, error) {
	signal.Ignore(syscall.SIGXFSZ) // a file too large is an error
	debug.SetMemoryLimit(s.MemoryBytes / 4 * 3)
	size, err := addressSpace()
	if err != nil {
		return Confinement{}, err
	}
	c := Confinement{AddressSpace: size + uint64(s.MemoryBytes), FileSize: uint64(s.FileBytes) + fileSlack, OpenFiles: openFiles}
	var core uint64
	return c, errors.Join(
		lower(unix.RLIMIT_AS, &c.AddressSpace), lower(unix.RLIMIT_FSIZE, &c.FileSize),
		lower(unix.RLIMIT_NOFILE, &c.OpenFiles), lower(unix.RLIMIT_CORE, &core))
}

// lower sets a limit of a resource, or takes over the one there is if that is lower.
func lower(resource int, limit *uint64) error {
	var had syscall.Rlimit
	if err := syscall.Getrlimit(resource, &had); err != nil {
		return fmt.Errorf("getrlimit: %w", err)
	}
	*limit = min(*limit, had.Max)
	if err := syscall.Setrlimit(resource, &syscall.Rlimit{Cur: *limit, Max: *limit}); err != nil {
		return fmt.Errorf("setrlimit: %w", err)
	}
	return nil
}

// addressSpace returns the bytes of address space in use.
func addressSpace() (uint64, error) {
	file, err := os.Open("/proc/self/statm")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return readSize(file)
}

// readSize returns the size of a process from its statm file (proc(5)): the first number, in pages.
func readSize(statm *os.File) (uint64, error) {
	line := make([]byte, 128)
	n, err := statm.ReadAt(line, 0)
	if n == 0 {
		return 0, err
	}
	pages, _, _ := bytes.Cut(line[:n], []byte(" "))
	count, err := strconv.ParseUint(string(pages), 10, 64)
	return count * uint64(os.Getpagesize()), err
}

// dropCapabilities gives up all capabilities of all threads: a worker that runs as root has them.
func dropCapabilities() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := psx.Syscall3(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none)), 0)
	if errno != 0 {
		return fmt.Errorf("capset: %w", errno)
	}
	return nil
}

// scratchRights are what a child may do in its directory: links, devices and programs are not among it.
const scratchRights = ll.AccessFSReadFile | ll.AccessFSReadDir | ll.AccessFSWriteFile | ll.AccessFSTruncate |
	ll.AccessFSMakeReg | ll.AccessFSMakeDir | ll.AccessFSRemoveFile | ll.AccessFSRemoveDir | ll.AccessFSRefer

// restrictFiles leaves the process the working directory and no network, and returns the Landlock ABI. It needs one that
// can allow to move files between directories (ABI 2, Linux 5.19).
func restrictFiles() (abi int, err error) {
	const least, newest = 2, 11
	abi, err = ll.LandlockGetABIVersion()
	if err != nil || abi < least {
		return 0, nil
	}
	err = landlock.V11.BestEffort().Restrict(landlock.PathAccess(scratchRights, "."))
	return min(abi, newest), err
}

// filterSystemCalls installs the filter for all threads, and says whether the kernel has such a thing.
func filterSystemCalls() (bool, error) {
	filter := systemCalls(os.Getpid())
	err := loadFilter(filter)
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EINVAL) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	// With the flag that means all threads, a failure is a positive number, which the library takes for success.
	if _, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); !errors.Is(err, unix.EPERM) {
		return false, errors.New("the system call filter is not in force")
	}
	return true, nil
}
