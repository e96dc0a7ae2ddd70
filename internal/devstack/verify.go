package devstack

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// ErrDeviation is wrapped by every difference that Verify finds.
var ErrDeviation = errors.New("deviation")

// runResult is the part of the JSON of `starter result RUN -o json` that the demo judges.
type runResult struct {
	Result     int                     `json:"result"`
	Servers    map[string]serverResult `json:"servers"`
	Decompress decompressResult        `json:"decompress"`
}

type serverResult struct {
	Result        int               `json:"result"`
	Reason        string            `json:"reason"`
	NumberOfFiles int               `json:"number_of_files"`
	Bytes         int64             `json:"bytes"`
	Files         []resultFile      `json:"files"`
	Listed        int               `json:"listed"`
	Unchanged     int               `json:"unchanged"`
	Deferred      int               `json:"deferred"`
	Refused       []json.RawMessage `json:"refused"`
	Failed        []json.RawMessage `json:"failed"`
}

type resultFile struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

type decompressResult struct {
	Result    int                      `json:"result"`
	Total     int                      `json:"total"`
	Succeeded int                      `json:"succeeded"`
	Archives  map[string]archiveResult `json:"archives"`
}

type archiveResult struct {
	Result   int    `json:"result"`
	Reason   string `json:"reason"`
	Received int    `json:"received"`
}

// Verify judges a first collection of the branches into the warehouse at root: the files in zip/ and unzip/ are the expected
// ones with the expected SHA-256 and no others, resultJSON says what the branches deserve, and its books balance. The error
// is nil or joins one error for each deviation, each wrapping ErrDeviation.
func Verify(root string, branches []Branch, resultJSON []byte) error {
	v := &verifier{}
	v.warehouse(root, branches)
	var result runResult
	if err := json.Unmarshal(resultJSON, &result); err != nil {
		v.deviate("the result is not the expected JSON: %v", err)
		return errors.Join(v.deviations...)
	}
	v.run(result, branches)
	return errors.Join(v.deviations...)
}

// verifier collects deviations.
type verifier struct{ deviations []error }

func (v *verifier) deviate(format string, values ...any) {
	v.deviations = append(v.deviations, fmt.Errorf("%w: "+format, append([]any{ErrDeviation}, values...)...))
}

func (v *verifier) equal(what string, got, want any) {
	if got != want {
		v.deviate("%s is %v, not %v", what, got, want)
	}
}

// warehouse compares what lies in zip/ and unzip/ with the expectations.
func (v *verifier) warehouse(root string, branches []Branch) {
	zip, unzip := map[string]string{}, map[string]string{}
	for _, branch := range branches {
		for name, sum := range branch.Expect.Files {
			zip[path.Join("zip", branch.Name, name)] = sum
		}
		for _, archive := range branch.Expect.Archives {
			for name, sum := range archive.Files {
				unzip[path.Join("unzip", branch.Name, archive.Dir, name)] = sum
			}
		}
	}
	v.tree(root, "zip", zip)
	v.tree(root, "unzip", unzip)
}

// tree compares the files below root/top with the expected ones: path below root to SHA-256.
func (v *verifier) tree(root, top string, expected map[string]string) {
	found, err := hashTree(root, top)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // what is not there is reported as missing, file by file
		v.deviate("%s cannot be read: %v", filepath.Join(root, top), err)
	}
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		sum, there := found[name]
		switch {
		case !there:
			v.deviate("%s is missing", name)
		case sum != expected[name]:
			v.deviate("%s is not the expected file: SHA-256 is %s, not %s", name, sum, expected[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if _, ok := expected[name]; !ok {
			v.deviate("%s should not be there", name)
		}
	}
}

// hashTree returns the SHA-256 of each regular file below root/top, by its path below root; for anything else that is not a
// directory it returns its type instead of a sum.
func hashTree(root, top string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(filepath.Join(root, top), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		relative, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if !entry.Type().IsRegular() {
			found[filepath.ToSlash(relative)] = "none, it is a " + entry.Type().String()
			return nil
		}
		found[filepath.ToSlash(relative)], err = hashFile(name)
		return err
	})
	return found, err
}

func hashFile(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// run compares the JSON with the expectations.
func (v *verifier) run(result runResult, branches []Branch) {
	succeeded := 0
	for _, branch := range branches {
		if branch.Expect.Result == resultSuccess {
			succeeded++
		}
		server, there := result.Servers[branch.Name]
		if !there {
			v.deviate("%s is not in the result", branch.Name)
			continue
		}
		v.server(branch, server)
	}
	if len(result.Servers) > len(branches) {
		v.deviate("the result has %d servers, there are %d", len(result.Servers), len(branches))
	}
	v.equal("the run's result", result.Result, overall(succeeded, len(branches)))
	v.decompress(result.Decompress, branches)
}

func (v *verifier) server(branch Branch, got serverResult) {
	name, expect := branch.Name, branch.Expect
	v.equal(name+": result", got.Result, expect.Result)
	v.equal(name+": reason", got.Reason, expect.Reason)
	v.equal(name+": number_of_files", got.NumberOfFiles, len(expect.Files))
	v.equal(name+": listed", got.Listed, len(expect.Files))
	v.equal(name+": books, listed against unchanged + deferred + refused + failed + number_of_files", got.Listed,
		got.Unchanged+got.Deferred+len(got.Refused)+len(got.Failed)+got.NumberOfFiles)
	if expect.Result != resultSuccess {
		return
	}
	sizes := map[string]int64{}
	var total int64
	for _, file := range branch.Files {
		sizes[file.Path] = int64(len(file.Data))
		total += int64(len(file.Data))
	}
	v.equal(name+": bytes", got.Bytes, total)
	v.equal(name+": length of files", len(got.Files), len(expect.Files))
	for _, file := range got.Files {
		sum, known := expect.Files[file.Name]
		if !known {
			v.deviate("%s: the result names the file %q, which the branch does not have", name, file.Name)
			continue
		}
		v.equal(name+": size of "+file.Name, file.Size, sizes[file.Name])
		v.equal(name+": SHA-256 of "+file.Name, strings.ToLower(file.SHA256), sum)
	}
}

func (v *verifier) decompress(got decompressResult, branches []Branch) {
	expected := map[string]ArchiveExpectation{}
	succeeded := 0
	for _, branch := range branches {
		for name, archive := range branch.Expect.Archives {
			expected[path.Join(branch.Name, name)] = archive
			if archive.Result == resultSuccess {
				succeeded++
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		archive, there := got.Archives[name]
		if !there {
			v.deviate("archive %s is not in the result", name)
			continue
		}
		v.equal("archive "+name+": result", archive.Result, expected[name].Result)
		v.equal("archive "+name+": received", archive.Received, expected[name].Received)
	}
	for _, name := range slices.Sorted(maps.Keys(got.Archives)) {
		if _, ok := expected[name]; !ok {
			v.deviate("%s is in the result as an archive", name)
		}
	}
	v.equal("decompress: total", got.Total, len(expected))
	v.equal("decompress: succeeded", got.Succeeded, succeeded)
	v.equal("decompress: result", got.Result, overall(succeeded, len(expected)))
}

// overall is the result code of a whole of which so many parts succeeded.
func overall(succeeded, total int) int {
	switch succeeded {
	case total:
		return resultSuccess
	case 0:
		return resultFailed
	default:
		return resultPartly
	}
}
