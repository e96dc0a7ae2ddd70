package contest

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Tree is what a directory holds. Directories without files do not count.
type Tree struct {
	Bytes int64             // of all files
	Files map[string]string // SHA-256 in lower-case hex, by path
}

// ReadTree reads all files of a directory. What is neither a file nor a directory is an error.
func ReadTree(dir string) (Tree, error) {
	found := Tree{Files: map[string]string{}}
	buffer := make([]byte, 1<<17)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s is no file", name)
		}
		sum, size, err := digest(name, buffer)
		found.Bytes += size
		found.Files[strings.TrimPrefix(name, dir+string(filepath.Separator))] = sum
		return err
	})
	return found, err
}

func digest(name string, buffer []byte) (sum string, size int64, err error) {
	file, err := os.Open(name)
	if err != nil {
		return "", 0, err
	}
	defer file.Close()
	hash := sha256.New()
	size, err = io.CopyBuffer(hash, struct{ io.Reader }{file}, buffer) // a file would bring a buffer of its own
	return hex.EncodeToString(hash.Sum(nil)), size, err
}

// Difference tells in a sentence how another tree differs, "" if it does not.
func (t Tree) Difference(other Tree) string {
	var first string
	missing, wrong, extra := 0, 0, 0
	for _, name := range slices.Sorted(maps.Keys(t.Files)) {
		switch sum, ok := other.Files[name]; {
		case !ok:
			missing++
		case sum != t.Files[name]:
			wrong++
		default:
			continue
		}
		first = cmp.Or(first, name)
	}
	for _, name := range slices.Sorted(maps.Keys(other.Files)) {
		if _, ok := t.Files[name]; !ok {
			extra++
			first = cmp.Or(first, name)
		}
	}
	if first == "" {
		return ""
	}
	return fmt.Sprintf("of %d files %d are missing and %d wrong, and %d are too many: %s", len(t.Files), missing, wrong, extra, first)
}
