package activities

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestPace: shares of time follow each other, whoever takes them; a rate of 0 is no bound; a cancelled wait ends.
func TestPace(t *testing.T) {
	p := newPace(1)
	var sum time.Duration
	for i := range 4 {
		rest := p.reserve(500)
		assert.LessOrEqual(t, rest, time.Duration(i+1)*500*time.Second)
		assert.Greater(t, rest, sum, "later than the one before")
		sum = rest
	}
	assert.Greater(t, sum, 1900*time.Second)
	assert.EqualValues(t, 2000, p.total())
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, p.wait(cancelled, 1), context.Canceled)
	assert.Zero(t, newPace(0).reserve(1<<40))
}
