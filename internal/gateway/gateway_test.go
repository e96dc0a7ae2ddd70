package gateway

import (
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// bytesOf returns n bytes that are nowhere the same.
func bytesOf(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256([]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		b.Write(sum[:])
	}
	return b.String()[:n]
}

// names that a collected file may have.
var names = []string{
	"branch-001/a.zip", "branch-001/报表 (1) +&=%20#?.zip", "branch-001/100%.zip", "branch-001/%2e%2e", "branch-001/.hidden/a~2.zip",
	"branch-001/back\\slash.zip", "branch-001/meta/policy", "branch-001/x:y;z,'\"[]{}|^`<>@!$*.zip", "meta/a.zip",
	"branch-001/" + strings.Repeat("n", 255),
}

func TestFilesThatTigerPutThereAreRead(t *testing.T) {
	s, opts := newSite(t)
	for _, name := range names {
		s.write("zip/"+name, "in "+name)
	}
	s.write("zip/empty.zip", "")
	s.start(opts)
	for _, name := range names {
		content, err := s.get(BucketZip, name)
		require.NoError(t, err, name)
		assert.Equal(t, "in "+name, content, name)
		info, err := s.eagle().Client.StatObject(t.Context(), BucketZip, name, minio.StatObjectOptions{})
		require.NoError(t, err, name)
		assert.EqualValues(t, len("in "+name), info.Size, name)
		assert.Empty(t, info.ETag, "a file without attributes has no ETag at all")
		onDisk, err := os.Stat(s.path("zip/" + name))
		require.NoError(t, err)
		assert.Equal(t, onDisk.ModTime().Unix(), info.LastModified.Unix())
	}
	content, err := s.get(BucketZip, "empty.zip")
	require.NoError(t, err)
	assert.Empty(t, content)
	_, err = s.get(BucketZip, "branch-001/none.zip")
	assert.Equal(t, "NoSuchKey", code(err))
	_, err = s.get(BucketZip, "branch-001")
	assert.Equal(t, "NoSuchKey", code(err), "a directory is no object")
}

func TestRangesAndResumption(t *testing.T) {
	s, opts := newSite(t)
	large := bytesOf(3<<20 + 7)
	s.write("zip/large.zip", large)
	s.start(opts)
	object, err := s.eagle().Client.GetObject(t.Context(), BucketZip, "large.zip", minio.GetObjectOptions{})
	require.NoError(t, err)
	defer object.Close()
	tail := make([]byte, 100)
	n, err := object.ReadAt(tail, int64(len(large)-50))
	assert.ErrorIs(t, err, io.EOF)
	assert.Equal(t, large[len(large)-50:], string(tail[:n]))
	_, err = object.Seek(1<<20, io.SeekStart)
	require.NoError(t, err)
	rest, err := io.ReadAll(object)
	require.NoError(t, err)
	assert.Equal(t, large[1<<20:], string(rest))

	beyond := minio.GetObjectOptions{}
	require.NoError(t, beyond.SetRange(int64(len(large)), 0))
	_, _, _, err = s.eagle().GetObject(t.Context(), BucketZip, "large.zip", beyond)
	assert.Equal(t, "InvalidRange", code(err))
}

// snapshot is all that can be seen of a tree: names, kinds, permissions, owners, times, extended attributes and contents.
func snapshot(t *testing.T, root string) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		require.NoError(t, err)
		var stat unix.Stat_t
		require.NoError(t, unix.Lstat(path, &stat))
		attributes := make([]byte, 4096)
		n, err := unix.Llistxattr(path, attributes)
		require.NoError(t, err)
		fmt.Fprintf(&b, "%s %o %d:%d %d %d.%d %d.%d %q", path, stat.Mode, stat.Uid, stat.Gid, stat.Size, stat.Mtim.Sec, stat.Mtim.Nsec,
			stat.Ctim.Sec, stat.Ctim.Nsec, attributes[:n])
		if stat.Mode&unix.S_IFMT == unix.S_IFREG {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			fmt.Fprintf(&b, " %x", sha256.Sum256(content))
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func TestZipStaysAsItIs(t *testing.T) {
	s, opts := newSite(t)
	for _, name := range names {
		s.write("zip/"+name, "in "+name)
	}
	before := snapshot(t, s.path("zip"))
	s.start(opts)
	useZip(t, s)
	require.NoError(t, s.Stop())
	assert.Equal(t, before, snapshot(t, s.path("zip")))
}

// useZip reads, and tries to write, in every way that gets as far as versitygw: also past the door.
func useZip(t *testing.T, s *site) {
	t.Helper()
	for _, name := range names {
		_, err := s.get(BucketZip, name)
		require.NoError(t, err)
		_, err = s.get(BucketZip, name+".none")
		require.Error(t, err)
		_, err = s.eagle().Client.PutObject(t.Context(), BucketZip, name, strings.NewReader("x"), 1, minio.PutObjectOptions{})
		assert.Equal(t, "AccessDenied", code(err))
	}
	direct := overSocket(s.socket())
	for _, request := range []signed{
		{method: "PUT", target: "/zip/branch-001/new.zip", body: "x"},
		{method: "POST", target: "/zip/branch-001/new.zip?uploads"},
		{method: "DELETE", target: "/zip/branch-001/a.zip"},
		{method: "PUT", target: "/zip/branch-001/a.zip?tagging", body: "<Tagging/>"},
	} {
		request.key = s.key
		assert.Equal(t, http.StatusForbidden, request.send(t, direct, "http://versitygw").status, "%s %s", request.method, request.target)
	}
}

func (s *site) socket() string { return filepath.Join(s.state, "run", "s3.sock") }

func TestDeliveries(t *testing.T) {
	s, opts := newSite(t)
	s.trailing = true
	s.startTLS(opts)
	for name, test := range map[string]struct {
		size    int
		options minio.PutObjectOptions
	}{
		"empty":         {0, minio.PutObjectOptions{}},
		"small":         {5, minio.PutObjectOptions{}},
		"large":         {6 << 20, minio.PutObjectOptions{DisableMultipart: true}},
		"sha256":        {1 << 20, minio.PutObjectOptions{Checksum: minio.ChecksumSHA256}},
		"in parts":      {11<<20 + 3, minio.PutObjectOptions{PartSize: 5 << 20}},
		"parts at once": {16 << 20, minio.PutObjectOptions{PartSize: 5 << 20, NumThreads: 3, ConcurrentStreamParts: true}},
		"signed chunks": {6 << 20, minio.PutObjectOptions{DisableContentSha256: true, DisableMultipart: true}},
		"with md5":      {1 << 20, minio.PutObjectOptions{SendContentMd5: true}},
	} {
		t.Run(name, func(t *testing.T) {
			content, key := bytesOf(test.size), "d1/"+strings.ReplaceAll(name, " ", "-")+".tar.zst"
			info, err := s.eagle().Client.PutObject(t.Context(), BucketStage, key, strings.NewReader(content), int64(test.size), test.options)
			require.NoError(t, err)
			assert.NotEmpty(t, info.ETag)
			onDisk, err := os.ReadFile(s.bundle(key))
			require.NoError(t, err)
			assert.True(t, content == string(onDisk))
			stat, err := s.eagle().Client.StatObject(t.Context(), BucketStage, key, minio.StatObjectOptions{})
			require.NoError(t, err)
			assert.EqualValues(t, test.size, stat.Size)
			assert.Equal(t, info.ETag, stat.ETag)
			back, err := s.get(BucketStage, key)
			require.NoError(t, err)
			assert.True(t, content == back)
		})
	}
	info, err := os.Stat(s.bundle("d1/small.tar.zst"))
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(fileMode), info.Mode())
	entries, err := os.ReadDir(s.bundle(scratchDir + "/multipart"))
	require.NoError(t, err)
	assert.Empty(t, entries, "what was completed leaves no parts")
}

// Without TLS, clients sign each chunk of what they send.
func TestDeliveriesInSignedChunks(t *testing.T) {
	s := startSite(t)
	for key, content := range map[string]string{"d1/small.tar.zst": "small", "d1/large.tar.zst": bytesOf(6 << 20)} {
		require.NoError(t, s.put(key, content))
		onDisk, err := os.ReadFile(s.bundle(key))
		require.NoError(t, err)
		assert.True(t, content == string(onDisk))
	}
}

func TestWrongBytesAreNotKept(t *testing.T) {
	s := startSite(t)
	request := signed{method: "PUT", target: "/stage/d1/a.tar.zst", body: "bundle", key: s.key}
	raw, err := http.NewRequestWithContext(t.Context(), "PUT", s.URL()+request.target, strings.NewReader("bundlf"))
	require.NoError(t, err)
	request.sign(raw, raw.URL.Host, raw.URL.Path, "")
	response, err := http.DefaultClient.Do(raw)
	require.NoError(t, err)
	body, _ := io.ReadAll(response.Body)
	require.NoError(t, response.Body.Close())
	http.DefaultClient.CloseIdleConnections()
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
	assert.Contains(t, string(body), "XAmzContentSHA256Mismatch")
	assert.NoFileExists(t, s.bundle("d1/a.tar.zst"))
}

// TestTakenKeysAreToldInTheMiddleOfAnUpload: versitygw answers when it has seen the header, and reads no more of the body.
func TestTakenKeysAreToldInTheMiddleOfAnUpload(t *testing.T) {
	s := startSite(t)
	require.NoError(t, s.put("d1/a.tar.zst", "first"))
	for range 10 {
		request := signed{method: "PUT", target: "/stage/d1/a.tar.zst", body: bytesOf(600 << 10), key: s.key}
		answer := request.send(t, http.DefaultClient, s.URL())
		assert.Equal(t, http.StatusPreconditionFailed, answer.status, answer.body)
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestAnObjectIsMadeOnce(t *testing.T) {
	s := startSite(t)
	large := bytesOf(24 << 20)
	require.NoError(t, s.put("d1/a.tar.zst", "first"))
	assert.Equal(t, "PreconditionFailed", code(s.put("d1/a.tar.zst", "second")))
	assert.Equal(t, "PreconditionFailed", code(s.put("d1/a.tar.zst", large)), "the client reads the answer although it was not done")
	_, err := s.eagle().Client.PutObject(t.Context(), BucketStage, "d1/a.tar.zst", strings.NewReader(large), int64(len(large)),
		minio.PutObjectOptions{PartSize: 5 << 20})
	assert.Equal(t, "PreconditionFailed", code(err), "nor does an upload in parts replace it")
	assert.Equal(t, "ExistingObjectIsDirectory", code(s.put("d1", "a directory")))
	assert.Equal(t, "ObjectParentIsFile", code(s.put("d1/a.tar.zst/b", "below a file")))

	require.NoError(t, s.Stop())
	require.NoError(t, os.RemoveAll(filepath.Join(s.state, "attributes")), "the state may be lost")
	require.NoError(t, s.Restart(t.Context()))
	assert.Equal(t, "PreconditionFailed", code(s.put("d1/a.tar.zst", "third")))
	content, err := s.get(BucketStage, "d1/a.tar.zst")
	require.NoError(t, err)
	assert.Equal(t, "first", content)

	require.NoError(t, os.RemoveAll(s.bundle("")), "tiger has taken it away, and the janitor has cleaned up behind it")
	_, err = s.get(BucketStage, "d1/a.tar.zst")
	assert.Equal(t, "NoSuchKey", code(err))
	require.NoError(t, s.put("d1/a.tar.zst", "fourth"), "a note without an object does not count")
	content, err = s.get(BucketStage, "d1/a.tar.zst")
	require.NoError(t, err)
	assert.Equal(t, "fourth", content)
}

func TestOneOfManyWritersWins(t *testing.T) {
	s := startSite(t)
	for round := range 20 {
		key := fmt.Sprintf("d1/%d.tar.zst", round)
		var winners sync.Map
		var group sync.WaitGroup
		for writer := range 8 {
			group.Go(func() {
				content := strings.Repeat(fmt.Sprint(writer), 1000)
				if err := s.put(key, content); err == nil {
					winners.Store(content, true)
				} else {
					assert.Equal(t, "PreconditionFailed", code(err))
				}
			})
		}
		group.Wait()
		content, err := os.ReadFile(s.bundle(key))
		require.NoError(t, err)
		count := 0
		winners.Range(func(won, _ any) bool {
			count++
			assert.Equal(t, won, string(content), "who was told to have won has written it")
			return true
		})
		assert.Equal(t, 1, count)
	}
}

func TestErrorsAsClientsSeeThem(t *testing.T) {
	s := startSite(t)
	read := func(k key) error {
		_, err := s.client(k).StatObject(t.Context(), BucketZip, "branch-001/a.zip", minio.StatObjectOptions{})
		if err == nil {
			return nil
		}
		_, _, _, err = s.client(k).GetObject(t.Context(), BucketZip, "branch-001/a.zip", minio.GetObjectOptions{})
		return err
	}
	require.NoError(t, read(s.key))
	assert.Equal(t, "InvalidAccessKeyId", code(read(newKey())), "an unknown access key")
	assert.Equal(t, "SignatureDoesNotMatch", code(read(key{s.key.access, newKey().secret})), "a wrong secret")
	large := bytesOf(24 << 20)
	_, err := s.client(newKey()).Client.PutObject(t.Context(), BucketStage, "d1/a.tar.zst", strings.NewReader(large), int64(len(large)),
		minio.PutObjectOptions{DisableMultipart: true})
	assert.Equal(t, "InvalidAccessKeyId", code(err), "the answer comes in the middle of a large body")

	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	late := signed{method: "GET", target: "/zip/branch-001/a.zip", key: s.key, at: time.Now().Add(-20 * time.Minute)}.send(t, client, s.URL())
	assert.Equal(t, http.StatusForbidden, late.status)
	assert.Contains(t, late.body, "<Code>RequestTimeTooSkewed</Code>", "a clock that is 20 minutes slow")
	response, err := client.Get(s.URL() + "/zip/branch-001/a.zip")
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	assert.Equal(t, http.StatusForbidden, response.StatusCode, "no signature")
}

func TestHealth(t *testing.T) {
	s := startSite(t)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	health := func() int {
		response, err := client.Get(s.URL() + HealthPath)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.StatusCode
	}
	assert.Equal(t, http.StatusOK, health())
	defer s.freeze()()
	assert.Equal(t, http.StatusServiceUnavailable, health(), "versitygw hangs")
}

func TestNothingSecretIsShown(t *testing.T) {
	s := startSite(t)
	_, err := s.get(BucketZip, "branch-001/a.zip")
	require.NoError(t, err)
	require.NoError(t, s.put("d1/a.tar.zst", "x"))
	proc := fmt.Sprintf("/proc/%d/", s.session.server.current().Pid())
	environment, err := os.ReadFile(proc + "environ")
	require.NoError(t, err)
	variables := strings.Split(strings.TrimRight(string(environment), "\x00"), "\x00")
	require.Len(t, variables, 2, "nothing else reaches versitygw: many variables would be settings")
	_, rootSecret, found := strings.Cut(variables[1], "ROOT_SECRET_ACCESS_KEY=")
	require.True(t, found)
	arguments, err := os.ReadFile(proc + "cmdline")
	require.NoError(t, err)
	for _, secret := range []string{s.key.secret, rootSecret} {
		assert.NotContains(t, string(arguments), secret)
		assert.NotContains(t, s.log.String(), secret)
		assert.NotContains(t, s.access.String(), secret)
	}
	assert.NotContains(t, s.access.String(), "Signature")
	assert.Contains(t, s.access.String(), `"key":"branch-001/a.zip"`)
	assert.Contains(t, s.access.String(), s.key.access)
	require.NoError(t, filepath.WalkDir(s.state, func(path string, entry fs.DirEntry, err error) error {
		require.NoError(t, err)
		if entry.Type().IsRegular() {
			content, err := os.ReadFile(path)
			require.NoError(t, err)
			assert.NotContains(t, string(content), rootSecret, path)
		}
		return nil
	}))
	info, err := os.Stat(s.state)
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o700), info.Mode().Perm())
	users, err := os.Stat(filepath.Join(s.state, "users", "users.json"))
	require.NoError(t, err)
	assert.Equal(t, fs.FileMode(0o600), users.Mode().Perm())
}

func TestStartTellsWhatIsWrong(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*site, *Options)
		want  string
	}{
		"no warehouse":       {func(s *site, o *Options) { o.Warehouse = s.path("zip") }, "no directory zip"},
		"no program":         {func(s *site, o *Options) { o.Program = s.path("none") }, "no such file"},
		"another program":    {func(_ *site, o *Options) { o.Program = "/bin/false" }, "before it answered"},
		"no keys":            {func(_ *site, o *Options) { o.EagleKeys = nil }, "no eagle's key"},
		"key file is gone":   {func(s *site, o *Options) { o.EagleKeys = []string{s.path("none")} }, "no such file"},
		"a key without key":  {func(_ *site, o *Options) { o.Cert = "x" }, "certificate needs its key"},
		"no certificate":     {func(s *site, o *Options) { o.Cert, o.Key = s.path("none"), s.path("none") }, "certificate: open"},
		"not a certificate":  {func(s *site, o *Options) { o.Cert, o.Key = s.path("secret.txt"), s.path("secret.txt") }, "certificate: "},
		"bad address":        {func(_ *site, o *Options) { o.Listen = "7070" }, "missing port"},
		"plain to the world": {func(_ *site, o *Options) { o.Listen = ":0" }, "give a certificate"},
		"stage is a file":    {func(s *site, _ *Options) { s.write("stage/bundles", "") }, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			s, opts := newSite(t)
			test.spoil(s, &opts)
			_, err := Start(t.Context(), opts)
			require.ErrorContains(t, err, test.want)
			assert.NotContains(t, err.Error(), s.key.secret)
		})
	}
}

func TestOneGatewayForAState(t *testing.T) {
	s, opts := newSite(t)
	s.start(opts)
	_, err := Start(t.Context(), opts)
	require.ErrorIs(t, err, ErrInUse)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.URL(), "http://"))
	require.NoError(t, err)
	opts.Listen, opts.State = "127.0.0.1:"+port, t.TempDir()
	_, err = Start(t.Context(), opts)
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	require.NoError(t, s.Stop())
	require.NoError(t, s.Stop(), "what has stopped need not be stopped")
	require.NoError(t, s.Restart(t.Context()))
	_, err = s.get(BucketZip, "branch-001/a.zip")
	require.NoError(t, err, "the same URL and key")
}

func TestALongStatePath(t *testing.T) {
	s, opts := newSite(t)
	opts.State = filepath.Join(t.TempDir(), strings.Repeat("long", 30))
	s.start(opts)
	_, err := s.get(BucketZip, "branch-001/a.zip")
	require.NoError(t, err)
	sockets := s.session.server.sockets
	require.NoError(t, s.Stop())
	assert.NoDirExists(t, sockets)
}
