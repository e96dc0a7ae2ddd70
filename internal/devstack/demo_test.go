package devstack

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/jlaffaye/ftp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestFleetServesTheBranches(t *testing.T) {
	branches := Branches(testSeed)
	fleet, err := StartFleet(branches)
	require.NoError(t, err)
	defer func() { assert.NoError(t, fleet.Stop()) }()

	require.Len(t, fleet.Ports(), len(branches))
	for _, b := range branches {
		address := net.JoinHostPort(loopback, strconv.Itoa(fleet.Ports()[b.Name]))
		conn, err := ftp.Dial(address, ftp.DialWithTimeout(patience), ftp.DialWithDisabledUTF8(true))
		if b.Fault == Down {
			assert.ErrorIs(t, err, unix.ECONNREFUSED)
			assert.Nil(t, fleet.Server(b.Name))
			continue
		}
		require.NoError(t, err)
		err = conn.Login(b.User, b.ConfiguredPassword())
		if b.Fault == WrongPassword {
			assert.Error(t, err)
		} else {
			require.NoError(t, err)
			entries, err := conn.List(b.RemoteDir)
			require.NoError(t, err)
			assert.Equal(t, len(b.Files) == 0, len(entries)-len(b.EmptyDirs) == 0, b.Name)
			assert.Equal(t, 1, fleet.Server(b.Name).Stats().Logins)
		}
		require.NoError(t, conn.Quit())
	}
}

// writtenConfig is the demo's configuration as the format of the product has it.
type writtenConfig struct {
	Warehouse struct{ Root string }
	Defaults  struct{ User, Path string }
	Servers   map[string]struct {
		Host     string
		Port     int
		Password struct{ File string }
		Encoding string
	}
}

func TestWriteConfigKeepsPasswordsInFilesOfTheirOwn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), `a "strange" 目录`)
	require.NoError(t, os.Mkdir(dir, 0o755))
	path, root := filepath.Join(dir, "talon.yaml"), filepath.Join(dir, "warehouse")
	branches := Branches(testSeed)
	ports := map[string]int{}
	for i, b := range branches {
		ports[b.Name] = 2100 + i
	}
	require.NoError(t, WriteConfig(path, root, branches, ports))

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var config writtenConfig
	require.NoError(t, yaml.UnmarshalWithOptions(text, &config, yaml.Strict()))
	assert.Equal(t, root, config.Warehouse.Root)
	assert.Equal(t, remoteDir, config.Defaults.Path)
	require.Len(t, config.Servers, len(branches))
	for i, b := range branches {
		server := config.Servers[b.Name]
		assert.Equal(t, loopback, server.Host)
		assert.Equal(t, 2100+i, server.Port)
		assert.Equal(t, b.Encoding, server.Encoding)
		secret, err := os.ReadFile(server.Password.File)
		require.NoError(t, err)
		assert.Equal(t, b.Fault == WrongPassword, string(secret) != b.Password)
		assert.NotContains(t, string(text), b.Password)
		info, err := os.Stat(server.Password.File)
		require.NoError(t, err)
		assert.Equal(t, fs.FileMode(0o600), info.Mode().Perm())
	}
}
