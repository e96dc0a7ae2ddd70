package objectstore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

// all makes every kind of call.
func all(t *testing.T, store *objectstore.Store, bucket, key string) map[string]error {
	t.Helper()
	object := objectstore.Object{Bucket: bucket, Key: key}
	_, stat := store.Stat(ctx, object)
	_, fetch := store.Fetch(ctx, object, 1, "", tempFile(t), nil)
	return map[string]error{
		"check": store.Check(ctx, bucket), "stat": stat, "fetch": fetch,
		"put": store.Put(ctx, objectstore.Object{Bucket: bucket, Key: "new"}, strings.NewReader("x"), 1, nil),
	}
}

func TestKeysThatAreNotTaken(t *testing.T) {
	b := newBed(t)
	b.place("a.zip", []byte("x"))
	for name, keys := range map[string][2]string{
		"unknown access key": {"nobody", secretKey}, // versitygw without accounts says 404
		"wrong secret key":   {accessKey, "wrong"},
	} {
		t.Run(name, func(t *testing.T) {
			b.keys.set(keys[0], keys[1])
			for call, err := range all(t, b.open(b.proxy.URL()), zipBucket, "a.zip") {
				require.ErrorIs(t, err, objectstore.ErrRefused, call)
				assert.ErrorContains(t, err, "check the access key and the secret key", call)
			}
		})
	}
}

func TestKeysThatRotate(t *testing.T) {
	b := newBed(t)
	object := b.place("a.zip", noise(megabyte, 70))
	b.fetch(t, object, noise(megabyte, 70))
	assert.Equal(t, 1, b.keys.count(), "keys are asked once, not for each request")

	// The endpoint gets new keys, and the caller's file has them a moment before the next call.
	b.rotate("ROTATED", "rotated-secret")
	b.keys.set("ROTATED", "rotated-secret")
	for _, err := range all(t, b.store, zipBucket, "a.zip") {
		assert.NotErrorIs(t, err, objectstore.ErrRefused)
	}
	assert.Equal(t, 2, b.keys.count())

	// Many calls meet the next change at once.
	b.rotate("THIRD", "third-secret")
	b.keys.set("THIRD", "third-secret")
	var calls sync.WaitGroup
	for i := range 32 {
		calls.Go(func() { assert.NoError(t, b.put(fmt.Sprint(i), []byte("data"))) })
	}
	calls.Wait()
	assert.Equal(t, 3, b.keys.count())

	// The endpoint has new keys, the caller has not.
	b.rotate("FOURTH", "fourth-secret")
	require.ErrorIs(t, b.put("late", []byte("data")), objectstore.ErrRefused)
	assert.Equal(t, 4, b.keys.count(), "asked, but there are no others")
	b.keys.set("FOURTH", "fourth-secret")
	require.NoError(t, b.put("late", []byte("data")))
}

// rotate gives the endpoint other keys.
func (b *bed) rotate(access, secret string) {
	b.t.Helper()
	require.NoError(b.t, b.process.Kill())
	b.access, b.secret = access, secret
	b.start()
}

func TestKeysThatAreNotThere(t *testing.T) {
	b := newBed(t)
	b.keys.err = errors.New("open /run/secrets/key: no such file")
	for call, err := range all(t, b.store, zipBucket, "a.zip") {
		require.ErrorIs(t, err, objectstore.ErrRefused, call)
		assert.ErrorContains(t, err, "no keys: open /run/secrets/key: no such file", call)
	}
	b.keys.err = nil
	b.keys.set(accessKey, "")
	require.ErrorIs(t, b.store.Check(ctx, zipBucket), objectstore.ErrRefused)
	assert.Empty(t, b.proxy.Requests(storetest.Any), "nothing is asked without a signature")
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	b := newBed(t)
	for call, err := range all(t, b.store, zipBucket, "missing.zip") {
		switch call {
		case "check", "put":
			require.NoError(t, err)
		default:
			require.ErrorIs(t, err, objectstore.ErrNotFound, call)
			assert.ErrorContains(t, err, "NoSuchKey", call)
		}
	}
	for call, err := range all(t, b.store, "no-such-bucket", "missing.zip") {
		require.ErrorIs(t, err, objectstore.ErrNoBucket, call)
		assert.ErrorContains(t, err, "no bucket no-such-bucket there", call)
	}
}

// TestKeyThatMayOnlyGet: with a bucket policy as package gateway makes one, of least privilege.
func TestKeyThatMayOnlyGet(t *testing.T) {
	s := startServer(t)
	s.addUsers(t, map[string]string{"eagle": "eagle-secret", "somebody": "else"})
	s.policy(t, zipBucket, "eagle", "s3:GetObject")
	s.policy(t, stageBucket, "eagle", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload")
	b := newBedAt(t, s, smallParts)
	b.keys.set("eagle", "eagle-secret")

	data := noise(100_000, 71)
	object := b.place("a.zip", data)
	require.NoError(t, b.store.Check(ctx, zipBucket))
	require.NoError(t, b.store.Check(ctx, stageBucket))
	b.fetch(t, object, data)
	_, err := b.store.Stat(ctx, object)
	require.NoError(t, err)
	require.NoError(t, b.put("x", data))
	require.NoError(t, b.put("large", noise(3*part, 72)))
	assert.Empty(t, b.leftovers())

	err = b.store.Put(ctx, objectstore.Object{Bucket: zipBucket, Key: "new"}, bytes.NewReader(data), int64(len(data)), nil)
	require.ErrorIs(t, err, objectstore.ErrRefused)
	assert.ErrorContains(t, err, "check what the policy of the bucket allows this key")
	assert.NoFileExists(t, b.path(zipBucket, "new"))

	s.policy(t, zipBucket, "somebody", "s3:GetObject")
	for call, err := range all(t, b.store, zipBucket, "a.zip") {
		require.ErrorIs(t, err, objectstore.ErrRefused, call)
		assert.ErrorContains(t, err, "AccessDenied", call)
	}
}

// TestClocksThatDiffer is in a bubble whose clock stands at the year 2000, while versitygw has the present time.
func TestClocksThatDiffer(t *testing.T) {
	s := startServer(t)
	s.place("a.zip", []byte("x"))
	synctest.Test(t, func(t *testing.T) {
		store, err := objectstore.Open(objectstore.Options{
			Endpoint: s.url(), Keys: func() (string, string, error) { return accessKey, secretKey, nil },
		})
		require.NoError(t, err)
		for call, err := range all(t, store, zipBucket, "a.zip") {
			require.ErrorIs(t, err, objectstore.ErrRefused, call)
			assert.Regexp(t, regexp.MustCompile(`the clock here says 2000-01-01T00:00:\d\dZ, the endpoint's 20[2-9]\d-`), err.Error(), call)
			assert.ErrorContains(t, err, "set the clocks", call)
		}
		store.Close()
		synctest.Wait()
	})
}

// TestAnswersAreJudged: every code in question, as an endpoint other than versitygw may send it.
func TestAnswersAreJudged(t *testing.T) {
	b := newBed(t, func(o *objectstore.Options) { o.Patience = time.Nanosecond })
	b.place("a.zip", []byte("x"))
	for _, test := range []struct {
		status int
		code   string
		want   error
	}{
		{507, "InsufficientStorage", objectstore.ErrFull},
		{403, "QuotaExceeded", objectstore.ErrFull},
		{507, "", objectstore.ErrFull},
		{403, "InvalidAccessKeyId", objectstore.ErrRefused},
		{403, "RequestTimeTooSkewed", objectstore.ErrRefused},
		{400, "ExpiredToken", objectstore.ErrRefused},
		{401, "", objectstore.ErrRefused},
		{403, "", objectstore.ErrRefused},
		{400, "AuthorizationHeaderMalformed", objectstore.ErrRejected},
		{400, "InvalidArgument", objectstore.ErrRejected},
		{405, "MethodNotAllowed", objectstore.ErrRejected},
		{501, "NotImplemented", objectstore.ErrRejected},
		{500, "InternalError", objectstore.ErrUnavailable},
		{504, "", objectstore.ErrUnavailable},
	} {
		b.proxy.Inject(storetest.Fault{Status: test.status, Code: test.code, Plain: test.code == ""})
		before := len(b.proxy.Requests(storetest.Any))
		for call, err := range all(t, b.store, zipBucket, "a.zip") {
			require.ErrorIs(t, err, test.want, "%s: %d %s", call, test.status, test.code)
			assert.ErrorContains(t, err, fmt.Sprint(test.status))
		}
		requests := 4
		if test.status < 500 {
			requests++ // why HEAD fails
		}
		assert.Len(t, b.proxy.Requests(storetest.Any)[before:], requests, "there is no patience, and nobody else repeats anything")
		b.proxy.Heal()
	}
}

// TestNoKeyIsTold: whatever happens, neither key appears in an error or in the log.
func TestNoKeyIsTold(t *testing.T) {
	b := newBed(t, quick)
	b.place("a.zip", []byte("x"))
	var told []string
	for _, fault := range []storetest.Fault{
		{},
		{Status: 500, Code: "InternalError"},
		{Status: 403, Code: "AccessDenied"},
		{DropReply: true},
		{Status: 403, Code: "InvalidAccessKeyId " + accessKey + " " + secretKey},
	} {
		b.proxy.Inject(fault)
		for _, err := range all(t, b.store, zipBucket, "a.zip") {
			told = append(told, fmt.Sprintf("%v %+v", err, err))
		}
		b.proxy.Heal()
	}
	b.keys.err = errors.New("cannot read")
	told = append(told, fmt.Sprint(b.open(b.proxy.URL()).Check(ctx, zipBucket)), b.log.String())
	for _, text := range told {
		assert.NotContains(t, text, accessKey)
		assert.NotContains(t, text, secretKey)
	}
	assert.NotEmpty(t, b.log.String())
}

// addUsers restarts versitygw with accounts beside the root's (auth/iam_internal.go has the format).
func (s *server) addUsers(t *testing.T, secrets map[string]string) {
	t.Helper()
	accounts := map[string]any{}
	for access, secret := range secrets {
		accounts[access] = map[string]string{"access": access, "secret": secret, "role": "user"}
	}
	file, err := json.Marshal(map[string]any{"accessAccounts": accounts})
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "users.json"), file, 0o600))
	require.NoError(t, s.process.Kill())
	s.options = []string{"--iam-dir", dir, "posix"}
	s.start()
}

// policy lets a user do these actions with the objects of a bucket, and nothing else.
func (s *server) policy(t *testing.T, bucket, user string, actions ...string) {
	t.Helper()
	policy, err := json.Marshal(map[string]any{
		"Version": "2012-10-17",
		"Statement": []any{map[string]any{
			"Effect": "Allow", "Principal": map[string]any{"AWS": []string{user}},
			"Action": actions, "Resource": []string{"arn:aws:s3:::" + bucket + "/*"},
		}},
	})
	require.NoError(t, err)
	root, err := minio.New(strings.TrimPrefix(s.url(), "http://"), &minio.Options{
		Creds: credentials.NewStaticV4(s.access, s.secret, ""), Region: objectstore.DefaultRegion,
	})
	require.NoError(t, err)
	require.NoError(t, root.SetBucketPolicy(ctx, bucket, string(policy)))
}
