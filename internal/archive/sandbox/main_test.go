package sandbox_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"talon/internal/archive/sandbox"
)

// Programs that the test binary can be besides a test.
const (
	probeArgument  = "probe"
	faultyArgument = "faulty-child"
	nobodyArgument = "nobody"
	parentArgument = "parent"
)

func TestMain(m *testing.M) {
	sandbox.RunIfChild()
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case probeArgument:
			os.Exit(probe(os.Args[2:]))
		case nobodyArgument:
			os.Exit(asNobody(os.Args[2:]))
		case parentArgument:
			os.Exit(asParent(os.Args[2:]))
		case faultyArgument:
			go misbehave()
			os.Args = []string{os.Args[0], "extraction-child"}
			sandbox.RunIfChild()
		}
	}
	goleak.VerifyTestMain(m)
}

// misbehave stands for the bugs of decoders: certain names in the tree are answered with certain misdeeds.
func misbehave() {
	deeds := map[string]func(){
		"panic": func() { panic("that was\ntoo much") },
		"eat":   func() { held = make([]byte, 1<<40) },
		"grow":  func() { held, _ = unix.Mmap(-1, 0, 1280<<20, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE) },
		"hang":  func() { _ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGSTOP) },
		"kill":  func() { _ = unix.Tgkill(os.Getpid(), unix.Gettid(), unix.SIGKILL) },
		"exit":  func() { os.Exit(0) },
	}
	done := map[string]bool{}
	for {
		for _, pattern := range []string{"tree/*.do", "tree/*/*.do"} {
			names, _ := filepath.Glob(pattern)
			for _, name := range names {
				deed := strings.TrimSuffix(filepath.Base(name), ".do")
				if !done[deed] {
					done[deed] = true
					deeds[deed]()
				}
			}
		}
		time.Sleep(100 * time.Microsecond)
	}
}

var held []byte
