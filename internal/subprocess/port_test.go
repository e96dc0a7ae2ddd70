package subprocess

import (
	"net"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestListensTellsWhoseSocketItIs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := listener.Addr().(*net.TCPAddr).Port
	assert.True(t, Listens(os.Getpid(), port))
	stranger := startHelper(t, "stubborn")
	assert.False(t, Listens(stranger.Pid(), port), "another process sees the port and does not hold it")
	require.NoError(t, listener.Close())
	assert.False(t, Listens(os.Getpid(), port))
}
