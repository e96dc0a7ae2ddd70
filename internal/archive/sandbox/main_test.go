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
		"eat":   func() { hold(1 << 40) },
		"grow":  func() { hold(224 << 20) },
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
		time.Sleep(time.Millisecond)
	}
}

var held [][]byte

// hold takes memory in pieces that the Go heap has no trouble with.
func hold(size int) {
	for ; size > 0; size -= 16 << 20 {
		held = append(held, make([]byte, 16<<20))
	}
}
