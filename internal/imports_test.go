// Package internal_test proves the import rules of the repository.
package internal_test

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

type goPackage struct {
	ImportPath, Name string
	Imports, Deps    []string
}

// load asks the go command for all packages of the module.
func load(t *testing.T) []goPackage {
	t.Helper()
	out, err := exec.Command("go", "list", "-deps", "-json=ImportPath,Name,Imports,Deps", "talon/...").Output()
	require.NoError(t, err)
	var packages []goPackage
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p goPackage
		err := decoder.Decode(&p)
		if err == io.EOF {
			return packages
		}
		require.NoError(t, err)
		if p.ImportPath == "talon" || strings.HasPrefix(p.ImportPath, "talon/") {
			packages = append(packages, p)
		}
	}
}

var engines = []string{
	"talon/internal/ftpclient", "talon/internal/archive", "talon/internal/warehouse", "talon/internal/catalog", "talon/internal/objectstore",
	"talon/internal/bundle", "talon/internal/pki",
}

func find(t *testing.T, packages []goPackage, path string) goPackage {
	t.Helper()
	i := slices.IndexFunc(packages, func(p goPackage) bool { return p.ImportPath == path })
	require.GreaterOrEqual(t, i, 0, "package %s is gone: has it moved?", path)
	return packages[i]
}

func TestEnginesKnowNeitherTemporalNorConfigNorEachOther(t *testing.T) {
	packages := load(t)
	for _, engine := range engines {
		for _, dep := range find(t, packages, engine).Deps {
			assert.False(t, strings.HasPrefix(dep, "go.temporal.io/"), "%s depends on %s", engine, dep)
			ours := strings.HasPrefix(dep, "talon/")
			own := slices.Contains(leaves, dep) || strings.HasPrefix(dep, engine+"/")
			assert.False(t, ours && !own, "%s depends on %s", engine, dep)
		}
	}
}

// The front of a Temporal server is no engine, for it speaks Temporal's language, but it knows nothing of ours either.
func TestFrontOfTemporalKnowsNothingOfUs(t *testing.T) {
	for _, dep := range find(t, load(t), "talon/internal/temporalproxy").Deps {
		assert.False(t, strings.HasPrefix(dep, "talon/"), "temporalproxy depends on %s", dep)
		assert.False(t, strings.HasPrefix(dep, "go.temporal.io/sdk"), "temporalproxy depends on %s: the SDK is for clients", dep)
	}
}

// leaves are what anybody may use, for they use nothing of ours.
var leaves = []string{"talon/internal/pathname", "talon/internal/charset"}

func TestLeavesAreLeaves(t *testing.T) {
	packages := load(t)
	for _, leaf := range leaves {
		p := find(t, packages, leaf)
		for _, dep := range p.Deps {
			assert.False(t, strings.HasPrefix(dep, "talon/"), "%s depends on %s", leaf, dep)
		}
		assert.NotContains(t, p.Imports, "os", leaf)
	}
}

func TestWorkflowsImportActivitiesOnly(t *testing.T) {
	for _, path := range find(t, load(t), "talon/workflows").Imports {
		if strings.HasPrefix(path, "talon/") {
			assert.Equal(t, "talon/activities", path, "workflows import %s", path)
		}
		forbidden := []string{"os", "net", "net/http", "database/sql", "math/rand", "crypto/rand", "sync"}
		assert.NotContains(t, forbidden, path)
	}
}

func TestActivitiesKnowNoWorkflows(t *testing.T) {
	assert.NotContains(t, find(t, load(t), "talon/activities").Deps, "talon/workflows")
}

func TestConfigKnowsNothingOfUs(t *testing.T) {
	for _, dep := range find(t, load(t), "talon/config").Deps {
		ours := strings.HasPrefix(dep, "talon/") && !slices.Contains(leaves, dep)
		assert.False(t, ours || strings.HasPrefix(dep, "go.temporal.io/"), "config depends on %s", dep)
	}
}

// What all programs share is none of their trades.
func TestCommandLineKnowsNothingOfUs(t *testing.T) {
	for _, dep := range find(t, load(t), "talon/internal/commandline").Deps {
		assert.False(t, strings.HasPrefix(dep, "talon/") || strings.HasPrefix(dep, "go.temporal.io/"), "commandline depends on %s", dep)
	}
}

func TestHelpersOfTestsAreForTests(t *testing.T) {
	packages := load(t)
	for _, helper := range []string{"talon/internal/mounttest", "talon/internal/logtest"} {
		find(t, packages, helper)
		for _, p := range packages {
			assert.NotContains(t, p.Imports, helper, "%s imports it outside of tests", p.ImportPath)
		}
	}
}

func TestNothingImportsAMainPackage(t *testing.T) {
	packages := load(t)
	var programs []string
	for _, p := range packages {
		if p.Name == "main" {
			programs = append(programs, p.ImportPath)
		}
	}
	require.Subset(t, programs, []string{"talon/worker", "talon/starter"})
	for _, p := range packages {
		for _, program := range programs {
			assert.NotContains(t, p.Imports, program, "%s imports the program %s", p.ImportPath, program)
		}
	}
}
