package logtest

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
)

// Without its lock the log loses lines, and the race detector complains.
func TestNothingIsLost(t *testing.T) {
	const writers, lines = 8, 1000
	var log Buffer
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			for range lines {
				_, _ = log.Write([]byte("line\n")) // never fails
				if log.String() == "" {
					t.Error("what was written is not there")
				}
			}
		})
	}
	group.Wait()
	assert.Equal(t, strings.Repeat("line\n", writers*lines), log.String())
}
