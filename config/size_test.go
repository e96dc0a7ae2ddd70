package config

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestParseSize(t *testing.T) {
	for text, want := range map[string]Size{
		"0": 0, "0MiB": 0, "7": 7, "7B": 7, "64KiB": 64 << 10, "1024KiB": 1 << 20, "4GiB": 4 << 30, "2TiB": 2 << 40,
		"9223372036854775807": 1<<63 - 1, "8388607TiB": 8388607 << 40,
	} {
		got, err := ParseSize(text)
		require.NoError(t, err, text)
		assert.Equal(t, want, got, text)
	}
	for _, text := range []string{
		"", "B", "KiB", "1MB", "1kB", "1K", "1mib", "1.5GiB", "-1", "+1", "1 MiB", " 1", "0x10", "1e3", "1_000", "1KiBMiB",
		"9223372036854775808", "8388608TiB", "99999999999999999999",
	} {
		_, err := ParseSize(text)
		assert.Error(t, err, text)
	}
}

func TestSizeString(t *testing.T) {
	for size, want := range map[Size]string{
		0: "0", 1: "1B", 1023: "1023B", 1024: "1KiB", 1536: "1536B", 1 << 20: "1MiB", 3 << 30: "3GiB", 1 << 40: "1TiB", 2048 << 40: "2048TiB",
	} {
		assert.Equal(t, want, size.String())
		back, err := ParseSize(want)
		require.NoError(t, err)
		assert.Equal(t, size, back)
	}
}
