package gateway

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ErrBadKey tells that a file does not hold one eagle's key.
var ErrBadKey = errors.New("not a key of the form access:secret")

// A key identifies an eagle and lets it sign. It is never printed.
type key struct{ access, secret string }

const (
	maxKeyFile = 4096 // bytes
	minSecret  = 16   // characters
)

// The access key stands in a header between commas and slashes; the secret is any run of printable ASCII characters.
var (
	accessPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{2,127}$`)
	secretPattern = regexp.MustCompile(`^[!-~]+$`)
)

// readKey reads a file with one line "access:secret".
func readKey(path string) (key, error) {
	file, err := os.Open(path)
	if err != nil {
		return key{}, err
	}
	defer file.Close() //nolint:errcheck // nothing was written
	text := make([]byte, maxKeyFile)
	n, err := file.Read(text)
	if errors.Is(err, io.EOF) {
		return key{}, fmt.Errorf("%s: %w: it is empty", path, ErrBadKey)
	}
	if err != nil {
		return key{}, err
	}
	access, secret, found := strings.Cut(strings.TrimSpace(string(text[:n])), ":")
	switch {
	case !found:
		return key{}, fmt.Errorf("%s: %w: there is no colon", path, ErrBadKey)
	case !accessPattern.MatchString(access):
		return key{}, fmt.Errorf("%s: %w: the access key must be 3 to 128 letters, digits, dots, hyphens and underscores", path, ErrBadKey)
	case !secretPattern.MatchString(secret):
		return key{}, fmt.Errorf("%s: %w: the secret must be one line of printable ASCII characters without spaces", path, ErrBadKey)
	case len(secret) < minSecret:
		return key{}, fmt.Errorf("%s: %w: the secret must have at least %d characters", path, ErrBadKey, minSecret)
	}
	return key{access, secret}, nil
}

// keyring keeps versitygw's list of users the same as the eagles' key files.
type keyring struct {
	files []string
	place *place
	log   *slog.Logger
	keys  map[string]key    // by file; a file that is gone has none
	told  map[string]string // what the log has been told about a file
}

// openKeyring reads all files, which must be good now; later it is more patient.
func openKeyring(files []string, place *place, log *slog.Logger) (*keyring, error) {
	k := &keyring{files: files, place: place, log: log, keys: map[string]key{}, told: map[string]string{}}
	for _, file := range files {
		found, err := readKey(file)
		if err != nil {
			return nil, fmt.Errorf("eagle's key: %w", err)
		}
		k.keys[file] = found
	}
	if err := distinct(k.keys); err != nil {
		return nil, fmt.Errorf("eagle's key: %w", err)
	}
	return k, k.publish()
}

// distinct refuses two eagles with one access key: only one of the secrets could be in force.
func distinct(keys map[string]key) error {
	owner := map[string]string{}
	for file, key := range keys {
		if other, ok := owner[key.access]; ok && other != file {
			return fmt.Errorf("%s and %s: %w: both have the access key %s", min(file, other), max(file, other), ErrBadKey, key.access)
		}
		owner[key.access] = file
	}
	return nil
}

// refresh reads the files again. A file that is gone takes its key with it; a file that cannot be understood leaves the key that was in
// force, since it may be in the middle of being written.
func (k *keyring) refresh() {
	fresh := map[string]key{}
	for _, file := range k.files {
		found, err := readKey(file)
		switch {
		case err == nil:
			fresh[file] = found
			delete(k.told, file)
		case errors.Is(err, fs.ErrNotExist):
			k.tell(file, "an eagle's key is gone, and so is its access", err)
		default:
			if old, ok := k.keys[file]; ok {
				fresh[file] = old
			}
			k.tell(file, "an eagle's key cannot be read, the last good one stays in force", err)
		}
	}
	if mapsEqual(fresh, k.keys) {
		return
	}
	if err := distinct(fresh); err != nil {
		k.tell("", "the eagles' keys stay as they were", err)
		return
	}
	old := k.keys
	k.keys = fresh
	if err := k.publish(); err != nil {
		k.keys = old // try again
		k.tell("", "the eagles' keys could not be changed", err)
		return
	}
	delete(k.told, "")
	k.log.Info("the eagles' keys have changed", "access_keys", k.accessKeys())
}

// tell logs what is wrong with a file, once.
func (k *keyring) tell(file, message string, err error) {
	if k.told[file] == err.Error() {
		return
	}
	k.told[file] = err.Error()
	k.log.Error(message, "error", err)
}

func mapsEqual(a, b map[string]key) bool {
	if len(a) != len(b) {
		return false
	}
	for file, key := range a {
		if b[file] != key {
			return false
		}
	}
	return true
}

func (k *keyring) accessKeys() []string {
	access := []string{}
	for _, key := range k.keys {
		access = append(access, key.access)
	}
	slices.Sort(access)
	return access
}

// publish writes what versitygw reads anew for every request: its users (auth/iam_internal.go; its cache is off) and the
// policies of the buckets (backend/meta/sidecar.go).
func (k *keyring) publish() error {
	type account struct {
		Access string `json:"access"`
		Secret string `json:"secret"`
		Role   string `json:"role"`
	}
	accounts := map[string]account{}
	for _, key := range k.keys {
		accounts[key.access] = account{key.access, key.secret, "user"}
	}
	users, err := json.Marshal(map[string]any{"accessAccounts": accounts})
	if err != nil {
		return err
	}
	err = replaceFile(filepath.Join(k.place.users(), "users.json"), users)
	for bucket, statements := range policies(k.accessKeys()) {
		policy, marshalErr := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
		err = errors.Join(err, marshalErr, replaceFile(k.place.policyOf(bucket), policy))
	}
	return err
}

type statement struct {
	Effect    string
	Principal map[string][]string
	Action    []string
	Resource  string
}

// policies are what eagles may do. Nobody else is named in them, and a bucket with a policy looks at nothing else (auth/access-control.go,
// verifyResourceAccess). Without a key there is no principal, and a policy of denial takes the place of an empty one.
func policies(access []string) map[string][]statement {
	effect := "Allow"
	if len(access) == 0 {
		effect, access = "Deny", []string{"*"}
	}
	eagles := map[string][]string{"AWS": access}
	return map[string][]statement{
		BucketZip: {{effect, eagles, []string{"s3:GetObject"}, "arn:aws:s3:::zip/*"}},
		BucketStage: {
			{effect, eagles, []string{"s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"}, "arn:aws:s3:::stage/*"},
			{"Deny", eagles, []string{"s3:*"}, "arn:aws:s3:::stage/" + scratchDir + "/*"},
		},
	}
}

// replaceFile writes a file that only this user can read; whoever reads it sees the old content or the new.
func replaceFile(path string, content []byte) error {
	fresh := path + ".new"
	if err := os.WriteFile(fresh, content, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
