package subprocess

import (
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// helperEnv makes the test binary play a child program; see helpers.
const helperEnv = "SUBPROCESS_TEST_HELPER"

// patience bounds every wait for a condition in these tests.
const patience = 60 * time.Second

func TestMain(m *testing.M) {
	if play, ok := helpers[os.Getenv(helperEnv)]; ok {
		os.Exit(play())
	}
	goleak.VerifyTestMain(m)
}

// helpers are the child programs; each prints "ready" when it is.
var helpers = map[string]func() int{
	"fails": func() int {
		fmt.Println("cannot open the safe")
		return 3
	},
	"obedient": func() int {
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		fmt.Println("ready")
		<-terminated
		return 7
	},
	"stubborn": func() int {
		signal.Ignore(syscall.SIGTERM)
		fmt.Println("ready")
		for { // select {} is a deadlock to the runtime where there is no cgo, and ends the program
			time.Sleep(time.Hour)
		}
	},
	// "parent" starts an obedient child and reports its process ID.
	"parent": func() int {
		child, err := Start(Options{
			Name: "child", Path: os.Args[0], Env: helperEnviron("stubborn"), LogFile: os.Getenv("CHILD_LOG"),
		})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Printf("child %d\n", child.Pid())
		select {}
	},
	// "deserter" leaves a child of its own group behind and ends.
	"deserter": func() int {
		child, err := os.StartProcess(os.Args[0], os.Args[:1], &os.ProcAttr{Env: helperEnviron("stubborn")})
		if err != nil {
			fmt.Println(err)
			return 1
		}
		fmt.Printf("child %d\n", child.Pid)
		return 0
	},
}

func helperEnviron(name string, more ...string) []string {
	return append(append(os.Environ(), helperEnv+"="+name), more...)
}

// running tells whether a process is there and no zombie: process 1 of a container may not reap.
func running(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, state, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(state, "Z")
}

func eventually(t *testing.T, condition func() bool, what string) {
	t.Helper()
	require.Eventually(t, condition, patience, pollInterval, what)
}
