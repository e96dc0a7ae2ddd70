package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRemoteEagle: all that an eagle without tiger's disk needs, and no server.
func TestRemoteEagle(t *testing.T) {
	config := mustLoad(t, `
eagle:
  data: "s3://stage?endpoint=https://gateway.bank:7070"
  key: {file: keys/eagle}
  scratch: /var/lib/talon
`)
	assert.Empty(t, config.Warnings)
	assert.True(t, config.Eagle.IsRemote())
	assert.Equal(t, Remote{Endpoint: "https://gateway.bank:7070", Region: "us-east-1", Stage: "stage", Archives: "zip"}, config.Eagle.Remote)
	assert.Equal(t, "/var/lib/talon", config.Eagle.Scratch)
	assert.Empty(t, config.Servers)
	require.NoError(t, config.ResolveExtractSecrets())

	config = mustLoad(t, `
servers: {a: {host: h}}
eagle: {data: "s3://bundles?endpoint=http://10.0.0.5:7070/&archives=collected&region=eu-1", key: "a:b"}
`)
	assert.Equal(t, Remote{Endpoint: "http://10.0.0.5:7070/", Region: "eu-1", Stage: "bundles", Archives: "collected"}, config.Eagle.Remote)
	require.Len(t, config.Warnings, 2)
	assert.Contains(t, strings.Join(config.Warnings, ""), "a password is written")
	assert.Contains(t, strings.Join(config.Warnings, ""), "not encrypted")
	assert.Len(t, config.Servers, 1, "both hosts may share one file")
}

// TestStoreKeyIsReadAnew: it is replaced while eagle runs.
func TestStoreKeyIsReadAnew(t *testing.T) {
	config := mustLoad(t, `eagle: {data: "s3://stage?endpoint=https://g", key: {file: key}}`)
	file := filepath.Join(filepath.Dir(config.Path), "key")
	for content, want := range map[string][2]string{"one:secret\n": {"one", "secret"}, "two:with:colons": {"two", "with:colons"}} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		require.NoError(t, config.CheckStoreKey())
		access, secret, err := config.Eagle.StoreKey()
		require.NoError(t, err)
		assert.Equal(t, want, [2]string{access, secret})
	}
	for _, content := range []string{"hunter2", ":hunter2", "hunter2:", "hun\nter2:x"} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		err := config.CheckStoreKey()
		require.ErrorContains(t, err, config.Path+":1:")
		assert.NotContains(t, err.Error(), "hunter2")
		assert.NotContains(t, err.Error(), "ter2")
	}
	require.NoError(t, os.Remove(file))
	require.ErrorContains(t, config.CheckStoreKey(), "create it")
	_, err := os.Stat(file)
	require.ErrorIs(t, err, os.ErrNotExist)
}
