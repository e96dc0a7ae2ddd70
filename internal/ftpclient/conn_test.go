package ftpclient_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	ftpserver "github.com/fclairamb/ftpserverlib"
	"github.com/spf13/afero"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/ftpclient"
)

var ctx = context.Background()

func TestCollectsATree(t *testing.T) {
	for _, mode := range []string{"MLSD", "LIST"} {
		t.Run(mode, func(t *testing.T) {
			s, opt := startReal(t, func(s *realServer) { s.settings.DisableMLST = mode == "LIST" })
			contents := map[string]string{
				"/outgoing/a.csv":              "content",
				"/outgoing/empty":              "",
				"/outgoing/with  two blanks":   "blanks",
				"/outgoing/-la":                "looks like an option",
				"/outgoing/报表 一月.zip":          "报表",
				"/outgoing/deep/er/big.bin":    strings.Repeat("x", 300_000),
				"/outgoing/-rf dir/inside.txt": "inside",
			}
			for path, content := range contents {
				s.write(t, path, content)
			}
			c := dial(t, opt)
			l, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/outgoing", Recursive: true})
			require.NoError(t, err)
			got := map[string]string{}
			for _, e := range l.Entries {
				var b bytes.Buffer
				n, err := retrieve(c, e.RawPath, e.Size, &b)
				require.NoError(t, err)
				assert.Equal(t, e.Size, n)
				assert.Empty(t, e.Special)
				assert.Equal(t, e.RawPath, e.Path)
				got[e.RawPath] = b.String()
			}
			assert.Equal(t, contents, got)
			assert.Equal(t, len(l.Entries)+l.Noise, l.Lines)
			assert.Equal(t, 3, l.Noise, "the directories")
			assert.Empty(t, l.Unparsed)
			assert.True(t, c.Usable())
		})
	}
}

func TestListTimes(t *testing.T) {
	when := time.Now().UTC().Add(-3 * time.Hour).Truncate(time.Second)
	for mode, precision := range map[string]time.Duration{"MLSD": time.Second, "LIST": time.Minute} {
		s, opt := startReal(t, func(s *realServer) { s.settings.DisableMLST = mode == "LIST" })
		s.write(t, "/a", "x")
		require.NoError(t, s.fs.Chtimes("/a", when, when))
		l, err := dial(t, opt).ListAll(ctx, ftpclient.ListQuery{})
		require.NoError(t, err)
		require.Len(t, l.Entries, 1)
		assert.Equal(t, when.Truncate(precision), l.Entries[0].ModTime, mode)
		assert.Equal(t, precision, l.Entries[0].Precision, mode)
	}
}

func TestListNonRecursiveAndMissing(t *testing.T) {
	s, opt := startReal(t, nil)
	s.write(t, "/out/a", "1")
	s.write(t, "/out/sub/b", "2")
	l, err := dial(t, opt).ListAll(ctx, ftpclient.ListQuery{Dir: "/out/"})
	require.NoError(t, err)
	require.Len(t, l.Entries, 1)
	assert.Equal(t, "/out/a", l.Entries[0].RawPath)
	assert.Equal(t, 1, l.Noise)

	_, err = dial(t, opt).ListAll(ctx, ftpclient.ListQuery{Dir: "/nowhere"})
	require.ErrorIs(t, err, ftpclient.ErrNotFound)
	assert.Contains(t, err.Error(), "branch-001")
	assert.Contains(t, err.Error(), "/nowhere")
}

func TestListRelativeToHome(t *testing.T) {
	s, opt := startReal(t, nil)
	s.write(t, "/out/a", "1")
	c := dial(t, opt)
	for range 2 { // the second time the connection has moved
		l, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "out"})
		require.NoError(t, err)
		require.Len(t, l.Entries, 1)
		assert.Equal(t, "/out/a", l.Entries[0].RawPath)
	}
	c = dial(t, opt)
	_, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/out"})
	require.NoError(t, err)
	_, err = c.ListAll(ctx, ftpclient.ListQuery{Dir: "out"})
	require.ErrorIs(t, err, ftpclient.ErrBroken, "nobody knows any more where home is")
}

func TestListCaps(t *testing.T) {
	s, opt := startReal(t, nil)
	for i := range 4 {
		s.write(t, fmt.Sprintf("/out/d%d/e/f", i), "x")
	}
	l, err := dial(t, opt).ListAll(ctx, ftpclient.ListQuery{Dir: "/out", Recursive: true, MaxDepth: 1})
	require.NoError(t, err)
	require.Len(t, l.Entries, 4)
	assert.Equal(t, "too_deep", l.Entries[0].Special)

	_, err = dial(t, opt).ListAll(ctx, ftpclient.ListQuery{Dir: "/out", Recursive: true, MaxEntries: 7})
	require.ErrorIs(t, err, ftpclient.ErrTooMany)
	l, err = dial(t, opt).ListAll(ctx, ftpclient.ListQuery{Dir: "/out", Recursive: true, MaxEntries: 12})
	require.NoError(t, err)
	assert.Len(t, l.Entries, 4)
}

func TestGBKNames(t *testing.T) {
	const raw = "/\xb1\xa8\xb1\xed/\xd2\xbb\xd4\xc2.csv" // 报表/一月.csv
	s, opt := startReal(t, nil)
	opt.Encoding = "gbk"
	s.write(t, raw, "data")
	s.write(t, "/\xff\xff", "undecodable")
	c := dial(t, opt)
	l, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/", Recursive: true})
	require.NoError(t, err)
	paths := map[string]string{}
	for _, e := range l.Entries {
		paths[e.RawPath] = e.Path
	}
	assert.Equal(t, map[string]string{raw: "/报表/一月.csv", "/\xff\xff": "/\xff\xff"}, paths)
	var b bytes.Buffer
	_, err = retrieve(c, raw, 4, &b)
	require.NoError(t, err)
	assert.Equal(t, "data", b.String())

	_, err = retrieve(c, "/\xb1\xa8.txt", 4, &b)
	require.ErrorIs(t, err, ftpclient.ErrNotFound)
	assert.Contains(t, err.Error(), "/报.txt")

	opt.Encoding = "klingon"
	_, err = ftpclient.Dial(ctx, opt)
	assert.ErrorContains(t, err, "klingon")
}

func TestRemoteActions(t *testing.T) {
	s, opt := startReal(t, nil)
	s.write(t, "/out/a b.csv", "12345")
	when := time.Date(2024, 2, 29, 12, 30, 15, 0, time.UTC)
	require.NoError(t, s.fs.Chtimes("/out/a b.csv", when, when))
	c := dial(t, opt)

	size, modified, err := c.Stat(ctx, "/out/a b.csv")
	require.NoError(t, err)
	assert.Equal(t, int64(5), size)
	assert.Equal(t, when, modified)

	require.NoError(t, c.MakeDir(ctx, "/done"))
	require.NoError(t, c.MakeDir(ctx, "/done"), "existing is as good")
	require.NoError(t, c.Rename(ctx, "/out/a b.csv", "/done/a b.csv"))
	exists, err := afero.Exists(s.fs, "/done/a b.csv")
	require.NoError(t, err)
	assert.True(t, exists)

	require.NoError(t, c.Delete(ctx, "/done/a b.csv"))
	assert.True(t, c.Usable())
	require.ErrorIs(t, c.Delete(ctx, "/done/a b.csv"), ftpclient.ErrNotFound)
	assert.False(t, c.Usable())
	require.ErrorIs(t, c.Delete(ctx, "/done/a b.csv"), ftpclient.ErrBroken, "no call after an error")

	require.ErrorIs(t, dial(t, opt).Rename(ctx, "/out/none", "/done/x"), ftpclient.ErrNotFound)
	_, _, err = dial(t, opt).Stat(ctx, "/out/none")
	require.ErrorIs(t, err, ftpclient.ErrNotFound)
	s.write(t, "/file", "")
	require.Error(t, dial(t, opt).MakeDir(ctx, "/file"), "a file is no directory")
}

func TestPathsThatCannotBeSent(t *testing.T) {
	_, opt := startReal(t, nil)
	c := dial(t, opt)
	for _, path := range []string{"/a\r\nDELE b", "/a\x00", "relative", ""} {
		assert.ErrorIs(t, c.Delete(ctx, path), ftpclient.ErrProtocol, "%q", path)
		assert.ErrorIs(t, c.Rename(ctx, "/ok", path), ftpclient.ErrProtocol, "%q", path)
	}
	assert.True(t, c.Usable(), "nothing was sent")
	_, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/a\nb"})
	assert.ErrorIs(t, err, ftpclient.ErrProtocol)
}

func TestTLS(t *testing.T) {
	for mode, requirement := range map[ftpclient.TLSMode]ftpserver.TLSRequirement{
		ftpclient.TLSExplicit: ftpserver.MandatoryEncryption, ftpclient.TLSImplicit: ftpserver.ImplicitEncryption,
	} {
		t.Run(string(mode), func(t *testing.T) {
			config, roots := certificate(t)
			var mu sync.Mutex
			var resumed []bool
			config.VerifyConnection = func(state tls.ConnectionState) error {
				mu.Lock()
				defer mu.Unlock()
				resumed = append(resumed, state.DidResume)
				return nil
			}
			s, opt := startReal(t, func(s *realServer) { s.settings.TLSRequired, s.tls = requirement, config })
			s.write(t, "/a", "encrypted")
			s.write(t, "/empty", "")
			opt.TLS, opt.RootCAs = mode, roots
			c := dial(t, opt)
			l, err := c.ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
			require.NoError(t, err)
			require.Len(t, l.Entries, 2)
			for _, e := range l.Entries {
				_, err = retrieve(c, e.RawPath, e.Size, &bytes.Buffer{})
				require.NoError(t, err)
			}
			mu.Lock()
			assert.Equal(t, []bool{false, true, true, true}, resumed, "data connections resume the control session")
			mu.Unlock()

			opt.RootCAs = nil
			_, err = ftpclient.Dial(ctx, opt)
			require.ErrorIs(t, err, ftpclient.ErrUntrusted)
			opt.InsecureSkipVerify = true
			_, err = dial(t, opt).ListAll(ctx, ftpclient.ListQuery{Dir: "/"})
			require.NoError(t, err)
		})
	}
}

func TestWriterError(t *testing.T) {
	s, opt := startReal(t, nil)
	s.write(t, "/a", strings.Repeat("x", 1<<20))
	full := errors.New("disk full")
	c := dial(t, opt)
	_, err := retrieve(c, "/a", 1<<20, writerFunc(func([]byte) (int, error) { return 0, full }))
	require.ErrorIs(t, err, full)
	for _, kind := range []error{ftpclient.ErrBroken, ftpclient.ErrTruncated, ftpclient.ErrProtocol} {
		assert.NotErrorIs(t, err, kind, "the server is not to blame")
	}
	assert.False(t, c.Usable())
}

func TestWriterPanicIsNotTheServersFault(t *testing.T) {
	s, opt := startReal(t, nil)
	s.write(t, "/a", "x")
	c := dial(t, opt)
	assert.Panics(t, func() {
		_, _ = retrieve(c, "/a", 1, writerFunc(func([]byte) (int, error) { panic("bug") }))
	})
	assert.False(t, c.Usable())
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestOptionsHideThePassword(t *testing.T) {
	_, opt := startReal(t, nil)
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "server", opt)
	for _, text := range []string{
		fmt.Sprint(opt), fmt.Sprintf("%+v", opt), fmt.Sprintf("%#v", opt), fmt.Sprintf("%+v", &opt), logged.String(),
	} {
		assert.NotContains(t, text, testPassword)
		assert.Contains(t, text, "branch-001")
	}
}
