package devstack

import (
	"bytes"
	"errors"
	"io"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/spf13/afero"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	demoUsers = map[string]string{"collector": "secret"}
	demoTime  = time.Date(2026, time.June, 30, 18, 0, 1, 0, time.UTC)
)

func demoFS(t *testing.T, files map[string]string) afero.Fs {
	t.Helper()
	fs := afero.NewMemMapFs()
	for name, text := range files {
		require.NoError(t, afero.WriteFile(fs, name, []byte(text), 0o644))
		require.NoError(t, fs.Chtimes(name, demoTime, demoTime))
	}
	return fs
}

func startFTP(t *testing.T, opts FTPOptions) *FTPServer {
	t.Helper()
	opts.Users = demoUsers
	server, err := StartFTP(opts)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, server.Stop()) })
	return server
}

func login(t *testing.T, server *FTPServer, options ...ftp.DialOption) *ftp.ServerConn {
	t.Helper()
	conn, err := ftp.Dial(server.Addr(), append(options, ftp.DialWithTimeout(patience), ftp.DialWithShutTimeout(patience))...)
	require.NoError(t, err)
	require.NoError(t, conn.Login("collector", "secret"))
	t.Cleanup(func() { _ = conn.Quit() })
	return conn
}

func retrieve(conn *ftp.ServerConn, name string, offset uint64) (string, error) {
	response, err := conn.RetrFrom(name, offset)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(response)
	return string(data), errors.Join(err, response.Close())
}

func TestFTPListsAndSends(t *testing.T) {
	free, err := FreePort()
	require.NoError(t, err)
	modes := map[string]struct {
		client []ftp.DialOption
		server FTPOptions
	}{
		"EPSV":                 {},
		"PASV":                 {client: []ftp.DialOption{ftp.DialWithDisabledEPSV(true)}},
		"PASV in a port range": {client: []ftp.DialOption{ftp.DialWithDisabledEPSV(true)}, server: FTPOptions{PassivePorts: [2]int{free, free}}},
	}
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			mode.server.FS = demoFS(t, map[string]string{"/outgoing/a.csv": "one,two", "/outgoing/d/空.txt": ""})
			conn := login(t, startFTP(t, mode.server), mode.client...)

			entries, err := conn.List("/outgoing")
			require.NoError(t, err)
			require.Len(t, entries, 2)
			assert.Equal(t, "a.csv", entries[0].Name)
			assert.EqualValues(t, 7, entries[0].Size)
			assert.Equal(t, demoTime, entries[0].Time, "to the second: this is MLSD")
			assert.Equal(t, ftp.EntryTypeFolder, entries[1].Type)

			for offset, want := range []string{"one,two", "ne,two"} {
				got, err := retrieve(conn, "/outgoing/a.csv", uint64(offset))
				require.NoError(t, err)
				assert.Equal(t, want, got)
			}
			got, err := retrieve(conn, "/outgoing/d/空.txt", 0)
			require.NoError(t, err)
			assert.Empty(t, got)
			_, err = retrieve(conn, "/outgoing/none", 0)
			assert.Error(t, err)
		})
	}
}

func TestFTPKeepsNamesByteForByte(t *testing.T) {
	const gbk = "\xb6\xd4\xd5\xcb\xb5\xa5.csv" // 对账单.csv
	server := startFTP(t, FTPOptions{FS: demoFS(t, map[string]string{"/" + gbk: "x"})})
	conn := login(t, server, ftp.DialWithDisabledUTF8(true))
	entries, err := conn.List("/")
	require.NoError(t, err)
	require.Len(t, entries, 1)
	assert.Equal(t, gbk, entries[0].Name)
	got, err := retrieve(conn, "/"+gbk, 0)
	require.NoError(t, err)
	assert.Equal(t, "x", got)
}

func TestFTPCounts(t *testing.T) {
	server := startFTP(t, FTPOptions{FS: demoFS(t, map[string]string{"/a": "x"})})
	first, second := login(t, server), login(t, server)
	_, err := retrieve(first, "/a", 0)
	require.NoError(t, err)
	assert.Equal(t, FTPStats{Logins: 2, Retrieves: 1, Connections: 2, PeakConnections: 2}, server.Stats())

	require.NoError(t, second.Quit())
	eventually(t, func() bool { return server.Stats().Connections == 1 }, "the connection is gone")
	assert.Equal(t, 2, server.Stats().PeakConnections)
}

func TestFTPRefusesLogins(t *testing.T) {
	server := startFTP(t, FTPOptions{FS: demoFS(t, nil)})
	for user, password := range map[string]string{"collector": "wrong", "stranger": "secret", "nobody": ""} {
		conn, err := ftp.Dial(server.Addr(), ftp.DialWithTimeout(patience))
		require.NoError(t, err)
		var reply *textproto.Error
		require.ErrorAs(t, conn.Login(user, password), &reply)
		assert.Equal(t, ftp.StatusNotLoggedIn, reply.Code)
		_ = conn.Quit()
	}
	assert.Equal(t, 3, server.Stats().RefusedLogins)
	assert.Zero(t, server.Stats().Logins)
}

func TestFTPServesADirectoryThatClientsMayChange(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "done"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o644))
	conn := login(t, startFTP(t, FTPOptions{Dir: dir}))

	require.NoError(t, conn.Rename("/a", "/done/a"))
	assert.FileExists(t, filepath.Join(dir, "done", "a"))
	require.NoError(t, conn.Delete("/done/a"))
	assert.NoFileExists(t, filepath.Join(dir, "done", "a"))
	require.NoError(t, conn.Stor("/b", strings.NewReader("new")))
	data, err := os.ReadFile(filepath.Join(dir, "b"))
	require.NoError(t, err)
	assert.Equal(t, "new", string(data))
	_, err = retrieve(conn, "/../../etc/hostname", 0)
	assert.Error(t, err, "nothing outside the directory")
}

func TestOnRetrieveHoldsATransfer(t *testing.T) {
	asked, release := make(chan string, 1), make(chan struct{})
	server := startFTP(t, FTPOptions{
		FS: demoFS(t, map[string]string{"/a": "whole"}),
		OnRetrieve: func(path string, data io.Reader) (io.Reader, error) {
			asked <- path
			<-release
			return data, nil
		},
	})
	conn := login(t, server)
	done := make(chan string)
	go func() {
		got, err := retrieve(conn, "/a", 1)
		done <- errors.Join(err, errors.New(got)).Error()
	}()
	assert.Equal(t, "/a", <-asked)
	assert.Empty(t, done, "the transfer waits")
	close(release)
	assert.Equal(t, "hole", <-done, "the REST offset counts with a hook too")
}

func TestOnRetrieveBreaksATransfer(t *testing.T) {
	broken := errors.New("disk on fire")
	hooks := map[string]struct {
		hook func(string, io.Reader) (io.Reader, error)
		want string
	}{
		"refused": {func(string, io.Reader) (io.Reader, error) { return nil, broken }, ""},
		"cut": {func(_ string, data io.Reader) (io.Reader, error) {
			return io.MultiReader(io.LimitReader(data, 3), &failingReader{broken}), nil
		}, "who"},
	}
	for name, test := range hooks {
		t.Run(name, func(t *testing.T) {
			server := startFTP(t, FTPOptions{FS: demoFS(t, map[string]string{"/a": "whole"}), OnRetrieve: test.hook})
			got, err := retrieve(login(t, server), "/a", 0)
			assert.ErrorContains(t, err, "disk on fire")
			assert.Equal(t, test.want, got)
		})
	}
}

type failingReader struct{ err error }

func (f *failingReader) Read([]byte) (int, error) { return 0, f.err }

func TestDropConnectionsBreaksARunningTransfer(t *testing.T) {
	endless := func(string, io.Reader) (io.Reader, error) { return endlessReader{}, nil }
	server := startFTP(t, FTPOptions{FS: demoFS(t, map[string]string{"/a": "x"}), OnRetrieve: endless})
	conn := login(t, server)
	response, err := conn.Retr("/a")
	require.NoError(t, err)
	_, err = io.CopyN(io.Discard, response, megabyte)
	require.NoError(t, err)

	server.DropConnections()
	_, err = io.Copy(io.Discard, response)
	assert.Error(t, errors.Join(err, response.Close()))
	eventually(t, func() bool { return server.Stats().Connections == 0 }, "the connection is gone")
	assert.NoError(t, login(t, server).NoOp(), "the server still takes new ones")
}

type endlessReader struct{}

func (endlessReader) Read(buffer []byte) (int, error) {
	return copy(buffer, bytes.Repeat([]byte{'x'}, len(buffer))), nil
}

func TestStopEndsEverything(t *testing.T) {
	server, err := StartFTP(FTPOptions{Users: demoUsers, FS: demoFS(t, nil)})
	require.NoError(t, err)
	conn := login(t, server)
	require.NoError(t, server.Stop())
	assert.Error(t, conn.NoOp())
	_, err = ftp.Dial(server.Addr(), ftp.DialWithTimeout(patience))
	assert.Error(t, err)

	again, err := StartFTP(FTPOptions{Users: demoUsers, FS: demoFS(t, nil), Addr: server.Addr()})
	require.NoError(t, err, "a server can come back on the same port")
	require.NoError(t, again.Stop())
}

func TestIdleTimeoutEndsAConnection(t *testing.T) {
	server := startFTP(t, FTPOptions{FS: demoFS(t, nil), IdleTimeout: time.Second})
	login(t, server)
	eventually(t, func() bool { return server.Stats().Connections == 0 }, "the server has closed the idle connection")
}

func TestStartFTPNeedsOneSourceOfFiles(t *testing.T) {
	for _, opts := range []FTPOptions{{}, {FS: demoFS(t, nil), Dir: t.TempDir()}} {
		_, err := StartFTP(opts)
		assert.ErrorIs(t, err, ErrNothingToServe)
	}
}
