package devstack

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestFreePortTakesTheFirstPreferredThatIsFree(t *testing.T) {
	taken, err := net.Listen("tcp", loopback+":0")
	require.NoError(t, err)
	defer taken.Close()
	takenPort := taken.Addr().(*net.TCPAddr).Port
	free, err := FreePort()
	require.NoError(t, err)

	got, err := FreePort(takenPort, free)
	require.NoError(t, err)
	assert.Equal(t, free, got)
	got, err = FreePort(takenPort)
	require.NoError(t, err)
	assert.NotEqual(t, takenPort, got)
	assert.Less(t, got, 32768, "outside the range of outgoing connections")
}

func TestClosedPortRefusesAndIsHeld(t *testing.T) {
	held, err := HoldClosedPort()
	require.NoError(t, err)
	address := net.JoinHostPort(loopback, strconv.Itoa(held.Port()))

	_, err = net.Dial("tcp", address)
	require.ErrorIs(t, err, unix.ECONNREFUSED)
	_, err = net.Listen("tcp", address)
	require.ErrorIs(t, err, unix.EADDRINUSE)

	require.NoError(t, held.Release())
	listener, err := net.Listen("tcp", address)
	require.NoError(t, err, "the port is free again")
	require.NoError(t, listener.Close())
}
