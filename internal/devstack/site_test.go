package devstack

import (
	"bufio"
	"bytes"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func siteBranch(t *testing.T, name string, bulk int) Branch {
	t.Helper()
	branch, err := SiteBranch(name, testSeed, bulk)
	require.NoError(t, err)
	return branch
}

func TestSiteIsTheSameForTheSameSeed(t *testing.T) {
	for _, name := range SiteNames() {
		assert.Equal(t, siteBranch(t, name, 1), siteBranch(t, name, 1))
		other, err := SiteBranch(name, testSeed+1, 1)
		require.NoError(t, err)
		assert.NotEqual(t, siteBranch(t, name, 1).Files[0].Data, other.Files[0].Data)
	}
	assert.Equal(t, []string{"branch-001", "branch-002", "branch-003"}, SiteNames())
	_, err := SiteBranch("branch-004", testSeed, 0)
	require.ErrorContains(t, err, `no branch "branch-004": the site has [branch-001 branch-002 branch-003]`)
}

// TestSiteHoldsWhatItPromises: the containers show in little what a bank's branches are like.
func TestSiteHoldsWhatItPromises(t *testing.T) {
	extensions := map[string]bool{}
	var large, corrupt, gbk int
	for _, name := range SiteNames() {
		branch := siteBranch(t, name, 0)
		assert.Equal(t, name, branch.Name)
		assert.Equal(t, Healthy, branch.Fault)
		assert.Len(t, branch.Expect.Files, len(branch.Files), "no two files of %s have one name", name)
		for _, file := range branch.Files {
			if _, after, ok := strings.Cut(path.Base(file.Path), "."); ok {
				extensions["."+after] = true
			}
			if len(file.Data) > 16*megabyte {
				large++
			}
			if file.Raw != file.Path {
				gbk++
			}
		}
		for _, archive := range branch.Expect.Archives {
			corrupt += archive.Result
		}
	}
	assert.Equal(t, 1, large)
	assert.Equal(t, 1, corrupt)
	assert.NotZero(t, gbk)
	for _, extension := range []string{".csv", ".txt", ".jsonl", ".zip", ".tar.gz", ".tar.zst", ".7z", ".rar"} {
		assert.True(t, extensions[extension], extension)
	}
	assert.Equal(t, "branch_20260630", path.Base(path.Dir(threeDeepFile(t, siteBranch(t, "branch-002", 0)))))
}

func threeDeepFile(t *testing.T, branch Branch) string {
	t.Helper()
	for name := range branch.Expect.Archives["month_end_20260630.zip"].Files {
		if strings.Count(name, "/") == 2 {
			return name
		}
	}
	require.FailNow(t, "no file three layers deep")
	return ""
}

func TestBulk(t *testing.T) {
	few, many := siteBranch(t, "branch-003", 0), siteBranch(t, "branch-003", 2)
	assert.Len(t, many.Expect.Archives, len(few.Expect.Archives)+2)
	archive := many.Files[len(many.Files)-1]
	assert.Equal(t, "bulk/001_20260630.zip", archive.Path)
	assert.Greater(t, len(archive.Data), 2*bulkSize, "nothing in it compresses")
	sums := map[string]string{}
	unpackStandard(t, archive.Path, archive.Data, "", sums)
	assert.Len(t, sums, 2)
	for name, sum := range many.Expect.Archives[archive.Path].Files {
		assert.Equal(t, sum, sums[path.Join("bulk/001_20260630", name)])
	}
}

// TestManifest: sha256sum reads it, and it has every file that is served and every file in their archives.
func TestManifest(t *testing.T) {
	branch := siteBranch(t, "branch-003", 0)
	var manifest bytes.Buffer
	require.NoError(t, branch.WriteManifest(&manifest))
	lines := map[string]string{}
	for scanner := bufio.NewScanner(&manifest); scanner.Scan(); {
		sum, name, found := strings.Cut(scanner.Text(), "  ")
		require.True(t, found, scanner.Text())
		lines[name] = sum
	}
	wanted := map[string]string{}
	for _, file := range branch.Files {
		wanted["zip/branch-003/"+file.Path] = hexSHA256(file.Data)
		for name, sum := range branch.Expect.Archives[file.Path].Files {
			wanted["unzip/branch-003/"+branch.Expect.Archives[file.Path].Dir+"/"+name] = sum
		}
	}
	assert.Equal(t, wanted, lines)
	assert.NotContains(t, manifest.String(), "evening_20260630/", "nothing comes out of the broken upload")
}
