package e2e

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"talon/internal/devstack"
	"talon/internal/gateway"
)

// Set once by TestMain, before any test runs.
var (
	workerProgram, starterProgram string
	gatewayProgram, versitygw     string
	temporalCLI                   string
	sharedTemporal                *devstack.Temporal
)

// repository is the top of the source tree, seen from this package's directory.
const repository = "../.."

// atOnce is how many tests run at the same time on a machine with two processors or more. Most of them wait for most of their time, for a
// timeout of Temporal's or of a connection's, and need not wait for each other as well.
const atOnce = 4

func TestMain(m *testing.M) {
	flag.Parse()
	if given := flag.Lookup("test.parallel"); given.Value.String() == given.DefValue && runtime.NumCPU() > 1 {
		_ = given.Value.Set(strconv.Itoa(max(atOnce, runtime.GOMAXPROCS(0)))) // a number
	}
	code, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// runAll builds the programs, starts the Temporal server that the tests share, and runs them.
func runAll(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "talon-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := buildPrograms(dir); err != nil {
		return 1, err
	}
	ctx := context.Background()
	temporalCLI, err = devstack.FindOrBuildCLI(ctx, devstack.CLIOptions{ToolsDir: filepath.Join(repository, "tools"), Log: os.Stderr})
	if err != nil {
		return 1, err
	}
	versitygw, err = gateway.FindOrBuild(ctx, gateway.FindOptions{ToolsDir: filepath.Join(repository, "tools"), Log: os.Stderr})
	if err != nil {
		return 1, err
	}
	sharedTemporal, err = devstack.StartTemporal(ctx, devstack.TemporalOptions{
		CLI: temporalCLI, Headless: true, Log: filepath.Join(dir, "temporal.log"),
	})
	if err != nil {
		return 1, err
	}
	code = m.Run()
	if err := sharedTemporal.Stop(); err != nil {
		return code, err
	}
	return code, goleak.Find()
}

func buildPrograms(dir string) error {
	build := exec.Command("go", slices.Concat([]string{"build", "-o", dir}, buildFlags, []string{"./worker", "./starter", "./internal/gateway/cmd/gateway"})...)
	build.Dir = repository
	build.Env = append(os.Environ(), buildCGO)
	if output, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the programs: %w\n%s", err, output)
	}
	workerProgram, starterProgram, gatewayProgram = filepath.Join(dir, "worker"), filepath.Join(dir, "starter"), filepath.Join(dir, "gateway")
	return nil
}
