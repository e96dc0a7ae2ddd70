package objectstore_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"talon/internal/objectstore"
	"talon/internal/objectstore/storetest"
)

// TestOtherWaysToRunVersitygw: what it keeps about objects, and where, is its operator's choice.
func TestOtherWaysToRunVersitygw(t *testing.T) {
	for name, options := range map[string][]string{
		"attributes in a directory of their own": {"posix", "--sidecar", t.TempDir()},
		"checksums as ETags":                     {"posix", "--data-integrity-etag"},
		"no O_TMPFILE":                           {"posix", "--disableotmp"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBedAt(t, startServer(t, options...), smallParts)
			data := noise(3*part+1, 95)
			b.fetch(t, b.place("a.zip", data), data)
			require.NoError(t, b.put("parts", data))
			b.proxy.Inject(storetest.Fault{Op: storetest.Put, Times: 1, DropReply: true})
			b.proxy.Inject(storetest.Fault{Op: storetest.Complete, Times: 1, DropReply: true})
			require.NoError(t, b.put("lost", data[:part]))
			require.NoError(t, b.put("lost-parts", data))
			require.ErrorIs(t, b.put("lost", data[1:part+1]), objectstore.ErrExists)
			for key, want := range map[string][]byte{"parts": data, "lost": data[:part], "lost-parts": data} {
				assert.True(t, bytes.Equal(want, b.stored(key)), key)
			}
		})
	}
}
