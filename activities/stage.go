package activities

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"

	"go.temporal.io/sdk/activity"

	"talon/internal/warehouse"
)

// The stage belongs to workflows, so that it is plain what no running attempt can own: collect/<server>/<run>/ to the one
// workflow that holds the server, extract/<decompression>/ to that decompression, and so does bundles/<decompression>/, the only part
// of the stage that eagles on other hosts can write to.
const (
	collectStage = "collect"
	extractStage = "extract"
	bundleStage  = "bundles"
)

func serverStage(run, server string) string { return path.Join(collectStage, server, slug(run)) }

func decompressionStage(decompression string) string {
	return path.Join(extractStage, slug(decompression))
}

// bundleKey is the beginning of the keys of a decompression's bundles: letters and digits only, for object stores differ in what
// they make of others.
func bundleKey(decompression string) string {
	sum := sha256.Sum256([]byte(decompression))
	return hex.EncodeToString(sum[:16])
}

// newBundle is the key of a bundle that belongs to one attempt alone.
func newBundle(decompression, attempt string) string {
	return path.Join(bundleKey(decompression), attempt+".tar.zst")
}

// bundleName is what attemptName makes, as a bundle.
var bundleName = regexp.MustCompile(`^[0-9]+-[0-9]+-[A-Z0-9]+\.tar\.zst$`)

// ownsBundle tells whether a key can be one of newBundle for that decompression. It comes from an eagle, which may say anything.
func ownsBundle(decompression, key string) bool {
	dir, name := path.Split(key)
	return dir == bundleKey(decompression)+"/" && bundleName.MatchString(name)
}

// slug makes one path component of a workflow ID, and a different one of each.
func slug(id string) string { return url.PathEscape(id) }

// attemptName is unique to an attempt: one that was given up but still runs can only waste space.
func attemptName(ctx context.Context, id int64) string {
	return fmt.Sprintf("%d-%d-%s", id, activity.GetInfo(ctx).Attempt, rand.Text()[:10])
}

// BootID identifies the running system: data that was not synced before another boot cannot be trusted. It is empty where the kernel does not
// tell, and then never matches.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil || len(id) < 8 {
		return ""
	}
	return string(id[:8])
}

// countingWriter tells the heartbeat how far a transfer is.
type countingWriter struct {
	to      *warehouse.StagedFile
	beat    *progress
	written int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	w.written += int64(n)
	w.beat.bytes(w.written)
	return n, err
}
